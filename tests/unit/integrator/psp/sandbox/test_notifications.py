"""Verification and reading of the sandbox PSP's webhooks."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import NotificationRejected
from integrator.psp.sandbox import ADAPTER
from integrator.psp.types import Approved, Declined, NotificationEvent, SettingsCheck
from tests.integration.integrator.psp.builders import (
    NOW,
    REFERENCE,
    authorization_json,
    build_signature,
    card_json,
    charge_json,
    event_json,
    failure_json,
    mandate_json,
    refund_json,
    session_json,
    settings,
)
from tests.support.notification_events import without_raw

BODY = event_json("charge.succeeded", charge_json())


def parse(
    body: bytes, signature: str | None = None, *, header: str = "Sandbox-Signature"
) -> NotificationEvent:
    headers = {"content-type": "application/json", header: signature or build_signature(body)}
    (notification,) = ADAPTER.parse_notification(settings(), headers, body, NOW)
    return without_raw(ADAPTER, notification)


def test_a_signed_event_is_trusted() -> None:
    notification = parse(BODY)
    assert (notification.event_id, notification.relevant, notification.reference) == (
        "evt_1",
        True,
        REFERENCE,
    )
    assert notification.psp_ids == ("ch_1",)
    assert isinstance(notification.result, Approved)


@pytest.mark.parametrize("header", ["sandbox-signature", "SANDBOX-SIGNATURE"])
def test_header_names_are_case_insensitive(header: str) -> None:
    assert parse(BODY, header=header).relevant


def test_one_of_several_signatures_is_enough() -> None:
    time, right = build_signature(BODY).split(",")
    _, wrong = build_signature(BODY, secret="old").split(",")
    assert parse(BODY, f"{time},{wrong},{right}").relevant
    assert parse(BODY, f"{time}, {right}, {wrong}, v0=x").relevant


@pytest.mark.parametrize(
    "signature",
    [
        build_signature(BODY, secret="another"),
        build_signature(BODY + b" "),
        build_signature(BODY).replace("t=1", "t=2"),
        build_signature(BODY).replace("v1=", "v0="),
        build_signature(BODY).replace("t=", "at="),
        build_signature(BODY).split(",")[0],
        build_signature(BODY).split(",")[1],
        build_signature(BODY) + ",t=5",
        build_signature(BODY).upper(),
        "t=٣,v1=" + "0" * 64,
        "t=" + "9" * 5000 + ",v1=" + "0" * 64,
        "t=1768467600,v1=" + "é" * 64,
        "rubbish",
        ",=,",
    ],
)
def test_wrong_signatures_are_rejected(signature: str) -> None:
    with pytest.raises(NotificationRejected):
        parse(BODY, signature)


def test_an_unsigned_notification_is_rejected() -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(settings(), {}, BODY, NOW)


@given(st.binary(max_size=60), st.text(max_size=60))
def test_arbitrary_bodies_are_rejected(body: bytes, signature: str) -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(settings(), {"Sandbox-Signature": signature}, body, NOW)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_times_within_five_minutes_are_accepted(seconds: int) -> None:
    assert parse(BODY, build_signature(BODY, at=NOW + timedelta(seconds=seconds))).relevant


@pytest.mark.parametrize("seconds", [-301, 301])
def test_times_beyond_five_minutes_are_rejected(seconds: int) -> None:
    with pytest.raises(NotificationRejected):
        parse(BODY, build_signature(BODY, at=NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id": "evt_1"}', b"\xff"])
def test_a_signed_body_that_is_not_an_event_is_unreadable(body: bytes) -> None:
    notification = parse(body)
    assert (notification.relevant, notification.unreadable) == (False, True)
    with pytest.raises(NotificationRejected):
        ADAPTER.read_event(body)


def test_an_event_whose_object_lacks_an_id_is_unreadable() -> None:
    assert parse(event_json("charge.succeeded", {"reference": REFERENCE})).unreadable


def test_unknown_event_types_are_ignored() -> None:
    assert parse(event_json("payout.paid", {})) == NotificationEvent(
        event_id="evt_1", relevant=False
    )


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("charge.succeeded", charge_json(amount="119.00")),
        ("charge.succeeded", charge_json(currency="???")),
        ("checkout_session.completed", session_json("completed")),
    ],
)
def test_an_unreadable_object_has_to_be_fetched(kind: str, data: dict[str, Any]) -> None:
    notification = parse(event_json(kind, data))
    assert notification.relevant
    assert notification.reference == REFERENCE
    assert notification.result is None


@pytest.mark.parametrize(
    ("kind", "data", "outcome", "psp_ids"),
    [
        (
            "checkout_session.completed",
            session_json("completed", authorization=authorization_json()),
            "approved",
            ("cs_1", "auth_1"),
        ),
        (
            "checkout_session.completed",
            session_json("completed", mode="setup", payment_method=card_json()),
            "approved",
            ("cs_1",),
        ),
        (
            "checkout_session.failed",
            session_json("failed", failure=failure_json("card_declined")),
            "declined",
            ("cs_1",),
        ),
        ("checkout_session.cancelled", session_json("cancelled"), "declined", ("cs_1",)),
        ("checkout_session.expired", session_json("expired"), "declined", ("cs_1",)),
        ("authorization.authorized", authorization_json(), "approved", ("auth_1",)),
        ("authorization.voided", authorization_json("voided"), "declined", ("auth_1",)),
        ("authorization.expired", authorization_json("expired"), "declined", ("auth_1",)),
        ("charge.pending", charge_json("pending", booked_on=None), "pending", ("ch_1",)),
        ("charge.failed", charge_json("failed"), "declined", ("ch_1",)),
        ("charge.charged_back", charge_json(), "approved", ("ch_1",)),
        ("refund.succeeded", refund_json(), "approved", ("re_1",)),
        ("refund.pending", refund_json("pending"), "pending", ("re_1",)),
        ("refund.failed", refund_json("failed"), "declined", ("re_1",)),
        ("mandate.active", mandate_json(), "approved", ("mdt_1",)),
    ],
)
def test_every_event_type(
    kind: str, data: dict[str, Any], outcome: str, psp_ids: tuple[str, ...]
) -> None:
    notification = parse(event_json(kind, data))
    assert notification.result is not None
    assert notification.result.outcome == outcome
    assert notification.psp_ids == psp_ids
    assert notification.reference == REFERENCE


def test_an_expired_checkout_is_expired() -> None:
    result = parse(event_json("checkout_session.expired", session_json("expired"))).result
    assert isinstance(result, Declined)
    assert result.status is Status.Expired


def test_settings_of_another_adapter_are_rejected() -> None:
    with pytest.raises(TypeError):
        ADAPTER.parse_notification(SettingsCheck(), {}, BODY, NOW)
