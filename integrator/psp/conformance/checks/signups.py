"""Sign-ups: by the hosted page, by typed payment data, by migration of an existing customer."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    fact_amounts,
    require,
    require_approved,
    require_declined,
    require_equal,
    require_redirect,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import CustomerBehavior
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import BearerRefused
from integrator.psp.types import Approved, FactKind, Instrument

_DECLINE_CODES = {
    CustomerBehavior.LACKS_FUNDS: Code.InsufficientBalance,
    CustomerBehavior.USES_AN_EXPIRED_CARD: Code.BearerExpired,
    CustomerBehavior.IS_REFUSED: Code.Rejected,
}

_BEARER_FORMATS = {
    "Country": re.compile(r"[A-Z]{2}"),
    "ExpiryMonth": re.compile(r"[1-9]|1[0-2]"),
    "ExpiryYear": re.compile(r"20[0-9]{2}"),
    "IBAN": re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}"),
    "Last4": re.compile(r"[0-9]{4}"),
}
_CARD_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){11,18}(?![0-9A-Za-z])")


def _redirect_roles(context: CheckContext) -> list[Role]:
    return [role for role, method in context.capabilities.methods.items() if method.redirect]


def _typed_data_roles(context: CheckContext) -> list[Role]:
    return [role for role, method in context.capabilities.methods.items() if method.initial_bearer]


def _page_currencies(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.method_currencies(context, _redirect_roles(context))


def _page_methods(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.each_method(context, _redirect_roles(context))


def _reservable_page_currencies(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    roles = [role for role in _redirect_roles(context) if context.method_capability(role).capture]
    yield from setup.method_currencies(context, roles)


def _decline_cases(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[MethodCurrency, CustomerBehavior]]]:
    for label, method in _page_methods(context):
        for behavior in _DECLINE_CODES:
            yield f"{label}-{behavior.value}", (method, behavior)


def _typed_data_methods(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.each_method(context, _typed_data_roles(context))


def _invalid_payment_data(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[Role, Mapping[str, str] | None]]]:
    for role in _typed_data_roles(context):
        valid_data = context.harness.payment_data(role)
        if not context.method_capability(role).redirect:
            # With a hosted page, missing payment data asks for that page.
            yield f"{role.name}-missing", (role, None)
            yield f"{role.name}-empty", (role, {})
        for key in valid_data or {}:
            yield f"{role.name}-without-{key}", (role, {**(valid_data or {}), key: " "})


@check(_page_currencies)
async def a_hosted_page_is_opened(context: CheckContext, method: MethodCurrency) -> None:
    """A new customer is sent to a page with an address, an id and an expiry time."""
    call, redirect = await setup.open_page(context, method, method.amount)
    require((redirect.url or "").startswith(("https://", "http://")), "The page has no address.")
    require(redirect.expires_at > datetime.now(UTC), "The page has expired already.")
    fetched = require_redirect(await setup.fetch_existing(context, call, redirect.psp_id))
    require_equal(fetched.psp_id, redirect.psp_id, "the page's id in a look-up")
    fetched = require_redirect(await setup.fetch_existing(context, call))
    require_equal(fetched.psp_id, redirect.psp_id, "the page's id in a look-up by reference")


@check(_reservable_page_currencies)
async def a_customer_pays_at_the_hosted_page(context: CheckContext, method: MethodCurrency) -> None:
    """After payment the exact amount is reserved and the payment method is stored."""
    call, redirect = await setup.open_page(context, method, method.amount)
    outcome = require_approved(
        await setup.visit_page(context, call, redirect, CustomerBehavior.PAYS)
    )
    require_equal(fact_amounts(outcome), [(FactKind.AUTHORIZED, method.amount)], "the facts")
    _require_instrument(context, outcome)
    for psp_id in (None, redirect.psp_id, setup.require_psp_id(outcome)):
        fetched = require_approved(await setup.fetch_existing(context, call, psp_id))
        require_equal(fetched.psp_id, outcome.psp_id, f"the id found by {psp_id or 'reference'}")
    bookings = await context.harness.list_bookings(call.reference)
    if bookings is not None:
        booked_amounts = [(entry.amount, entry.currency) for entry in bookings]
        require_equal(
            booked_amounts, [(method.amount, method.currency)], "the reservation in the ledger"
        )


@check(_page_methods)
async def a_zero_amount_stores_the_payment_method(
    context: CheckContext, method: MethodCurrency
) -> None:
    """An amount of 0 stores a payment method that can be charged, and reserves nothing."""
    call, redirect = await setup.open_page(context, method, Decimal(0))
    outcome = require_approved(
        await setup.visit_page(context, call, redirect, CustomerBehavior.PAYS)
    )
    require_equal(fact_amounts(outcome), [], "the facts of a sign-up for 0")
    stored = _require_instrument(context, outcome)
    charge = call_factory.charge(method.role, method.amount, method.currency, stored)
    charge_outcome = await setup.wait_for_outcome(
        context, charge, await context.connection.charge(charge)
    )
    require_equal(
        fact_amounts(require_approved(charge_outcome)),
        [(FactKind.PAID, method.amount)],
        "the facts of a first charge",
    )


@check(_decline_cases)
async def a_customer_is_declined(
    context: CheckContext, case: tuple[MethodCurrency, CustomerBehavior]
) -> None:
    """A card that is declined ends the sign-up with the contract's code."""
    method, behavior = case
    call, redirect = await setup.open_page(context, method, method.amount)
    outcome = await setup.visit_page(context, call, redirect, behavior)
    require_declined(outcome, _DECLINE_CODES[behavior])


@check(_page_methods)
async def a_customer_cancels(context: CheckContext, method: MethodCurrency) -> None:
    """A customer who leaves the page has cancelled: the sign-up ends without a failure."""
    call, redirect = await setup.open_page(context, method, method.amount)
    outcome = await setup.visit_page(context, call, redirect, CustomerBehavior.CANCELS)
    require_declined(outcome, status=Status.Cancelled)


@check(_page_methods)
async def an_abandoned_page_expires(context: CheckContext, method: MethodCurrency) -> None:
    """A page that the customer never visits expires."""
    call, redirect = await setup.open_page(context, method, method.amount)
    outcome = await setup.visit_page(context, call, redirect, CustomerBehavior.STAYS_AWAY)
    require_declined(outcome, status=Status.Expired)


@check(_page_methods)
async def an_open_page_can_be_voided(context: CheckContext, method: MethodCurrency) -> None:
    """Voiding an open page is confirmed, and then it cannot be paid."""
    if not context.method_capability(method.role).cancel:
        raise NotApplicable(f"{method.role.name} cannot be cancelled")
    call, redirect = await setup.open_page(context, method, method.amount)
    require_approved(await context.connection.void(call_factory.void(call, redirect.psp_id)))
    require_declined(
        await setup.fetch_existing(context, call, redirect.psp_id), status=Status.Cancelled
    )


@check(_typed_data_methods)
async def typed_payment_data_is_stored(context: CheckContext, method: MethodCurrency) -> None:
    """Typed payment data becomes a stored payment method that can be found by our reference."""
    call, outcome = await setup.sign_up_customer(context, method, method.amount)
    _require_instrument(context, outcome)
    fetched = require_approved(await setup.fetch_existing(context, call))
    require_equal(fetched.psp_id, outcome.psp_id, "the id found by reference")


@check(setup.each_method)
async def a_bearer_has_the_contract_format(context: CheckContext, method: MethodCurrency) -> None:
    """The payment method shown to Billwerk+ has the contract's keys and no card number."""
    _, outcome = await setup.sign_up_customer(context, method, method.amount)
    bearer = _require_instrument(context, outcome).bearer
    invalid_keys = [
        key for key, text in bearer.items() if not text.strip() or not key.isidentifier()
    ]
    require(not invalid_keys, f"Blank values or invalid keys: {', '.join(invalid_keys)}")
    for key, pattern in _BEARER_FORMATS.items():
        require(
            key not in bearer or pattern.fullmatch(bearer[key]),
            f"{key} does not have the contract's format.",
        )
    card_number_keys = [
        key for key, text in bearer.items() if key != "IBAN" and _CARD_NUMBER.search(text)
    ]
    require(not card_number_keys, f"A card number appears in {', '.join(card_number_keys)}.")


@check(_invalid_payment_data)
async def invalid_payment_data_is_refused(
    context: CheckContext, case: tuple[Role, Mapping[str, str] | None]
) -> None:
    """Invalid payment data is refused without a request to the PSP."""
    role, bearer = case
    try:
        context.adapter.check_initial_bearer(role, bearer)
    except BearerRefused:
        require(not context.transport.requests, "A request was sent to the PSP.")
        return
    raise Violation("Incomplete payment data was accepted.")


@check(_typed_data_methods)
async def a_mistyped_iban_is_refused(context: CheckContext, method: MethodCurrency) -> None:
    """An IBAN with a wrong check digit is InvalidIBAN, both before and by the operation."""
    bearer = dict(context.harness.payment_data(method.role) or {})
    if "IBAN" not in bearer:
        raise NotApplicable("no IBAN is typed for this payment method")
    bearer["IBAN"] = bearer["IBAN"][:-1] + ("1" if bearer["IBAN"][-1] != "1" else "2")
    try:
        context.adapter.check_initial_bearer(method.role, bearer)
    except BearerRefused as refusal:
        require_equal(refusal.code, Code.InvalidIBAN, "the code")
        require(bearer["IBAN"] not in str(refusal), "The refusal shows the IBAN.")
    else:
        raise Violation("The IBAN was accepted.")
    call = call_factory.sign_up(method.role, method.amount, method.currency, payment_data=bearer)
    require_declined(await context.connection.authorize(call), Code.InvalidIBAN)


@check(setup.each_method)
async def an_existing_customer_is_migrated(context: CheckContext, method: MethodCurrency) -> None:
    """An existing customer of the PSP is migrated with a payment method and no amount."""
    _require_migration(context)
    token = await context.harness.migration_token(method.role, method.currency)
    if token is None:
        raise NotApplicable(f"the harness has no existing customer for {method.role.name}")
    call = call_factory.sign_up(method.role, Decimal(0), method.currency, migration_token=token)
    outcome = require_approved(await context.connection.authorize(call))
    require_equal(fact_amounts(outcome), [], "the facts of a migration")
    _require_instrument(context, outcome)


@check(setup.each_method)
async def an_unknown_migration_token_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """An unknown or malformed token is declined and does not change the address."""
    _require_migration(context)
    for token in ("unknown_0000000000", "../account", "x?y=1#z", " "):
        call = call_factory.sign_up(method.role, Decimal(0), method.currency, migration_token=token)
        require_declined(await context.connection.authorize(call))
    escaped = [
        r
        for r in context.transport.requests
        if b"../" in r.url.raw_path or b"y=1" in r.url.raw_path
    ]
    require(not escaped, "A migration token changed the address.")


def _require_migration(context: CheckContext) -> None:
    if not context.capabilities.migration:
        raise NotApplicable("the adapter migrates no customers (migration)")


def _require_instrument(context: CheckContext, outcome: Approved) -> Instrument:
    """Return the stored payment method, whose token Billwerk+ must not see."""
    stored = outcome.instrument
    if stored is None or not stored.token:
        raise Violation("There is no payment method for later charges.")
    tokens = set(stored.token.values())
    visible = set(stored.bearer.values())
    if outcome.psp_id is not None:
        tokens -= {outcome.psp_id}  # a mandate's id is public
    require(not tokens & visible, "A token is visible to Billwerk+.")
    exposed = [value for value in (*tokens, *visible) if len(value) > 8 and value in repr(outcome)]
    require(
        not [v for v in exposed if v != outcome.psp_id], "The payment method appears in a repr."
    )
    return stored
