"""Webhooks: whom they are believed, and what each event says."""

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
from tests.psp.stripe import objects
from tests.psp.stripe.objects import CAPTURE, REFERENCE

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)
SECRETS = ("whsec_new", "whsec_old")
SETTINGS = StripeSettings.model_validate(
    {"ApiKey": "sk_test_unit", "WebhookSecret": ", ".join(SECRETS)}
)


def signed(body: bytes, *secrets: str, at: datetime = NOW) -> dict[str, str]:
    seconds = int(at.timestamp())
    digests = [
        hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        for secret in secrets
    ]
    return {"stripe-signature": ",".join([f"t={seconds}", *(f"v1={d}" for d in digests)])}


def read(kind: str, about: dict[str, Any]) -> NotificationEvent:
    body = json.dumps(objects.event(kind, about)).encode()
    [notice] = ADAPTER.parse_notification(SETTINGS, signed(body, SECRETS[0]), body, NOW)
    assert ADAPTER.read_event(body) == [notice]
    return notice


def test_a_payment_is_believed() -> None:
    notice = read("payment_intent.succeeded", objects.intent())
    assert (notice.reference, notice.psp_ids) == (REFERENCE, ("pi_1", "ch_1"))
    assert isinstance(notice.result, Approved)
    assert [fact.id for fact in notice.result.facts] == ["ch_1"]


def test_a_capture_is_asked_for_under_its_own_reference() -> None:
    metadata = {"reference": REFERENCE, "capture": CAPTURE}
    taken = objects.intent(capture_method="manual", metadata=metadata)
    notice = read("payment_intent.succeeded", taken)
    assert (notice.reference, notice.psp_ids, notice.result) == (CAPTURE, ("pi_1", "ch_1"), None)


@pytest.mark.parametrize(
    ("kind", "about", "reference", "ids", "result"),
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
def test_what_is_asked_for(
    kind: str,
    about: dict[str, Any],
    reference: str | None,
    ids: tuple[str, ...],
    result: Outcome | None,
) -> None:
    notice = read(kind, about)
    assert (notice.reference, notice.psp_ids, notice.result) == (reference, ids, result)
    assert notice.relevant


@pytest.mark.parametrize("kind", ["charge.succeeded", "payment_intent.created", "comet.seen"])
def test_what_is_of_no_interest(kind: str) -> None:
    assert not read(kind, objects.charge()).relevant


def test_a_refund_without_our_reference_is_for_the_list() -> None:
    assert not read("refund.created", objects.refund(metadata={})).relevant


@pytest.mark.parametrize(
    "older",
    [
        {"latest_charge": None, "charges": {"data": [objects.charge()]}},
        {"capture_method": None},
        {"currency": "zzz"},
        {"amount_received": "11900"},
    ],
)
def test_another_api_version_is_asked_for(older: dict[str, Any]) -> None:
    notice = read("payment_intent.succeeded", objects.intent(**older))
    assert (notice.reference, notice.result) == (REFERENCE, None)


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
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.read_event(body)


@pytest.mark.parametrize("secrets", [("whsec_old",), ("whsec_other", "whsec_new")])
def test_any_signature_with_any_secret_will_do(secrets: tuple[str, ...]) -> None:
    body = json.dumps(objects.event("payment_intent.succeeded", objects.intent())).encode()
    assert ADAPTER.parse_notification(SETTINGS, signed(body, *secrets), body, NOW)


@pytest.mark.parametrize("off", [-301, 301])
def test_the_time_counts_on_both_sides(off: int) -> None:
    body = json.dumps(objects.event("payment_intent.succeeded", objects.intent())).encode()
    headers = signed(body, SECRETS[0], at=NOW + timedelta(seconds=off))
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(SETTINGS, headers, body, NOW)
