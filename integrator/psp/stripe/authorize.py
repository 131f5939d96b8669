"""The ways an agreement begins or gets a new reservation, one function each."""

import re

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe import instruments, mapping, payment_intents, request_bodies
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.instruments import SEPA_CURRENCY
from integrator.psp.stripe.wire import (
    REFERENCE,
    CheckoutSession,
    PaymentMethod,
    SetupIntent,
    WireObject,
)
from integrator.psp.toolkit.bank_account import bank_account
from integrator.psp.toolkit.instruments import METHOD, stored
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
    """Choose the way. Raises `RefusedError`, `ImpossibleError` or a `PspError`."""
    if call.migration_token is not None:
        return await _take_over(client, call, call.migration_token)
    match call.role, call.initial:
        case Role.CreditCard, True:
            return await _checkout(client, call)
        case Role.CreditCard, False if call.amount > 0:
            return await _reserve(client, call)
        case Role.Debit, True:
            return await _sign(client, call)
        case Role.CreditCard | Role.Debit, False:
            return await _verify(client, call)
        case _:
            return Declined(code=Code.InvalidData, message="Stripe has no such payment method.")


async def _take_over(client: StripeClient, call: Authorize, token: str) -> Outcome:
    """`pm_...`, or `cus_...:pm_...` to be sure whose it is."""
    # Typed by a person: only what can be an id may become part of an address.
    known = _TOKEN.fullmatch(token)
    method = await client.get(PaymentMethod, "payment_methods", known[2]) if known else None
    if known and known[1] and method and method.customer != known[1]:
        method = None
    return instruments.taken_over(method, role=call.role, currency=call.currency)


async def _checkout(client: StripeClient, call: Authorize) -> Outcome:
    urls = call.success_url and call.abort_url
    require(urls, Code.InvalidData, "A checkout needs return URLs.")
    body, key = request_bodies.checkout_body(call), call.idempotency_key
    session = await client.post(
        CheckoutSession, "checkout", "sessions", body=body, key=key, expand=SESSION_EXPAND
    )
    return mapping.session_outcome(verify_reference(session, call))


async def _reserve(client: StripeClient, call: Authorize) -> Outcome:
    token = stored(call)
    if METHOD not in token:
        return instruments.still_usable(None)
    return mapping.hold_outcome(await payment_intents.take(client, call, token))


async def _sign(client: StripeClient, call: Authorize) -> Outcome:
    """A customer, then a SetupIntent: neither moves money, so both may be repeated by key."""
    message = f"Direct debits are in {SEPA_CURRENCY} only."
    require(call.currency == SEPA_CURRENCY, Code.InvalidCurrency, message)
    holder, iban = bank_account(call.initial_bearer)
    key, metadata = call.idempotency_key, {REFERENCE: call.reference}
    body = {"name": holder, "email": call.payer.email, "metadata": metadata}
    customer = await client.post(WireObject, "customers", body=body, key=f"{key}/customer")
    body = request_bodies.setup_body(call, customer.id, holder, iban)
    setup = await client.post(SetupIntent, "setup_intents", body=body, key=key, expand=SETUP_EXPAND)
    return mapping.setup_outcome(verify_reference(setup, call), iban)


async def _verify(client: StripeClient, call: Authorize) -> Outcome:
    """Nothing to reserve: the stored payment method only has to be good for later."""
    known = stored(call).get(METHOD)
    method = await client.get(PaymentMethod, "payment_methods", known) if known else None
    return instruments.still_usable(method)
