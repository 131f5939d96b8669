"""Movements in Stripe's lists."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import ADAPTER
from integrator.psp.types import Approved, Declined, Movement
from tests.integration.integrator.psp.stripe import objects
from tests.integration.integrator.psp.stripe.test_client import (
    SETTINGS,
    FakeStripe,
    connect,
    error_body,
)

AT = datetime.fromtimestamp(objects.CREATED, UTC)


async def list_movements(path: str, *entries: dict[str, Any]) -> tuple[Movement, ...]:
    stripe = FakeStripe({f"GET {path}": [(200, {"data": list(entries)})]})
    page = await connect(stripe).list_movements(AT, AT + timedelta(minutes=10), path)
    return page.movements


FAILED = objects.charge(status="failed", captured=False, amount_captured=0)
HELD = objects.charge(captured=False, amount_captured=0)
MANUAL = objects.intent(capture_method="manual", metadata={"capture": objects.CAPTURE})


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        ({"status": "requires_payment_method", "latest_charge": FAILED}, None),
        ({"status": "requires_confirmation"}, None),
        ({"status": "canceled", "latest_charge": None}, None),
        ({"status": "canceled", "latest_charge": FAILED}, None),
        ({"status": "canceled", "latest_charge": HELD}, Declined),
        ({"status": "requires_capture", "latest_charge": HELD}, Approved),
    ],
)
async def test_only_an_intent_that_reserved_money_is_listed(
    values: dict[str, Any], outcome: type[Approved | Declined] | None
) -> None:
    intent = objects.intent(capture_method="manual", **values)
    movements = await list_movements("payment_intents", intent)
    assert [type(movement.outcome) for movement in movements] == ([outcome] if outcome else [])


async def test_a_capture_is_listed_by_its_balance_transaction() -> None:
    charge = objects.charge(payment_intent=MANUAL, amount_captured=10000)
    transaction = objects.balance_transaction(11900, source=charge)
    uncaptured = objects.balance_transaction(
        500, source=objects.charge(payment_intent=objects.intent())
    )
    legacy = objects.balance_transaction(600, source=objects.charge(payment_intent=None))
    [movement] = await list_movements("balance_transactions", transaction, uncaptured, legacy)
    assert (movement.psp_id, movement.parent_psp_id) == ("ch_1", "pi_1")
    assert movement.reference == objects.CAPTURE
    assert (str(movement.amount), movement.booked_at) == ("100.00", AT + timedelta(days=1))


@pytest.mark.parametrize(
    ("intent", "parent"),
    [(MANUAL, "ch_1"), (objects.intent(), "pi_1"), (None, "ch_1")],
)
async def test_the_parent_of_a_refund_is_the_payments_psp_id(
    intent: dict[str, Any] | None, parent: str
) -> None:
    transaction = objects.balance_transaction(-1900, reporting_category="refund")
    refund = objects.refund(payment_intent=intent, metadata={}, balance_transaction=transaction)
    [movement] = await list_movements("refunds", refund)
    assert (movement.reference, movement.parent_psp_id) == (None, parent)


async def test_a_refund_without_its_payment_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        await list_movements("refunds", objects.refund())


async def test_lists_are_read_one_after_the_other() -> None:
    more = {"has_more": True, "data": [objects.intent(latest_charge=objects.charge())]}
    stripe = FakeStripe(
        {
            "GET payment_intents": [(200, more), (200, {"data": []})],
            "GET balance_transactions": [(200, {"data": []})],
            "GET refunds": [(200, {"data": []})],
        }
    )
    connection = connect(stripe)
    cursors: list[str | None] = [None]
    while True:
        page = await connection.list_movements(AT, AT + timedelta(seconds=90.5), cursors[-1])
        if page.cursor is None:
            break
        cursors.append(page.cursor)
    assert cursors == [None, "payment_intents:pi_1", "balance_transactions", "refunds"]
    for request in stripe.requests:
        params = request.url.params
        assert int(params["created[gte]"]) == objects.CREATED
        assert int(params["created[lt]"]) == objects.CREATED + 91
    assert stripe.requests[1].url.params["starting_after"] == "pi_1"
    assert stripe.requests[2].url.params["type"] == "charge"


async def test_a_refused_list_is_a_protocol_error() -> None:
    stripe = FakeStripe({"GET payment_intents": [(403, error_body("more_permissions_required"))]})
    with pytest.raises(ProtocolError):
        await connect(stripe).list_movements(AT, AT, None)


async def test_half_of_a_surrogate_pair_does_not_hide_the_events_of_a_page() -> None:
    odd = objects.intent(description="ODD", texts=["ODD"], nested=[[{"text": "ODD"}, "ODD"]])
    events = [
        objects.event("payment_intent.succeeded", odd, id="evt_2"),
        objects.event("payment_intent.succeeded", objects.intent(), id="evt_1"),
    ]
    body = json.dumps({"data": events}).replace("ODD", "\\ud83d").encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body))
    connection = ADAPTER.connect(SETTINGS, httpx.AsyncClient(transport=transport))
    page = await connection.list_events("evt_0")
    notices = [notice for event in page.events for notice in event.notices]
    assert [notice.event_id for notice in notices] == ["evt_1", "evt_2"]
