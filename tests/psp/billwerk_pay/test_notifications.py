"""The PSP's webhooks: what is accepted, and whom it leads to."""

import json
from datetime import timedelta
from typing import Any

import pytest

from integrator.psp.billwerk_pay import ADAPTER
from integrator.psp.errors import NotificationRejected
from integrator.psp.types import NotificationEvent
from tests.psp.billwerk_pay.builders import NOW, SECRET, data, settings, webhook

INVOICE, TRANSACTION = data("webhook")["invoice"], data("webhook")["transaction"]
MOVEMENT = (f"{INVOICE}/{TRANSACTION}",)


def read(body: bytes, **form: str) -> NotificationEvent:
    [notice] = ADAPTER.parse_notification(settings(**form), {}, body, NOW)
    return notice


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
def test_leads_to_its_transaction(
    event: str, reference: str | None, psp_ids: tuple[str, ...]
) -> None:
    notice = read(webhook(event_type=event))
    assert notice == NotificationEvent(
        event_id=data("webhook")["id"], reference=reference, psp_ids=psp_ids, result=None
    )


@pytest.mark.parametrize("event", ["invoice_created", "subscription_renewal", "comet_seen", ""])
def test_other_events_are_let_be(event: str) -> None:
    assert not read(webhook(event_type=event)).relevant


def test_a_settle_without_a_transaction_leads_to_its_handle() -> None:
    assert read(webhook(transaction=None)).reference == INVOICE


def test_only_id_and_time_are_signed() -> None:
    """Which is why nothing else may decide anything."""
    body = json.loads(webhook())
    forged = json.dumps({**body, "event_type": "invoice_failed", "invoice": "x"}).encode()
    notice = read(forged)
    assert (notice.reference, notice.result) == ("x", None)


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": "0" * 64},
        {"signature": ""},
        {"id": "another"},
        {"timestamp": "2026-01-15T08:59:00.640Z"},
    ],
)
def test_anything_signed_that_is_changed_is_rejected(changes: dict[str, Any]) -> None:
    body = json.loads(webhook())
    with pytest.raises(NotificationRejected):
        read(json.dumps({**body, **changes}).encode())


@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=3), timedelta(seconds=-200)])
def test_repetitions_are_as_old_as_their_event(age: timedelta) -> None:
    assert read(webhook(timestamp=(NOW - age).isoformat())).relevant


def test_the_future_is_rejected() -> None:
    with pytest.raises(NotificationRejected):
        read(webhook(timestamp=(NOW + timedelta(hours=1)).isoformat()))


@pytest.mark.parametrize("text", ["", "yesterday", "0"])
def test_an_unreadable_time_is_rejected(text: str) -> None:
    with pytest.raises(NotificationRejected):
        read(webhook(timestamp=text))


def test_either_secret_is_good_during_a_rotation() -> None:
    for secret in (SECRET, "the_new_one"):
        assert read(webhook(secret), WebhookSecret=f"the_new_one, {SECRET}").relevant
    with pytest.raises(NotificationRejected):
        read(webhook("a_third"), WebhookSecret=f"the_new_one, {SECRET}")


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"{}", b"\xff", b"[" * 100_000, b'{"id":1}'])
def test_nonsense_is_rejected(body: bytes) -> None:
    with pytest.raises(NotificationRejected):
        read(body)


def test_there_is_no_list_of_events() -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.read_event(webhook())
