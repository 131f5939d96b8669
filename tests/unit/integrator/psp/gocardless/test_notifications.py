"""Verification and reading of GoCardless' webhooks."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from integrator.psp.errors import NotificationRejected
from integrator.psp.gocardless import ADAPTER
from integrator.psp.gocardless.settings import GoCardlessSettings
from integrator.psp.types import NotificationEvent
from tests.integration.integrator.psp.gocardless import objects
from tests.integration.integrator.psp.gocardless.objects import SECRET, event, signature, webhook
from tests.support.notification_events import without_raw

NOW = datetime(2026, 1, 15, 9, 0, tzinfo=UTC)


def settings(secrets: str = SECRET) -> GoCardlessSettings:
    form = {"AccessToken": "sandbox_unit", "WebhookSecret": secrets}
    return GoCardlessSettings.model_validate(form)


def parse(body: bytes, headers: dict[str, str], secrets: str = SECRET) -> list[NotificationEvent]:
    events = ADAPTER.parse_notification(settings(secrets), headers, body, NOW)
    return [without_raw(ADAPTER, event) for event in events]


def test_a_webhook_yields_one_event_per_entry() -> None:
    body = webhook(
        event("confirmed", id="EV1"),
        event("paid", "refunds", id="EV2"),
        event("fulfilled", "billing_requests", id="EV3"),
        event("cancelled", "mandates", id="EV4"),
    )
    assert parse(body, signature(body)) == [
        NotificationEvent(event_id="EV1", reference=objects.REFERENCE, psp_ids=("PM123",)),
        NotificationEvent(event_id="EV2", reference=objects.REFERENCE, psp_ids=("RF123",)),
        NotificationEvent(event_id="EV3", reference=objects.REFERENCE, psp_ids=("BRQ123",)),
        NotificationEvent(event_id="EV4", relevant=False),
    ]


@pytest.mark.parametrize(
    ("action", "kind", "relevant"),
    [
        ("created", "payments", False),
        ("failed", "payments", True),
        ("charged_back", "payments", True),
        ("chargeback_cancelled", "payments", True),
        ("a_new_action", "payments", True),
        ("submitted", "payments", False),
        ("chargeback_settled", "payments", False),
        ("bounced", "refunds", True),
        ("cancelled", "billing_requests", True),
        ("flow_visited", "billing_requests", False),
        ("paid", "payouts", False),
    ],
)
def test_relevant_and_ignored_actions(action: str, kind: str, relevant: bool) -> None:
    body = webhook(event(action, kind))
    (notification,) = parse(body, signature(body))
    assert notification.relevant is relevant
    assert notification.result is None


def test_an_event_of_an_object_without_our_reference() -> None:
    body = webhook(event("confirmed", resource_metadata={"order": "7"}))
    assert parse(body, signature(body))[0].reference is None
    body = webhook({k: v for k, v in event("confirmed").items() if k != "resource_metadata"})
    assert parse(body, signature(body))[0].psp_ids == ("PM123",)


def test_both_secrets_are_accepted_during_a_rotation() -> None:
    body = webhook(event("confirmed"))
    for secret in ("new_one", SECRET):
        assert parse(body, signature(body, secret), f"new_one,{SECRET}")


@pytest.mark.parametrize(
    "headers",
    [{}, {"Webhook-Signature": ""}, {"Webhook-Signature": "é"}, signature(b"{}", "other")],
)
def test_a_wrong_signature_is_rejected(headers: dict[str, str]) -> None:
    with pytest.raises(NotificationRejected):
        parse(webhook(event("confirmed")), headers)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        b'{"events": {}}',
        b'{"events": [7]}',
        b'{"events": [{"id": "EV1"}]}',
    ],
)
def test_a_signed_body_that_is_malformed_is_unreadable(body: bytes) -> None:
    (notification,) = parse(body, signature(body))
    assert (notification.relevant, notification.unreadable) == (False, True)


def test_a_listed_event_is_read_like_a_notified_one() -> None:
    entry: dict[str, Any] = event("confirmed")
    body = webhook(entry)
    assert list(ADAPTER.read_event(json.dumps(entry).encode())) == parse(body, signature(body))


def test_the_replacement_of_a_mandate_belongs_to_its_sign_up() -> None:
    replaced = event("replaced", "mandates", links={"mandate": "MD123", "new_mandate": "MD456"})
    (notification,) = parse(webhook(replaced), signature(webhook(replaced)))
    assert (notification.relevant, notification.reference, notification.psp_ids) == (
        True,
        objects.REFERENCE,
        ("MD123",),
    )


def test_an_unreadable_entry_does_not_hide_the_others() -> None:
    """A rejected webhook would be repeated as a whole, and finally be lost."""
    entries = [7, {"id": "EV1"}, None, {}, event("confirmed", id="EV2"), "EV3", [[]]]
    body = json.dumps({"events": entries}).encode()
    found = parse(body, signature(body))
    assert [notification.event_id for notification in found if notification.relevant] == ["EV2"]
    assert [notification.unreadable for notification in found] == [True] * 4 + [False] + [True] * 2
    assert len({notification.event_id for notification in found}) == len(entries)


def test_a_repeated_unreadable_entry_has_the_same_id() -> None:
    first, second = (
        json.dumps({"events": entries}).encode() for entries in ([7], [event("confirmed"), 7])
    )
    assert parse(first, signature(first))[0] == parse(second, signature(second))[1]


def test_every_event_keeps_its_own_json_only() -> None:
    entries = [event("confirmed", id=f"EV{number}") for number in range(250)]
    body = webhook(*entries)
    events = ADAPTER.parse_notification(settings(), signature(body), body, NOW)
    assert [json.loads(found.raw or b"") for found in events] == entries
    assert sum(len(found.raw or b"") for found in events) < len(body)


def test_an_empty_webhook_has_no_events() -> None:
    body = b'{"events": []}'
    assert parse(body, signature(body)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"details": None},
        {"details": [], "metadata": [], "resource_metadata": []},
        {"resource_metadata": {"transaction_id": objects.REFERENCE, "order": 7}},
        {"created_at": None},
        {"details": {"description": "\ud800 \x00"}},
        {"metadata": []},
        {"links": {"payment": "PM123", "mandate": ["MD1"], "creditor": None}},
    ],
)
def test_odd_members_do_not_make_an_event_unreadable(changes: dict[str, Any]) -> None:
    body = webhook(event("confirmed", **changes))
    (notification,) = parse(body, signature(body))
    assert (notification.relevant, notification.psp_ids) == (True, ("PM123",))


@pytest.mark.parametrize("links", [None, [], ["PM123"], {}, {"payment": ["PM123"]}])
def test_an_event_without_a_readable_link_is_found_by_its_reference(links: Any) -> None:
    body = webhook(event("failed", links=links))
    (notification,) = parse(body, signature(body))
    assert (notification.reference, notification.psp_ids) == (objects.REFERENCE, ())
    body = webhook(event("failed", links=links, resource_metadata=[]))
    (notification,) = parse(body, signature(body))
    assert (notification.relevant, notification.unreadable) == (False, True)


@pytest.mark.parametrize("character", ["\ud800", "\x00"])
def test_characters_that_no_database_stores_are_replaced(character: str) -> None:
    odd = event("confirmed", id=f"EV{character}", links={"payment": f"PM{character}"})
    body = webhook(odd)
    (notification,) = parse(body, signature(body))
    assert (notification.event_id, notification.psp_ids) == ("EV\ufffd", ("PM\ufffd",))
