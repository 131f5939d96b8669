"""Stripe's official library against the adapter and the emulator.

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
from tests.integration.integrator.psp.stripe import contract, objects
from tests.integration.integrator.psp.stripe.conftest import StripeMerchant

stripe: Any = pytest.importorskip("stripe", reason="the stripe package is not installed")

SECRET = "whsec_oracle"
SETTINGS = StripeSettings.model_validate({"ApiKey": "sk_test_unit", "WebhookSecret": SECRET})
BODY = json.dumps(objects.event("payment_intent.succeeded", objects.intent()))


def parse_event_id(header: str, body: str = BODY) -> str:
    raw, now = body.encode(), datetime.now(UTC)
    [notice] = ADAPTER.parse_notification(SETTINGS, {"Stripe-Signature": header}, raw, now)
    return notice.event_id


def test_the_library_has_the_api_version_of_the_adapter() -> None:
    assert stripe.api_version == VERSION


def test_the_adapter_accepts_signatures_of_the_library() -> None:
    header = stripe.WebhookSignature.generate_signature_header(BODY, SECRET)
    assert parse_event_id(header) == "evt_1"
    with pytest.raises(NotificationRejected):
        parse_event_id(header, BODY.replace("11900", "1"))
    with pytest.raises(NotificationRejected):
        parse_event_id(stripe.WebhookSignature.generate_signature_header(BODY, "whsec_other"))
    for off in (-301, 301):
        at = int(time.time()) + off
        late = stripe.WebhookSignature.generate_signature_header(BODY, SECRET, timestamp=at)
        with pytest.raises(NotificationRejected):
            parse_event_id(late)


def test_the_library_accepts_signatures_of_the_emulator() -> None:
    header = signature(SECRET, BODY.encode())
    event = stripe.Webhook.construct_event(BODY, header, SECRET)
    assert (event.id, event.data.object.id) == ("evt_1", "pi_1")
    with pytest.raises(stripe.SignatureVerificationError):
        stripe.Webhook.construct_event(BODY + " ", header, SECRET)


VALID_PARAMETERS = {"amount": "100", "currency": "eur", "capture_method": "manual"}


@pytest.mark.parametrize(
    ("change", "error"),
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
def test_wrong_parameters_are_found(change: dict[str, Any], error: str | None) -> None:
    parameters = {
        name: value for name, value in {**VALID_PARAMETERS, **change}.items() if value is not None
    }
    errors = contract.find_parameter_errors(
        "_payment_intent_create_params", "PaymentIntentCreateParams", parameters
    )
    assert errors == ([error] if error else [])


def test_wrong_shapes_are_found() -> None:
    assert contract.find_shape_errors(objects.intent(amount="11900")) == [
        "payment_intent.amount: integer there, string here"
    ]
    assert contract.find_shape_errors({"data": [objects.refund(created=1.5)]}) == [
        "refund.created: integer there, number here"
    ]


async def test_the_official_client_works_with_the_emulator(
    stripe_merchant: StripeMerchant,
) -> None:
    """The emulator reads the library's requests, and the library its responses."""
    merchant = stripe_merchant
    card = (await merchant.create_stored_card()).token
    client = stripe.StripeClient(
        merchant.key, base_addresses={"api": f"{merchant.url}/stripe"}, max_network_retries=0
    )
    body = {"amount": 1990, "currency": "eur", "customer": card["customer"]}
    body |= {"payment_method": card["payment_method"], "capture_method": "manual"}
    intent = client.v1.payment_intents.create({**body, "metadata": {"reference": "sdk"}})
    confirmed = client.v1.payment_intents.confirm(intent.id, {"off_session": True})
    assert confirmed.status == "requires_capture"
    captured = client.v1.payment_intents.capture(intent.id, {"amount_to_capture": 1500})
    assert (captured.status, captured.amount_received) == ("succeeded", 1500)
    refund = client.v1.refunds.create({"payment_intent": intent.id, "amount": 500})
    assert refund.status == "succeeded"
    repeated_call = {"params": body, "options": {"idempotency_key": "sdk-1"}}
    first = client.v1.payment_intents.create(**repeated_call)
    assert client.v1.payment_intents.create(**repeated_call).id == first.id
    with pytest.raises(stripe.IdempotencyError):
        client.v1.payment_intents.create(
            {**body, "amount": 1}, options={"idempotency_key": "sdk-1"}
        )
    with pytest.raises(stripe.InvalidRequestError) as unsupported:
        client.v1.payment_intents.create({**body, "payment_method_types": ["card"]})
    assert unsupported.value.code == "payment_method_types_no_longer_supported"
    token = (await merchant.create_stored_card("4000000000009995")).token
    unpaid_intent = client.v1.payment_intents.create(
        {**body, "customer": token["customer"], "payment_method": token["payment_method"]}
    )
    with pytest.raises(stripe.CardError) as declined:
        client.v1.payment_intents.confirm(unpaid_intent.id, {"off_session": True})
    assert declined.value.error.decline_code == "insufficient_funds"
    listed = client.v1.payment_intents.list({"limit": 2})
    assert [intent.id for intent in listed.auto_paging_iter()] == [
        unpaid_intent.id,
        first.id,
        intent.id,
    ]
    kinds = [event.type for event in client.v1.events.list({"limit": 100}).data]
    assert kinds[-2:] == ["payment_intent.succeeded", "payment_intent.amount_capturable_updated"]
    unauthorized = stripe.StripeClient(
        "sk_test_no", base_addresses={"api": f"{merchant.url}/stripe"}
    )
    with pytest.raises(stripe.AuthenticationError):
        unauthorized.v1.accounts.retrieve_current()
