"""Stripe's official library against both ends: the adapter and its stand-in.

Needs the `stripe` package of the development dependencies; see also `contract.py`.
"""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from devtools.sandbox_psp.emulators.stripe import signature
from integrator.psp.errors import NotificationRejected
from integrator.psp.stripe import ADAPTER
from integrator.psp.stripe.client import VERSION
from integrator.psp.stripe.settings import StripeSettings
from tests.psp.stripe import contract, objects
from tests.psp.stripe.conftest import StripeMerchant

stripe: Any = pytest.importorskip("stripe", reason="the stripe package is not installed")

SECRET = "whsec_oracle"
SETTINGS = StripeSettings.model_validate({"ApiKey": "sk_test_unit", "WebhookSecret": SECRET})
BODY = json.dumps(objects.event("payment_intent.succeeded", objects.intent()))


def notified(header: str, body: str = BODY) -> str:
    raw, now = body.encode(), datetime.now(UTC)
    [notice] = ADAPTER.parse_notification(SETTINGS, {"Stripe-Signature": header}, raw, now)
    return notice.event_id


def test_the_library_is_of_the_version_we_send() -> None:
    assert stripe.api_version == VERSION


def test_we_accept_what_the_library_signs() -> None:
    header = stripe.WebhookSignature.generate_signature_header(BODY, SECRET)
    assert notified(header) == "evt_1"
    with pytest.raises(NotificationRejected):
        notified(header, BODY.replace("11900", "1"))
    with pytest.raises(NotificationRejected):
        notified(stripe.WebhookSignature.generate_signature_header(BODY, "whsec_other"))
    for off in (-301, 301):
        at = int(time.time()) + off
        late = stripe.WebhookSignature.generate_signature_header(BODY, SECRET, timestamp=at)
        with pytest.raises(NotificationRejected):
            notified(late)


def test_the_library_accepts_what_the_stand_in_signs() -> None:
    header = signature(SECRET, BODY.encode())
    event = stripe.Webhook.construct_event(BODY, header, SECRET)
    assert (event.id, event.data.object.id) == ("evt_1", "pi_1")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(BODY + " ", header, SECRET)


GOOD = {"amount": "100", "currency": "eur", "capture_method": "manual"}


@pytest.mark.parametrize(
    ("change", "misfit"),
    [
        ({}, None),
        ({"currency": None}, "[currency] is missing"),
        ({"amount": "1.00"}, "[amount]: '1.00' is no int"),
        ({"capture_method": "later"}, "[capture_method]: later is none of the known values"),
        ({"payment_method_types": ["card"]}, "[payment_method_types] is unknown"),
        ({"api_key": "sk"}, "[api_key] is unknown"),
        ({"metadata": "x"}, "[metadata]: a map of texts is needed"),
        (
            {"payment_method_options": {"sepa_debit": {"day": "1"}}},
            "[payment_method_options][sepa_debit][day] is unknown",
        ),
        (
            {"allowed_payment_method_types": ["gold"]},
            "[allowed_payment_method_types][0]: gold is none of the known values",
        ),
    ],
)
def test_the_contract_notices_what_is_wrong(change: dict[str, Any], misfit: str | None) -> None:
    given = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    found = contract.parameter_misfits(
        "_payment_intent_create_params", "PaymentIntentCreateParams", given
    )
    assert found == ([misfit] if misfit else [])


def test_shapes_notice_what_is_wrong() -> None:
    assert contract.shape_misfits(objects.intent(amount="11900")) == [
        "payment_intent.amount: integer there, string here"
    ]
    assert contract.shape_misfits({"data": [objects.refund(created=1.5)]}) == [
        "refund.created: integer there, number here"
    ]


async def test_the_official_client_finds_its_way_around_the_stand_in(
    stripe_shop: StripeMerchant,
) -> None:
    """What the library sends is understood, and what it gets is what it knows."""
    shop = stripe_shop
    card = (await shop.stored_card()).token
    client = stripe.StripeClient(
        shop.key, base_addresses={"api": f"{shop.url}/stripe"}, max_network_retries=0
    )
    body = {"amount": 1990, "currency": "eur", "customer": card["customer"]}
    body |= {"payment_method": card["payment_method"], "capture_method": "manual"}
    made = client.v1.payment_intents.create({**body, "metadata": {"reference": "sdk"}})
    held = client.v1.payment_intents.confirm(made.id, {"off_session": True})
    assert held.status == "requires_capture"
    taken = client.v1.payment_intents.capture(made.id, {"amount_to_capture": 1500})
    assert (taken.status, taken.amount_received) == ("succeeded", 1500)
    given = client.v1.refunds.create({"payment_intent": made.id, "amount": 500})
    assert given.status == "succeeded"
    again = {"params": body, "options": {"idempotency_key": "sdk-1"}}
    first = client.v1.payment_intents.create(**again)
    assert client.v1.payment_intents.create(**again).id == first.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(
            {**body, "amount": 1}, options={"idempotency_key": "sdk-1"}
        )
    with pytest.raises(stripe.InvalidRequestError) as gone:
        client.v1.payment_intents.create({**body, "payment_method_types": ["card"]})
    assert gone.value.code == "payment_method_types_no_longer_supported"
    broke = (await shop.stored_card("4000000000009995")).token
    poor = client.v1.payment_intents.create(
        {**body, "customer": broke["customer"], "payment_method": broke["payment_method"]}
    )
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.confirm(poor.id, {"off_session": True})
    assert declined.value.error.decline_code == "insufficient_funds"
    listed = client.v1.payment_intents.list({"limit": 2})
    assert [one.id for one in listed.auto_paging_iter()] == [poor.id, first.id, made.id]
    kinds = [event.type for event in client.v1.events.list({"limit": 100}).data]
    assert kinds[-2:] == ["payment_intent.succeeded", "payment_intent.amount_capturable_updated"]
    wrong = stripe.StripeClient("sk_test_no", base_addresses={"api": f"{shop.url}/stripe"})
    with pytest.raises(stripe.AuthenticationError):
        wrong.v1.accounts.retrieve_current()
