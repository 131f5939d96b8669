"""Event and movement lists of the sandbox adapter, with canned pages and a running PSP."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from pydantic import HttpUrl

from integrator.psp.errors import NotificationRejected, ProtocolError
from integrator.psp.port import Connection
from integrator.psp.sandbox import SandboxAdapter
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.types import Approved, Declined, Movement, MovementKind, Pending
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.builders import (
    NOW,
    REFERENCE,
    authorization_json,
    charge_json,
    event_json,
    lookup,
    refund_json,
    settings,
)
from tests.integration.integrator.psp.conftest import Merchant

CONFIG = SandboxConfig.model_construct(url=HttpUrl("https://psp.example"), port=1)
CREATED_AT = {"created_at": "2026-01-15T09:00:00Z"}
HOUR = timedelta(hours=1)


def connect_with_response(answer: Callable[[httpx.Request], Any]) -> Connection:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer(request))

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return SandboxAdapter(CONFIG).connect(settings(), http)


def page(data: list[Any], after: str | None = None, more: bool = False) -> dict[str, Any]:
    return {"data": data, "next": after, "has_more": more}


async def list_all_movements(connection: Connection) -> list[Movement]:
    movements: list[Movement] = []
    cursor: str | None = None
    while True:
        part = await connection.list_movements(NOW - HOUR, NOW + HOUR, cursor)
        movements.extend(part.movements)
        cursor = part.cursor
        if cursor is None:
            return movements


class TestEvents:
    async def test_a_page_of_events(self) -> None:
        requests: list[str] = []

        def answer(request: httpx.Request) -> Any:
            requests.append(str(request.url))
            entry = json.loads(event_json("charge.succeeded", charge_json()))
            return page([entry, {"no": "event"}], "7", more=True)

        event_page = await connect_with_response(answer).list_events("3")
        assert requests == ["https://psp.example/v1/events?after=3&limit=100"]
        assert (event_page.cursor, event_page.more) == ("7", True)
        (listed,) = event_page.events
        (notification,) = listed.notices
        assert (notification.event_id, notification.reference) == ("evt_1", REFERENCE)
        assert list(SandboxAdapter().read_event(listed.raw)) == [notification]
        assert "charge" not in repr(listed)

    async def test_the_end_of_the_list_keeps_the_cursor(self) -> None:
        event_page = await connect_with_response(lambda _: page([])).list_events("3")
        assert (event_page.events, event_page.cursor, event_page.more) == ((), "3", False)

    async def test_the_beginning_of_the_list(self) -> None:
        requests: list[str] = []

        def answer(request: httpx.Request) -> Any:
            requests.append(str(request.url))
            return page([])

        assert (await connect_with_response(answer).list_events(None)).cursor is None
        assert requests == ["https://psp.example/v1/events?limit=100"]

    def test_a_body_that_is_not_an_event_is_rejected(self) -> None:
        with pytest.raises(NotificationRejected):
            SandboxAdapter().read_event(b"{}")


class TestMovements:
    async def test_every_movement_kind_page_by_page(self) -> None:
        requests: list[tuple[str, str | None]] = []

        def answer(request: httpx.Request) -> Any:
            path, after = request.url.path, request.url.params.get("after")
            requests.append((path.removeprefix("/v1/"), after))
            assert request.url.params["created_from"] == "2026-01-15T08:00:00.000Z"
            assert request.url.params["created_to"] == "2026-01-15T10:00:00.000Z"
            match path, after:
                case "/v1/authorizations", _:
                    return page([authorization_json(**CREATED_AT)], "1")
                case "/v1/charges", None:
                    return page([charge_json(authorization="auth_1")], "2", more=True)
                case "/v1/charges", _:
                    return page([charge_json("declined", id="ch_2", reference=None)], "3")
                case _:
                    return page([refund_json("pending", **CREATED_AT)], "4")

        movements, capture, declined_charge, refund = await list_all_movements(
            connect_with_response(answer)
        )
        assert requests == [
            ("authorizations", None),
            ("charges", None),
            ("charges", "2"),
            ("refunds", None),
        ]
        assert (movements.kind, movements.psp_id, movements.parent_psp_id) == (
            MovementKind.AUTHORIZATION,
            "auth_1",
            None,
        )
        assert (capture.kind, capture.reference, capture.parent_psp_id) == (
            MovementKind.PAYMENT,
            REFERENCE,
            "auth_1",
        )
        assert (capture.amount, capture.currency, capture.booked_at) == (
            Decimal("119.00"),
            "EUR",
            NOW,
        )
        assert isinstance(capture.outcome, Approved)
        assert (declined_charge.reference, declined_charge.parent_psp_id) == (None, None)
        assert isinstance(declined_charge.outcome, Declined)
        assert (refund.kind, refund.parent_psp_id) == (MovementKind.REFUND, "ch_1")
        assert isinstance(refund.outcome, Pending)

    async def test_another_systems_payment_in_an_unknown_currency_is_left_out(self) -> None:
        foreign = charge_json(**CREATED_AT) | {"id": "ch_foreign", "currency": "ZZZ"}
        ours = charge_json(**CREATED_AT)

        def answer(request: httpx.Request) -> Any:
            return page([foreign, ours] if request.url.path == "/v1/charges" else [])

        (movement,) = await list_all_movements(connect_with_response(answer))
        assert movement.psp_id == ours["id"]

    async def test_an_object_without_its_time_is_a_protocol_error(self) -> None:
        with pytest.raises(ProtocolError):
            await list_all_movements(connect_with_response(lambda _: page([authorization_json()])))


class TestAgainstSandboxPsp:
    async def test_the_event_list_continues_after_the_cursor(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        first = await merchant.connection.list_events(None)
        call = builders.charge("20.00", instrument=card)
        await merchant.connection.charge(call)
        second = await merchant.connection.list_events(first.cursor)
        (notification,) = (
            notification for event in second.events for notification in event.notices
        )
        assert notification.reference == call.reference
        third = await merchant.connection.list_events(second.cursor)
        assert (third.events, third.cursor) == ((), second.cursor)

    async def test_a_movement_has_the_outcome_of_its_look_up(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        begins = datetime.now(UTC) - timedelta(seconds=1)
        call = builders.charge("20.00", instrument=card)
        paid = await merchant.connection.charge(call)
        assert isinstance(paid, Approved)
        created_refund = await merchant.call_control("refunds", charge=paid.psp_id, amount=500)
        page = await merchant.connection.list_movements(begins, datetime.now(UTC) + HOUR, "charges")
        (movement,) = page.movements
        assert (movement.psp_id, movement.reference) == (paid.psp_id, call.reference)
        assert movement.outcome == await merchant.connection.fetch_payment(lookup(call.reference))
        page = await merchant.connection.list_movements(
            begins, datetime.now(UTC) + HOUR, page.cursor
        )
        (refund,) = page.movements
        assert (refund.psp_id, refund.parent_psp_id, refund.amount) == (
            created_refund["id"],
            paid.psp_id,
            Decimal("5.00"),
        )
        assert page.cursor is None
