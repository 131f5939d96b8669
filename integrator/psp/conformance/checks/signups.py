"""Agreements that begin: by the hosted page, by typed payment data, by taking a customer over."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    approved,
    declined,
    equal,
    redirected,
    require,
    sums,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Customer
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import Money
from integrator.psp.errors import BearerRefused
from integrator.psp.types import Approved, FactKind, Instrument

_REFUSALS = {
    Customer.LACKS_FUNDS: Code.InsufficientBalance,
    Customer.USES_AN_EXPIRED_CARD: Code.BearerExpired,
    Customer.IS_REFUSED: Code.Rejected,
}

_FORMS = {
    "Country": re.compile(r"[A-Z]{2}"),
    "ExpiryMonth": re.compile(r"[1-9]|1[0-2]"),
    "ExpiryYear": re.compile(r"20[0-9]{2}"),
    "IBAN": re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}"),
    "Last4": re.compile(r"[0-9]{4}"),
}
_CARD_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9](?:[ -]?[0-9]){11,18}(?![0-9A-Za-z])")


def _redirecting(world: CheckContext) -> list[Role]:
    return [role for role, method in world.sheet.methods.items() if method.redirect]


def _typed(world: CheckContext) -> list[Role]:
    return [role for role, method in world.sheet.methods.items() if method.initial_bearer]


def _pages(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.method_currencies(world, _redirecting(world))


def _page(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.first_moneys(world, _redirecting(world))


def _holding_pages(world: CheckContext) -> Iterator[tuple[str, Money]]:
    roles = [role for role in _redirecting(world) if world.method(role).capture]
    yield from setup.method_currencies(world, roles)


def _customers(world: CheckContext) -> Iterator[tuple[str, tuple[Money, Customer]]]:
    for label, money in _page(world):
        for customer in _REFUSALS:
            yield f"{label}-{customer.value}", (money, customer)


def _typing(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.first_moneys(world, _typed(world))


def _bad_bearers(
    world: CheckContext,
) -> Iterator[tuple[str, tuple[Role, Mapping[str, str] | None]]]:
    for role in _typed(world):
        good = world.bench.bearer(role)
        if not world.method(role).redirect:
            # Elsewhere nothing typed asks for the hosted page.
            yield f"{role.name}-missing", (role, None)
            yield f"{role.name}-empty", (role, {})
        for key in good or {}:
            yield f"{role.name}-without-{key}", (role, {**(good or {}), key: " "})


@check(_pages)
async def a_page_is_opened(world: CheckContext, money: Money) -> None:
    """A new customer is sent to a page with an address, an id and a time at which it ends."""
    call, redirect = await setup.opened(world, money, money.amount)
    require((redirect.url or "").startswith(("https://", "http://")), "The page has no address.")
    require(redirect.expires_at > datetime.now(UTC), "The page has expired already.")
    found = redirected(await setup.found(world, call, redirect.psp_id))
    equal(found.psp_id, redirect.psp_id, "the page's id in a look-up")
    found = redirected(await setup.found(world, call))
    equal(found.psp_id, redirect.psp_id, "the page's id in a look-up by reference")


@check(_holding_pages)
async def a_customer_pays_at_the_page(world: CheckContext, money: Money) -> None:
    """Afterwards the exact amount is held, can be found, and the payment method is stored."""
    call, redirect = await setup.opened(world, money, money.amount)
    outcome = approved(await setup.visited(world, call, redirect, Customer.PAYS))
    equal(sums(outcome), [(FactKind.AUTHORIZED, money.amount)], "the facts")
    _has_instrument(world, outcome)
    for psp_id in (None, redirect.psp_id, setup.known_as(outcome)):
        found = approved(await setup.found(world, call, psp_id))
        equal(found.psp_id, outcome.psp_id, f"the id found by {psp_id or 'reference'}")
    booked = await world.bench.booked(call.reference)
    if booked is not None:
        found_amounts = [(entry.amount, entry.currency) for entry in booked]
        equal(found_amounts, [(money.amount, money.currency)], "what the PSP holds")


@check(_page)
async def a_payment_method_is_stored_without_money(world: CheckContext, money: Money) -> None:
    """An amount of 0 stores the payment method, holds nothing, and it can be charged."""
    call, redirect = await setup.opened(world, money, Decimal(0))
    outcome = approved(await setup.visited(world, call, redirect, Customer.PAYS))
    equal(sums(outcome), [], "the facts of a sign-up without money")
    stored = _has_instrument(world, outcome)
    payment = call_factory.charge(money.role, money.amount, money.currency, stored)
    charged = await setup.decided(world, payment, await world.connection.charge(payment))
    equal(sums(approved(charged)), [(FactKind.PAID, money.amount)], "the facts of a first charge")


@check(_customers)
async def a_customer_is_refused(world: CheckContext, case: tuple[Money, Customer]) -> None:
    """A card that does not pay ends the sign-up with the reason in the contract's words."""
    money, customer = case
    call, redirect = await setup.opened(world, money, money.amount)
    outcome = await setup.visited(world, call, redirect, customer)
    declined(outcome, _REFUSALS[customer])


@check(_page)
async def a_customer_cancels(world: CheckContext, money: Money) -> None:
    """Who walks away has cancelled: the sign-up is over and nothing failed."""
    call, redirect = await setup.opened(world, money, money.amount)
    outcome = await setup.visited(world, call, redirect, Customer.CANCELS)
    declined(outcome, status=Status.Cancelled)


@check(_page)
async def a_customer_stays_away(world: CheckContext, money: Money) -> None:
    """Who never comes lets the page expire."""
    call, redirect = await setup.opened(world, money, money.amount)
    outcome = await setup.visited(world, call, redirect, Customer.STAYS_AWAY)
    declined(outcome, status=Status.Expired)


@check(_page)
async def an_open_page_is_closed(world: CheckContext, money: Money) -> None:
    """Giving an open page back is confirmed, and then nobody can pay there."""
    if not world.method(money.role).cancel:
        raise NotApplicable(f"{money.role.name} cannot be cancelled")
    call, redirect = await setup.opened(world, money, money.amount)
    approved(await world.connection.void(call_factory.void(call, redirect.psp_id)))
    declined(await setup.found(world, call, redirect.psp_id), status=Status.Cancelled)


@check(_typing)
async def payment_data_is_typed(world: CheckContext, money: Money) -> None:
    """Typed payment data becomes a stored payment method that can be found by our reference."""
    call, outcome = await setup.signed_up(world, money, money.amount)
    _has_instrument(world, outcome)
    found = approved(await setup.found(world, call))
    equal(found.psp_id, outcome.psp_id, "the id found by reference")


@check(setup.first_moneys)
async def a_bearer_has_the_contracts_form(world: CheckContext, money: Money) -> None:
    """What Billwerk+ may see of a payment method has the contract's keys and no card number."""
    _, outcome = await setup.signed_up(world, money, money.amount)
    bearer = _has_instrument(world, outcome).bearer
    blank = [key for key, text in bearer.items() if not text.strip() or not key.isidentifier()]
    require(not blank, f"Blank values or odd keys: {', '.join(blank)}")
    for key, form in _FORMS.items():
        require(key not in bearer or form.fullmatch(bearer[key]), f"{key} has another form.")
    digits = [key for key, text in bearer.items() if key != "IBAN" and _CARD_NUMBER.search(text)]
    require(not digits, f"A card number shows in {', '.join(digits)}.")


@check(_bad_bearers)
async def bad_payment_data_is_refused(
    world: CheckContext, case: tuple[Role, Mapping[str, str] | None]
) -> None:
    """Payment data that cannot be right is refused without asking the PSP."""
    role, bearer = case
    try:
        world.adapter.check_initial_bearer(role, bearer)
    except BearerRefused:
        require(not world.wire.seen, "The PSP was asked.")
        return
    raise Violation("Payment data that lacks something was accepted.")


@check(_typing)
async def a_mistyped_iban_is_refused(world: CheckContext, money: Money) -> None:
    """An IBAN with a wrong check digit is InvalidIBAN, before and after the PSP is asked."""
    bearer = dict(world.bench.bearer(money.role) or {})
    if "IBAN" not in bearer:
        raise NotApplicable("no IBAN is typed for this payment method")
    bearer["IBAN"] = bearer["IBAN"][:-1] + ("1" if bearer["IBAN"][-1] != "1" else "2")
    try:
        world.adapter.check_initial_bearer(money.role, bearer)
    except BearerRefused as refusal:
        equal(refusal.code, Code.InvalidIBAN, "the code")
        require(bearer["IBAN"] not in str(refusal), "The refusal shows the IBAN.")
    else:
        raise Violation("The IBAN was accepted.")
    call = call_factory.sign_up(money.role, money.amount, money.currency, bearer=bearer)
    declined(await world.connection.authorize(call), Code.InvalidIBAN)


@check(setup.first_moneys)
async def a_customer_is_taken_over(world: CheckContext, money: Money) -> None:
    """A customer who exists at the PSP comes with a payment method and without money."""
    _can_migrate(world)
    token = await world.bench.migration_token(money.role, money.currency)
    if token is None:
        raise NotApplicable(f"the bench knows no existing customer for {money.role.name}")
    call = call_factory.sign_up(money.role, Decimal(0), money.currency, migration_token=token)
    outcome = approved(await world.connection.authorize(call))
    equal(sums(outcome), [], "the facts of a migration")
    _has_instrument(world, outcome)


@check(setup.first_moneys)
async def nobody_is_taken_over(world: CheckContext, money: Money) -> None:
    """A token that names nobody, or is no token, is declined and stays inside its address."""
    _can_migrate(world)
    for token in ("nobody_0000000000", "../account", "x?y=1#z", " "):
        call = call_factory.sign_up(money.role, Decimal(0), money.currency, migration_token=token)
        declined(await world.connection.authorize(call))
    strays = [r for r in world.wire.seen if b"../" in r.url.raw_path or b"y=1" in r.url.raw_path]
    require(not strays, "A typed token became a part of the address.")


def _can_migrate(world: CheckContext) -> None:
    if not world.sheet.migration:
        raise NotApplicable("the adapter takes nobody over (migration)")


def _has_instrument(world: CheckContext, outcome: Approved) -> Instrument:
    """The payment method, whose token Billwerk+ must not see."""
    stored = outcome.instrument
    if stored is None or not stored.token:
        raise Violation("There is no payment method for later charges.")
    tokens = set(stored.token.values())
    shown = set(stored.bearer.values())
    if outcome.psp_id is not None:
        tokens -= {outcome.psp_id}  # a mandate's id is public
    require(not tokens & shown, "A token is shown to Billwerk+.")
    shows = [value for value in (*tokens, *shown) if len(value) > 8 and value in repr(outcome)]
    require(not [v for v in shows if v != outcome.psp_id], "The payment method shows in a repr.")
    return stored
