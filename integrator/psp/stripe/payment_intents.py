"""Charges and reservations on a stored payment method: create a PaymentIntent, then confirm it.

The PaymentIntent is first created without effect, so that the outcome of the confirmation can be
read by its id. Both steps have their own idempotency key, derived from the call's.
"""

from collections.abc import Mapping

from integrator.psp.stripe import request_bodies
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.wire import PaymentIntent
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.types import Authorize, Charge

INTENTS = "payment_intents"
INTENT_EXPAND = ("latest_charge.balance_transaction", "payment_method")
REFUND_EXPAND = ("payment_intent",)


async def create_and_confirm(
    client: StripeClient, call: Authorize | Charge, token: Mapping[str, str]
) -> PaymentIntent:
    """Return the PaymentIntent after its confirmation. Raises `RefusedError` or a `PspError`."""
    key = call.idempotency_key
    body = request_bodies.intent_body(call, token)
    intent = await client.post(PaymentIntent, INTENTS, body=body, key=f"{key}/create")
    verify_reference(intent, call)
    body = request_bodies.confirm_body(call, intent)
    confirmed_intent = await client.post_action(
        PaymentIntent,
        INTENTS,
        intent.id,
        "confirm",
        body=body,
        key=f"{key}/confirm",
        is_done=lambda current: current.status != "requires_confirmation",
        expand=INTENT_EXPAND,
    )
    return verify_reference(confirmed_intent, call)
