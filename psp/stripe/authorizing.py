"""The ways an agreement begins or gets a new reservation, one function each."""

import re

from contract.enums import PaymentErrorCode as Code
from contract.enums import PublicPaymentProviderRole as Role
from psp.common.bearer import bank_account
from psp.errors import BearerRefused
from psp.stripe import bodies, instruments, mapping, taking
from psp.stripe.client import StripeClient
from psp.stripe.instruments import METHOD, SEPA_CURRENCY
from psp.stripe.wire import REFERENCE, CheckoutSession, PaymentMethod, SetupIntent, WireObject
from psp.types import Authorize, Declined, Outcome

SESSION_EXPAND = (
    "payment_intent.latest_charge",
    "payment_intent.payment_method",
    "setup_intent.payment_method",
)
SETUP_EXPAND = ("mandate", "payment_method")

_TOKEN = re.compile(r"(?:(cus_\w{1,64}):)?(pm_\w{1,64})", re.ASCII)


async def authorize(client: StripeClient, call: Authorize) -> Outcome:
    """Choose the way. Raises `RefusedError`, `UnpayableError` or a `PspError`."""
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
    if not (call.success_url and call.abort_url):
        return Declined(code=Code.InvalidData, message="A checkout needs return URLs.")
    body, key = bodies.checkout_body(call), call.idempotency_key
    session = await client.post(
        CheckoutSession, "checkout", "sessions", body=body, key=key, expand=SESSION_EXPAND
    )
    return mapping.session_outcome(mapping.ours(session, call, session.reference))


async def _reserve(client: StripeClient, call: Authorize) -> Outcome:
    token = call.instrument.token if call.instrument else {}
    if METHOD not in token:
        return instruments.still_usable(None)
    return mapping.hold_outcome(await taking.take(client, call, token))


async def _sign(client: StripeClient, call: Authorize) -> Outcome:
    """A customer, then a SetupIntent: neither moves money, so both may be repeated by key."""
    if call.currency != SEPA_CURRENCY:
        message = f"Direct debits are in {SEPA_CURRENCY} only."
        return Declined(code=Code.InvalidCurrency, message=message)
    try:
        holder, iban = bank_account(call.initial_bearer)
    except BearerRefused as refusal:
        return Declined(code=refusal.code, message=str(refusal))
    key, metadata = call.idempotency_key, {REFERENCE: call.reference}
    body = {"name": holder, "email": call.payer.email, "metadata": metadata}
    customer = await client.post(WireObject, "customers", body=body, key=f"{key}/customer")
    body = bodies.setup_body(call, customer.id, holder, iban)
    setup = await client.post(SetupIntent, "setup_intents", body=body, key=key, expand=SETUP_EXPAND)
    return mapping.setup_outcome(mapping.ours(setup, call, setup.reference), iban)


async def _verify(client: StripeClient, call: Authorize) -> Outcome:
    """Nothing to reserve: the stored payment method only has to be good for later."""
    token = call.instrument.token if call.instrument else {}
    known = METHOD in token
    method = await client.get(PaymentMethod, "payment_methods", token[METHOD]) if known else None
    return instruments.still_usable(method)
