"""Verification and reading of Stripe's webhooks."""

import hashlib
import hmac
import json
import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrator.psp.errors import NotificationRejected
from integrator.psp.stripe import ADAPTER
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Approved, NotificationEvent, Outcome, Pending
from tests.integration.integrator.psp.stripe import objects
from tests.integration.integrator.psp.stripe.objects import CAPTURE, REFERENCE
from tests.support.notification_events import without_raw

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


def read_notification(
    event_type: str, psp_object: dict[str, Any], **values: Any
) -> NotificationEvent:
    body = json.dumps(objects.event(event_type, psp_object, **values)).encode()
    [notification] = ADAPTER.parse_notification(
        SETTINGS, build_signature_header(body, SECRETS[0]), body, NOW
    )
    return without_raw(ADAPTER, notification)


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


@pytest.mark.parametrize("event_type", ["charge.refund.updated", "refund.updated"])
@pytest.mark.parametrize("version", ["2019-05-16", None])
def test_refunds_are_read_from_endpoints_of_every_version(
    event_type: str, version: str | None
) -> None:
    notification = read_notification(event_type, objects.refund(), api_version=version)
    assert (notification.reference, notification.psp_ids) == (REFERENCE, ("re_1",))
    assert notification.relevant


def test_a_charge_names_only_its_payment() -> None:
    notification = read_notification("charge.refunded", objects.charge())
    assert (notification.reference, notification.psp_ids) == (None, ("ch_1", "pi_1"))
    dispute = objects.dispute("won", metadata={"reference": "another"})
    notification = read_notification("charge.dispute.updated", dispute)
    assert (notification.reference, notification.psp_ids) == (None, ("ch_1", "pi_1"))


def test_a_payment_of_another_api_version_has_to_be_fetched() -> None:
    notification = read_notification(
        "payment_intent.succeeded", objects.intent(), api_version="2022-08-01"
    )
    assert (notification.reference, notification.result) == (REFERENCE, None)


def test_an_event_of_a_connected_account_is_ignored(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    intent = objects.intent()
    assert not read_notification("payment_intent.succeeded", intent, account="acct_2").relevant
    assert "evt_1 is ignored: it is of the connected account acct_2" in caplog.text
    assert read_notification("payment_intent.succeeded", intent, account=None).relevant


def thin_event(event_type: str, related: Any) -> NotificationEvent:
    values = {
        "id": "evt_65S",
        "object": "v2.core.event",
        "type": event_type,
        "created": "2026-11-30T09:00:00.000Z",
        "livemode": True,
        "related_object": related,
    }
    return parse_one(json.dumps(values).encode())


def parse_one(body: bytes) -> NotificationEvent:
    header = build_signature_header(body, SECRETS[0])
    [notification] = ADAPTER.parse_notification(SETTINGS, header, body, NOW)
    return without_raw(ADAPTER, notification)


@pytest.mark.parametrize(
    ("event_type", "related", "ids"),
    [
        ("v1.payment_intent.succeeded", {"id": "pi_1", "type": "payment_intent"}, ("pi_1",)),
        ("v1.refund.updated", {"id": "re_1", "type": "refund"}, ("re_1",)),
        ("v1.charge.dispute.closed", {"id": "du_1", "type": "dispute"}, None),
        ("v1.customer.created", {"id": "cus_1", "type": "customer"}, None),
        ("v2.core.account.updated", {"id": "acct_1", "type": "v2.core.account"}, None),
        ("v2.core.event_destination.ping", None, None),
        ("v1.payment_intent.succeeded", {"id": 1, "type": "payment_intent"}, None),
        ("v1.payment_intent.succeeded", "pi_1", None),
    ],
)
def test_a_thin_event_is_accepted(
    event_type: str, related: Any, ids: tuple[str, ...] | None
) -> None:
    notification = thin_event(event_type, related)
    assert notification.event_id == "evt_65S"
    assert (notification.relevant, notification.result) == (ids is not None, None)
    assert notification.psp_ids == (ids or ())


@pytest.mark.parametrize("place", ["description", "statement_descriptor", "new_member"])
@pytest.mark.parametrize("odd", ["\\ud83d", "\\udc00", "\\u0000"])
def test_odd_characters_do_not_hide_an_event(place: str, odd: str) -> None:
    members: dict[str, Any] = {place: "ODD", "list": ["ODD"]}
    event = objects.event("payment_intent.succeeded", objects.intent(**members))
    body = json.dumps(event).replace("ODD", odd)
    notification = parse_one(body.encode())
    assert (notification.reference, notification.psp_ids) == (REFERENCE, ("pi_1", "ch_1"))


def test_odd_ids_can_be_stored() -> None:
    values: dict[str, Any] = {"metadata": {"reference": "ODD"}, "latest_charge": "ODD"}
    event = objects.event("payment_intent.succeeded", objects.intent(**values), id="evt_ODD")
    for odd in ("\\ud83d", "\\u0000"):
        notification = parse_one(json.dumps(event).replace("ODD", odd).encode())
        texts = (notification.event_id, notification.reference or "", *notification.psp_ids)
        assert not any("\x00" in text for text in texts)
        assert "".join(texts).encode()


@pytest.mark.parametrize("metadata", [None, [], "x", {"reference": None}, {"reference": ""}])
def test_metadata_of_any_kind_are_read(metadata: Any) -> None:
    notification = read_notification("payment_intent.canceled", objects.intent(metadata=metadata))
    assert (notification.reference, notification.psp_ids) == (None, ("pi_1", "ch_1"))


def test_ids_of_related_objects_are_read_from_the_objects() -> None:
    dispute = objects.dispute("lost", charge=objects.charge(), payment_intent={"id": "pi_1"})
    notification = read_notification("charge.dispute.closed", dispute)
    assert notification.psp_ids == ("ch_1", "pi_1")


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
        b"\xff",
        b'{"id": "evt_1", "type": "refund.created"}',
        b'{"object": "v2.core.event"}',
        b'{"id": "evt_1", "type": "refund.created", "data": {}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": {"object": "refund"}}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": {"object": "comet"}}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": []}}',
        b'{"id": "evt_1", "type": "refund.created", "data": {"object": {"object": []}}}',
    ],
)
def test_malformed_events_are_rejected_in_the_list_and_unreadable_as_webhooks(body: bytes) -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.read_event(body)
    notification = parse_one(body)
    assert (notification.relevant, notification.unreadable) == (False, True)


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


@pytest.mark.parametrize(("days_later", "is_complete"), [(0, True), (5, False)])
def test_a_payment_that_succeeds_on_a_later_day_is_looked_up(
    days_later: int, is_complete: bool
) -> None:
    """Only its balance transaction has the day of the movement."""
    created = objects.CREATED + days_later * 86_400
    event = objects.event("payment_intent.succeeded", objects.intent(), created=created)
    result = parse_one(json.dumps(event).encode()).result
    assert isinstance(result, Approved) is is_complete
