"""Verification of the PSP's webhooks, and the transaction that each identifies."""

import json
from datetime import timedelta
from typing import Any

import pytest

from integrator.psp.billwerk_pay import ADAPTER
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import NotificationEvent
from tests.integration.integrator.psp.billwerk_pay.builders import (
    NOW,
    SECRET,
    load_body,
    settings,
    webhook_body,
)
from tests.support.notification_events import without_raw

INVOICE, TRANSACTION = load_body("webhook")["invoice"], load_body("webhook")["transaction"]
MOVEMENT = (f"{INVOICE}/{TRANSACTION}",)


def read_notification(body: bytes, **form: str) -> NotificationEvent:
    [notification] = ADAPTER.parse_notification(settings(**form), {}, body, NOW)
    return without_raw(ADAPTER, notification)


@pytest.mark.parametrize(
    ("event", "reference", "psp_ids"),
    [
        ("invoice_settled", None, MOVEMENT),
        ("invoice_refund", None, (TRANSACTION,)),
        ("invoice_refund_failed", None, (TRANSACTION,)),
        ("invoice_authorized", INVOICE, MOVEMENT),
        ("invoice_failed", INVOICE, MOVEMENT),
        ("invoice_cancelled", INVOICE, MOVEMENT),
        ("customer_payment_method_added", INVOICE, ()),
    ],
)
def test_an_event_identifies_its_transaction(
    event: str, reference: str | None, psp_ids: tuple[str, ...]
) -> None:
    notification = read_notification(webhook_body(event_type=event))
    assert notification == NotificationEvent(
        event_id=load_body("webhook")["id"], reference=reference, psp_ids=psp_ids, result=None
    )


@pytest.mark.parametrize("event", ["invoice_created", "subscription_renewal", "comet_seen", ""])
def test_other_event_types_are_ignored(event: str) -> None:
    assert not read_notification(webhook_body(event_type=event)).relevant


def test_a_settle_without_a_transaction_identifies_its_handle() -> None:
    assert read_notification(webhook_body(transaction=None)).reference == INVOICE


def test_a_refund_without_a_transaction_identifies_its_handle() -> None:
    notification = read_notification(webhook_body(event_type="invoice_refund", transaction=None))
    assert (notification.reference, notification.psp_ids) == (INVOICE, ())


def test_only_id_and_time_are_signed() -> None:
    """So no other field may decide an outcome."""
    body = json.loads(webhook_body())
    forged = json.dumps({**body, "event_type": "invoice_failed", "invoice": "x"}).encode()
    notification = read_notification(forged)
    assert (notification.reference, notification.result) == ("x", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "0" * 64},
        {"signature": ""},
        {"id": "another"},
        {"timestamp": "2026-01-15T08:59:00.640Z"},
    ],
)
def test_a_change_of_a_signed_field_is_rejected(changes: dict[str, Any]) -> None:
    body = json.loads(webhook_body())
    with pytest.raises(NotificationRejected):
        read_notification(json.dumps({**body, **changes}).encode())


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=3), timedelta(seconds=-200)])
def test_an_old_timestamp_is_accepted(age: timedelta) -> None:
    assert read_notification(webhook_body(timestamp=(NOW - age).isoformat())).relevant


def test_a_timestamp_in_the_future_is_rejected() -> None:
    with pytest.raises(NotificationRejected):
        read_notification(webhook_body(timestamp=(NOW + timedelta(hours=1)).isoformat()))


@pytest.mark.parametrize("text", ["", "yesterday", "0"])
def test_a_signed_timestamp_that_is_no_time_makes_the_event_unreadable(text: str) -> None:
    notification = read_notification(webhook_body(timestamp=text))
    assert (notification.relevant, notification.unreadable) == (False, True)


def test_both_secrets_are_accepted_during_a_rotation() -> None:
    for secret in (SECRET, "the_new_one"):
        assert read_notification(
            webhook_body(secret), WebhookSecret=f"the_new_one, {SECRET}"
        ).relevant
    with pytest.raises(NotificationRejected):
        read_notification(webhook_body("a_third"), WebhookSecret=f"the_new_one, {SECRET}")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"id":1}'])
def test_malformed_bodies_are_rejected(body: bytes) -> None:
    with pytest.raises(NotificationRejected):
        read_notification(body)


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"id": "n_1"}', b"\xff"])
def test_what_is_no_notification_is_not_read(raw: bytes) -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.read_event(raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"event_type": "invoice_settled", "invoice": 7},
        {"event_type": "invoice_settled", "invoice": ""},
        {"event_type": 7},
        {"event_type": "customer_payment_method_added", "customer": ["c"]},
        {"event_type": "invoice_refund", "transaction": {}, "invoice": []},
    ],
)
def test_a_genuine_event_with_odd_members_is_ignored(changes: dict[str, Any]) -> None:
    """It is signed by its id and time alone: the PSP would repeat it for days."""
    assert not read_notification(webhook_body(**changes)).relevant


def test_null_members_are_absent() -> None:
    body = json.loads(webhook_body())
    nulls = {**body, "transaction": None, "customer": None, "subscription": None}
    assert read_notification(json.dumps(nulls).encode()).reference == INVOICE


@pytest.mark.parametrize("character", ["\ud800", "\x00"])
def test_characters_that_no_database_stores_are_replaced(character: str) -> None:
    notification = read_notification(
        webhook_body(event_type="invoice_cancelled", invoice=f"inv{character}")
    )
    assert notification.reference == "inv\ufffd"
