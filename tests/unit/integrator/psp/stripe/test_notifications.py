"""Verification and reading of Stripe's webhooks."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrator.psp.errors import NotificationRejected
from integrator.psp.stripe import ADAPTER
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Approved, NotificationEvent, Outcome, Pending
from tests.integration.integrator.psp.stripe import objects
from tests.integration.integrator.psp.stripe.objects import CAPTURE, REFERENCE

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
SECRETS = ("whsec_new", "whsec_old")
SETTINGS = StripeSettings.model_validate(
    {"ApiKey": "sk_test_unit", "WebhookSecret": ", ".join(SECRETS)}
)


def build_signature_header(body: bytes, *secrets: str, at: datetime = NOW) -> dict[str, str]:
    seconds = int(at.timestamp())
    digests = [
        hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        for secret in secrets
    ]
    return {"stripe-signature": ",".join([f"t={seconds}", *(f"v1={d}" for d in digests)])}


def read_notification(event_type: str, psp_object: dict[str, Any]) -> NotificationEvent:
    body = json.dumps(objects.event(event_type, psp_object)).encode()
    [notification] = ADAPTER.parse_notification(
        SETTINGS, build_signature_header(body, SECRETS[0]), body, NOW
    )
    assert ADAPTER.read_event(body) == [notification]
    return notification


def test_a_successful_payment_is_trusted() -> None:
    notification = read_notification("payment_intent.succeeded", objects.intent())
    assert (notification.reference, notification.psp_ids) == (REFERENCE, ("pi_1", "ch_1"))
    assert isinstance(notification.result, Approved)
    assert [fact.id for fact in notification.result.facts] == ["ch_1"]


def test_a_capture_has_to_be_fetched_by_its_own_reference() -> None:
    metadata = {"reference": REFERENCE, "capture": CAPTURE}
    intent = objects.intent(capture_method="manual", metadata=metadata)
    notification = read_notification("payment_intent.succeeded", intent)
    assert (notification.reference, notification.psp_ids, notification.result) == (
        CAPTURE,
        ("pi_1", "ch_1"),
        None,
    )


@pytest.mark.parametrize(
    ("event_type", "psp_object", "reference", "ids", "result"),
    [
        (
            "payment_intent.amount_capturable_updated",
            objects.intent("requires_capture", capture_method="manual"),
            REFERENCE,
            ("pi_1", "ch_1"),
            None,
        ),
        (
            "payment_intent.canceled",
            objects.intent("canceled", metadata={"reference": REFERENCE, "capture": CAPTURE}),
            REFERENCE,
            ("pi_1",),
            None,
        ),
        (
            "payment_intent.payment_failed",
            objects.intent("requires_payment_method"),
            REFERENCE,
            ("pi_1",),
            None,
        ),
        (
            "checkout.session.completed",
            objects.session("complete", payment_intent="pi_1"),
            REFERENCE,
            ("cs_1", "pi_1"),
            None,
        ),
        ("checkout.session.expired", objects.session("expired"), REFERENCE, ("cs_1",), None),
        ("refund.failed", objects.refund("failed"), REFERENCE, ("re_1",), None),
        (
            "charge.dispute.created",
            objects.dispute("needs_response"),
            None,
            ("ch_1", "pi_1"),
            None,
        ),
        (
            "setup_intent.succeeded",
            {"id": "seti_1", "object": "setup_intent", "metadata": {"reference": REFERENCE}},
            REFERENCE,
            ("seti_1",),
            Pending(psp_id="seti_1"),
        ),
    ],
)
def test_events_that_have_to_be_fetched(
    event_type: str,
    psp_object: dict[str, Any],
    reference: str | None,
    ids: tuple[str, ...],
    result: Outcome | None,
) -> None:
    notification = read_notification(event_type, psp_object)
    assert (notification.reference, notification.psp_ids, notification.result) == (
        reference,
        ids,
        result,
    )
    assert notification.relevant


@pytest.mark.parametrize("event_type", ["charge.succeeded", "payment_intent.created", "comet.seen"])
def test_other_event_types_are_ignored(event_type: str) -> None:
    assert not read_notification(event_type, objects.charge()).relevant


def test_a_refund_without_our_reference_is_ignored() -> None:
    assert not read_notification("refund.created", objects.refund(metadata={})).relevant


@pytest.mark.parametrize(
    "older",
    [
        {"latest_charge": None, "charges": {"data": [objects.charge()]}},
        {"capture_method": None},
        {"currency": "zzz"},
        {"amount_received": "11900"},
    ],
)
def test_objects_of_another_api_version_have_to_be_fetched(older: dict[str, Any]) -> None:
    notification = read_notification("payment_intent.succeeded", objects.intent(**older))
    assert (notification.reference, notification.result) == (REFERENCE, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b'{"id": "evt_1", "type": "refund.created", "data": {}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": {"object": "refund"}}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": {"object": "comet"}}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": []}}',
    ],
)
def test_malformed_events_are_rejected(body: bytes) -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.read_event(body)


@pytest.mark.parametrize("secrets", [("whsec_old",), ("whsec_other", "whsec_new")])
def test_one_valid_signature_is_enough(secrets: tuple[str, ...]) -> None:
    body = json.dumps(objects.event("payment_intent.succeeded", objects.intent())).encode()
    assert ADAPTER.parse_notification(SETTINGS, build_signature_header(body, *secrets), body, NOW)


@pytest.mark.parametrize("offset", [-301, 301])
def test_times_too_far_from_now_are_rejected(offset: int) -> None:
    body = json.dumps(objects.event("payment_intent.succeeded", objects.intent())).encode()
    headers = build_signature_header(body, SECRETS[0], at=NOW + timedelta(seconds=offset))
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(SETTINGS, headers, body, NOW)
