"""Charges and reservations on a stored payment method: create a PaymentIntent, then confirm it.

The PaymentIntent is first created without effect, so that the outcome of the confirmation can be
read by its id. Both steps have their own idempotency key, derived from the call's.
"""

import logging
from collections.abc import Mapping

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe import instruments, request_bodies
from integrator.psp.stripe.client import StripeClient, StripeRefusal
from integrator.psp.stripe.optional_parameters import Body
from integrator.psp.stripe.wire import PaymentIntent, PaymentMethod
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.instruments import METHOD
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.types import Authorize, Charge

INTENTS = "payment_intents"
INTENT_EXPAND = ("latest_charge.balance_transaction", "payment_method")
REFUND_EXPAND = ("payment_intent", "balance_transaction")

_OPTIONS, _DATE = "payment_method_options", "target_date"

log = logging.getLogger(__name__)


async def create_and_confirm(
    client: StripeClient, call: Authorize | Charge, token: Mapping[str, str]
) -> PaymentIntent:
    """Return the PaymentIntent after its confirmation. Raises `RefusedError` or a `PspError`."""
    intent = await _create(client, call, token)
    verify_reference(intent, call)
    today = time_formats.now().date()
    body = request_bodies.confirm_body(call, today)
    try:
        confirmed_intent = await _confirm(client, call, intent, body)
    except StripeRefusal as refusal:
        if _DATE not in (refusal.error.param or "") or not request_bodies.is_near(call, today):
            raise
        log.warning("Stripe refused the nearest date of a debit; it is sent again without one")
        undated = {name: value for name, value in body.items() if name != _OPTIONS}
        confirmed_intent = await _confirm(client, call, intent, undated, "/undated")
    return verify_reference(confirmed_intent, call)


async def _create(
    client: StripeClient, call: Authorize | Charge, token: Mapping[str, str]
) -> PaymentIntent:
    """Create the PaymentIntent; of a token without type, the type is read if it is not the usual.

    Tokens that were stored by former versions name no type.
    """
    key = f"{call.idempotency_key}/create"
    try:
        return await _create_of_type(client, call, token, key)
    except StripeRefusal as refusal:
        if not _names_wrong_type(refusal) or call.role is not Role.CreditCard:
            raise
        method = await client.get(PaymentMethod, "payment_methods", token[METHOD])
        usual = instruments.method_type(token, call.role)
        if method is None or method.type in (usual, instruments.TYPES[Role.Debit]):
            raise
        token = instruments.with_type(token, method.type)
        return await _create_of_type(client, call, token, f"{key}/{method.type}")


async def _create_of_type(
    client: StripeClient, call: Authorize | Charge, token: Mapping[str, str], key: str
) -> PaymentIntent:
    return await client.post_without_refused(
        PaymentIntent,
        INTENTS,
        body=request_bodies.intent_body(call, token),
        key=key,
        optionals=request_bodies.INTENT_OPTIONALS,
    )


def _names_wrong_type(refusal: StripeRefusal) -> bool:
    return (
        refusal.error.code == "payment_intent_incompatible_payment_method"
        or "does not match the expected type" in (refusal.error.message or "")
    )


async def _confirm(
    client: StripeClient,
    call: Authorize | Charge,
    intent: PaymentIntent,
    body: Body,
    key_suffix: str = "",
) -> PaymentIntent:
    return await client.post_action(
        PaymentIntent,
        INTENTS,
        intent.id,
        "confirm",
        body=body,
        key=f"{call.idempotency_key}/confirm{key_suffix}",
        is_done=lambda current: current.status != "requires_confirmation",
        expand=INTENT_EXPAND,
    )
