"""Which of the entries of Stripe's lists are movements."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from integrator.psp.errors import ProtocolError
from integrator.psp.types import Approved, Declined, Movement
from tests.psp.stripe import objects
from tests.psp.stripe.test_client import Stripe, connected, error

AT = datetime.fromtimestamp(objects.CREATED, UTC)


async def listed(path: str, *entries: dict[str, Any]) -> tuple[Movement, ...]:
    stripe = Stripe({f"GET {path}": [(200, {"data": list(entries)})]})
    page = await connected(stripe).list_movements(AT, AT + timedelta(minutes=10), path)
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
async def test_only_what_held_money_is_a_reservation(
    values: dict[str, Any], outcome: type[Approved | Declined] | None
) -> None:
    intent = objects.intent(capture_method="manual", **values)
    found = await listed("payment_intents", intent)
    assert [type(movement.outcome) for movement in found] == ([outcome] if outcome else [])


async def test_a_capture_is_listed_by_its_balance() -> None:
    taken = objects.charge(payment_intent=MANUAL, amount_captured=10000)
    moved = objects.moved(11900, source=taken)
    at_once = objects.moved(500, source=objects.charge(payment_intent=objects.intent()))
    legacy = objects.moved(600, source=objects.charge(payment_intent=None))
    [movement] = await listed("balance_transactions", moved, at_once, legacy)
    assert (movement.psp_id, movement.parent_psp_id) == ("ch_1", "pi_1")
    assert movement.reference == objects.CAPTURE
    assert (str(movement.amount), movement.booked_at) == ("100.00", AT + timedelta(days=1))


@pytest.mark.parametrize(
    ("intent", "parent"),
    [(MANUAL, "ch_1"), (objects.intent(), "pi_1"), (None, "ch_1")],
)
async def test_a_refund_belongs_to_what_we_call_the_payment(
    intent: dict[str, Any] | None, parent: str
) -> None:
    moved = objects.moved(-1900, reporting_category="refund")
    refund = objects.refund(payment_intent=intent, metadata={}, balance_transaction=moved)
    [movement] = await listed("refunds", refund)
    assert (movement.reference, movement.parent_psp_id) == (None, parent)


async def test_a_refund_whose_payment_is_not_shown_is_not_understood() -> None:
    with pytest.raises(ProtocolError):
        await listed("refunds", objects.refund())


async def test_one_list_leads_to_the_next() -> None:
    more = {"has_more": True, "data": [objects.intent(latest_charge=objects.charge())]}
    stripe = Stripe(
        {
            "GET payment_intents": [(200, more), (200, {"data": []})],
            "GET balance_transactions": [(200, {"data": []})],
            "GET refunds": [(200, {"data": []})],
        }
    )
    connection = connected(stripe)
    cursors: list[str | None] = [None]
    while True:
        page = await connection.list_movements(AT, AT + timedelta(seconds=90.5), cursors[-1])
        if page.cursor is None:
            break
        cursors.append(page.cursor)
    assert cursors == [None, "payment_intents:pi_1", "balance_transactions", "refunds"]
    for request in stripe.seen:
        asked = request.url.params
        assert int(asked["created[gte]"]) == objects.CREATED
        assert int(asked["created[lt]"]) == objects.CREATED + 91
    assert stripe.seen[1].url.params["starting_after"] == "pi_1"
    assert stripe.seen[2].url.params["type"] == "charge"


async def test_a_list_that_is_refused_is_no_empty_one() -> None:
    stripe = Stripe({"GET payment_intents": [(403, error("more_permissions_required"))]})
    with pytest.raises(ProtocolError):
        await connected(stripe).list_movements(AT, AT, None)
