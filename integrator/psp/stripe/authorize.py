"""Authorizations: checkout, reservation on a stored card, mandate, migration."""

import re

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe import instruments, mapping, payment_intents, request_bodies
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.instruments import SEPA_CURRENCY
from integrator.psp.stripe.wire import (
    CheckoutSession,
    PaymentMethod,
    SetupIntent,
    WireObject,
)
from integrator.psp.toolkit.bank_account import parse_bank_account
from integrator.psp.toolkit.instruments import METHOD, stored_token
from integrator.psp.toolkit.outcomes import require, verify_reference
from integrator.psp.types import Authorize, Declined, Outcome

SESSION_EXPAND = (
    "payment_intent.latest_charge",
    "payment_intent.payment_method",
    "setup_intent.payment_method",
)
SETUP_EXPAND = ("mandate", "payment_method")

_TOKEN = re.compile(r"(?:(cus_\w{1,64}):)?(pm_\w{1,64})", re.ASCII)


async def authorize(client: StripeClient, call: Authorize) -> Outcome:
    """Authorize by role and call.

    Raises `RefusedError`, `UnsupportedRequestError` or a `PspError`.
    """
    if call.migration_token is not None:
        return await _migrate(client, call, call.migration_token)
    match call.role, call.initial:
        case Role.CreditCard, True:
            return await _open_checkout(client, call)
        case Role.CreditCard, False if call.amount > 0:
            return await _reserve_on_stored_card(client, call)
        case Role.Debit, True:
            return await _create_mandate(client, call)
        case Role.CreditCard | Role.Debit, False:
            return await _verify_stored_method(client, call)
        case _:
            return Declined(code=Code.InvalidData, message="Stripe has no such payment method.")


async def _migrate(client: StripeClient, call: Authorize, token: str) -> Outcome:
    """Import `pm_...`, or `cus_...:pm_...` to verify the customer as well."""
    # The token was typed by a user: only a well-formed id may become part of a URL.
    match = _TOKEN.fullmatch(token)
    method = await client.get(PaymentMethod, "payment_methods", match[2]) if match else None
    if match and match[1] and method and method.customer != match[1]:
        method = None
    return instruments.migration_outcome(method, role=call.role, currency=call.currency)


async def _open_checkout(client: StripeClient, call: Authorize) -> Outcome:
    urls = call.success_url and call.abort_url
    require(urls, Code.InvalidData, "A checkout needs return URLs.")
    body, key = request_bodies.checkout_body(call), call.idempotency_key
    session = await client.post_without_refused(
        CheckoutSession,
        *("checkout", "sessions"),
        body=body,
        key=key,
        optionals=request_bodies.checkout_optionals(call),
        expand=SESSION_EXPAND,
    )
    return mapping.session_outcome(verify_reference(session, call))


async def _reserve_on_stored_card(client: StripeClient, call: Authorize) -> Outcome:
    token = stored_token(call)
    if METHOD not in token:
        return instruments.stored_method_outcome(None)
    return mapping.hold_outcome(await payment_intents.create_and_confirm(client, call, token))


async def _create_mandate(client: StripeClient, call: Authorize) -> Outcome:
    """Create a customer, then a SetupIntent; neither moves money, both may be retried by key."""
    message = f"Direct debits are in {SEPA_CURRENCY} only."
    require(call.currency == SEPA_CURRENCY, Code.InvalidCurrency, message)
    holder, iban = parse_bank_account(call.initial_bearer)
    key = call.idempotency_key
    customer = await client.post_without_refused(
        WireObject,
        "customers",
        body=request_bodies.customer_body(call.payer, holder, call.reference),
        key=f"{key}/customer",
        optionals=request_bodies.CUSTOMER_OPTIONALS,
    )
    setup = await client.post_without_refused(
        SetupIntent,
        "setup_intents",
        body=request_bodies.setup_body(call, customer.id, holder, iban),
        key=key,
        optionals=request_bodies.SETUP_OPTIONALS,
        expand=SETUP_EXPAND,
    )
    return mapping.setup_outcome(verify_reference(setup, call), iban)


async def _verify_stored_method(client: StripeClient, call: Authorize) -> Outcome:
    """Check that the stored payment method can be charged later; nothing is reserved."""
    method_id = stored_token(call).get(METHOD)
    method = await client.get(PaymentMethod, "payment_methods", method_id) if method_id else None
    return instruments.stored_method_outcome(method)
