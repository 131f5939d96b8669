"""Webhooks of the sandbox PSP: whose they are, and what they say."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import NotificationRejected
from integrator.psp.sandbox import ADAPTER
from integrator.psp.types import Approved, Declined, NotificationEvent, SettingsCheck
from tests.psp.builders import (
    NOW,
    REFERENCE,
    authorization_json,
    card_json,
    charge_json,
    event,
    failure,
    mandate_json,
    refund_json,
    session_json,
    settings,
    signed,
)

BODY = event("charge.succeeded", charge_json())


def parse(
    body: bytes, signature: str | None = None, *, header: str = "Sandbox-Signature"
) -> NotificationEvent:
    headers = {"content-type": "application/json", header: signature or signed(body)}
    (notice,) = ADAPTER.parse_notification(settings(), headers, body, NOW)
    return notice


def test_a_signed_event_is_believed() -> None:
    notice = parse(BODY)
    assert (notice.event_id, notice.relevant, notice.reference) == ("evt_1", True, REFERENCE)
    assert notice.psp_ids == ("ch_1",)
    assert isinstance(notice.result, Approved)


@pytest.mark.parametrize("header", ["sandbox-signature", "SANDBOX-SIGNATURE"])
def test_header_names_have_no_case(header: str) -> None:
    assert parse(BODY, header=header).relevant


def test_one_of_several_signatures_is_enough() -> None:
    time, right = signed(BODY).split(",")
    _, wrong = signed(BODY, secret="old").split(",")
    assert parse(BODY, f"{time},{wrong},{right}").relevant
    assert parse(BODY, f"{time}, {right}, {wrong}, v0=x").relevant


@pytest.mark.parametrize(
    "signature",
    [
        signed(BODY, secret="another"),
        signed(BODY + b" "),
        signed(BODY).replace("t=1", "t=2"),
        signed(BODY).replace("v1=", "v0="),
        signed(BODY).replace("t=", "at="),
        signed(BODY).split(",")[0],
        signed(BODY).split(",")[1],
        signed(BODY) + ",t=5",
        signed(BODY).upper(),
        "t=٣,v1=" + "0" * 64,
        "t=" + "9" * 5000 + ",v1=" + "0" * 64,
        "t=1768467600,v1=" + "é" * 64,
        "rubbish",
        ",=,",
    ],
)
def test_wrong_signatures(signature: str) -> None:
    with pytest.raises(NotificationRejected):
        parse(BODY, signature)


def test_an_unsigned_notification() -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(settings(), {}, BODY, NOW)


@given(st.binary(max_size=60), st.text(max_size=60))
def test_no_rubbish_gets_through(body: bytes, signature: str) -> None:
    with pytest.raises(NotificationRejected):
        ADAPTER.parse_notification(settings(), {"Sandbox-Signature": signature}, body, NOW)


@pytest.mark.parametrize("seconds", [-300, 300])
def test_five_minutes_either_way_are_fine(seconds: int) -> None:
    assert parse(BODY, signed(BODY, at=NOW + timedelta(seconds=seconds))).relevant


@pytest.mark.parametrize("seconds", [-301, 301])
def test_older_and_later_ones_are_not(seconds: int) -> None:
    with pytest.raises(NotificationRejected):
        parse(BODY, signed(BODY, at=NOW + timedelta(seconds=seconds)))


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"id": "evt_1"}', b"\xff"])
def test_a_signed_body_that_is_no_event(body: bytes) -> None:
    with pytest.raises(NotificationRejected):
        parse(body)


def test_an_object_without_id_is_no_event() -> None:
    with pytest.raises(NotificationRejected):
        parse(event("charge.succeeded", {"reference": REFERENCE}))


def test_unknown_events_are_of_no_interest() -> None:
    assert parse(event("payout.paid", {})) == NotificationEvent(event_id="evt_1", relevant=False)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("charge.succeeded", charge_json(amount="119.00")),
        ("charge.succeeded", charge_json(currency="???")),
        ("checkout_session.completed", session_json("completed")),
    ],
)
def test_what_is_signed_but_not_understood_has_to_be_fetched(
    kind: str, data: dict[str, Any]
) -> None:
    notice = parse(event(kind, data))
    assert notice.relevant
    assert notice.reference == REFERENCE
    assert notice.result is None


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
            session_json("failed", failure=failure("card_declined")),
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
def test_every_event(
    kind: str, data: dict[str, Any], outcome: str, psp_ids: tuple[str, ...]
) -> None:
    notice = parse(event(kind, data))
    assert notice.result is not None
    assert notice.result.outcome == outcome
    assert notice.psp_ids == psp_ids
    assert notice.reference == REFERENCE


def test_an_expired_checkout_says_so() -> None:
    result = parse(event("checkout_session.expired", session_json("expired"))).result
    assert isinstance(result, Declined)
    assert result.status is Status.Expired


def test_settings_of_another_adapter() -> None:
    with pytest.raises(TypeError):
        ADAPTER.parse_notification(SettingsCheck(), {}, BODY, NOW)
