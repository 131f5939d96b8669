"""Taking and holding money with a stored payment method: first the object, then the attempt.

The PaymentIntent is made without effect and its id kept, so that whatever becomes of the attempt
can be read by that id. Both steps have a key of their own, derived from the call's.
"""

from collections.abc import Mapping

from integrator.psp.stripe import request_bodies
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.wire import PaymentIntent
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.types import Authorize, Charge

INTENTS = "payment_intents"
INTENT_EXPAND = ("latest_charge.balance_transaction", "payment_method")


async def take(
    client: StripeClient, call: Authorize | Charge, token: Mapping[str, str]
) -> PaymentIntent:
    """The PaymentIntent after the attempt. Raises `RefusedError` or a `PspError`."""
    key = call.idempotency_key
    body = request_bodies.intent_body(call, token)
    made = await client.post(PaymentIntent, INTENTS, body=body, key=f"{key}/create")
    verify_reference(made, call)
    body = request_bodies.confirm_body(call, made)
    taken = await client.act(
        PaymentIntent,
        INTENTS,
        made.id,
        "confirm",
        body=body,
        key=f"{key}/confirm",
        done=lambda found: found.status != "requires_confirmation",
        expand=INTENT_EXPAND,
    )
    return verify_reference(taken, call)
