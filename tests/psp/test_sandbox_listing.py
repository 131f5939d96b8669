"""The sandbox adapter's lists: page by page, and against the PSP itself."""

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
from tests.psp import builders
from tests.psp.builders import (
    NOW,
    REFERENCE,
    authorization_json,
    charge_json,
    event,
    lookup,
    refund_json,
    settings,
)
from tests.psp.conftest import Merchant

CONFIG = SandboxConfig.model_construct(url=HttpUrl("https://psp.example"), port=1)
AT = {"created_at": "2026-01-15T09:00:00Z"}
HOUR = timedelta(hours=1)


def answering(answer: Callable[[httpx.Request], Any]) -> Connection:
    def handle(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=answer(request))

    http = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    return SandboxAdapter(CONFIG).connect(settings(), http)


def page(data: list[Any], after: str | None = None, more: bool = False) -> dict[str, Any]:
    return {"data": data, "next": after, "has_more": more}


async def every(connection: Connection) -> list[Movement]:
    found: list[Movement] = []
    cursor: str | None = None
    while True:
        part = await connection.list_movements(NOW - HOUR, NOW + HOUR, cursor)
        found.extend(part.movements)
        cursor = part.cursor
        if cursor is None:
            return found


class TestEvents:
    async def test_a_page(self) -> None:
        asked: list[str] = []

        def answer(request: httpx.Request) -> Any:
            asked.append(str(request.url))
            entry = json.loads(event("charge.succeeded", charge_json()))
            return page([entry, {"no": "event"}], "7", more=True)

        found = await answering(answer).list_events("3")
        assert asked == ["https://psp.example/v1/events?after=3&limit=100"]
        assert (found.cursor, found.more) == ("7", True)
        (listed,) = found.events
        (notice,) = listed.notices
        assert (notice.event_id, notice.reference) == ("evt_1", REFERENCE)
        assert list(SandboxAdapter().read_event(listed.raw)) == [notice]
        assert "charge" not in repr(listed)

    async def test_the_end_of_the_list_keeps_the_place(self) -> None:
        found = await answering(lambda _: page([])).list_events("3")
        assert (found.events, found.cursor, found.more) == ((), "3", False)

    async def test_the_beginning_of_the_list(self) -> None:
        asked: list[str] = []

        def answer(request: httpx.Request) -> Any:
            asked.append(str(request.url))
            return page([])

        assert (await answering(answer).list_events(None)).cursor is None
        assert asked == ["https://psp.example/v1/events?limit=100"]

    def test_what_is_no_event_is_refused(self) -> None:
        with pytest.raises(NotificationRejected):
            SandboxAdapter().read_event(b"{}")


class TestMovements:
    async def test_every_kind_page_by_page(self) -> None:
        asked: list[tuple[str, str | None]] = []

        def answer(request: httpx.Request) -> Any:
            path, after = request.url.path, request.url.params.get("after")
            asked.append((path.removeprefix("/v1/"), after))
            assert request.url.params["created_from"] == "2026-01-15T08:00:00.000Z"
            assert request.url.params["created_to"] == "2026-01-15T10:00:00.000Z"
            match path, after:
                case "/v1/authorizations", _:
                    return page([authorization_json(**AT)], "1")
                case "/v1/charges", None:
                    return page([charge_json(authorization="auth_1")], "2", more=True)
                case "/v1/charges", _:
                    return page([charge_json("declined", id="ch_2", reference=None)], "3")
                case _:
                    return page([refund_json("pending", **AT)], "4")

        held, taken, refused, given = await every(answering(answer))
        assert asked == [
            ("authorizations", None),
            ("charges", None),
            ("charges", "2"),
            ("refunds", None),
        ]
        assert (held.kind, held.psp_id, held.parent_psp_id) == (
            MovementKind.AUTHORIZATION,
            "auth_1",
            None,
        )
        assert (taken.kind, taken.reference, taken.parent_psp_id) == (
            MovementKind.PAYMENT,
            REFERENCE,
            "auth_1",
        )
        assert (taken.amount, taken.currency, taken.booked_at) == (Decimal("119.00"), "EUR", NOW)
        assert isinstance(taken.outcome, Approved)
        assert (refused.reference, refused.parent_psp_id) == (None, None)
        assert isinstance(refused.outcome, Declined)
        assert (given.kind, given.parent_psp_id) == (MovementKind.REFUND, "ch_1")
        assert isinstance(given.outcome, Pending)

    async def test_an_object_without_its_time_is_not_understood(self) -> None:
        with pytest.raises(ProtocolError):
            await every(answering(lambda _: page([authorization_json()])))


class TestAgainstThePsp:
    async def test_the_event_list_goes_on_where_it_was(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        first = await merchant.connection.list_events(None)
        call = builders.charge("20.00", instrument=card)
        await merchant.connection.charge(call)
        second = await merchant.connection.list_events(first.cursor)
        (notice,) = (notice for event in second.events for notice in event.notices)
        assert notice.reference == call.reference
        third = await merchant.connection.list_events(second.cursor)
        assert (third.events, third.cursor) == ((), second.cursor)

    async def test_a_movement_is_what_a_look_up_finds(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        begins = datetime.now(UTC) - timedelta(seconds=1)
        call = builders.charge("20.00", instrument=card)
        paid = await merchant.connection.charge(call)
        assert isinstance(paid, Approved)
        made = await merchant.control("refunds", charge=paid.psp_id, amount=500)
        page = await merchant.connection.list_movements(begins, datetime.now(UTC) + HOUR, "charges")
        (movement,) = page.movements
        assert (movement.psp_id, movement.reference) == (paid.psp_id, call.reference)
        assert movement.outcome == await merchant.connection.fetch_payment(lookup(call.reference))
        page = await merchant.connection.list_movements(
            begins, datetime.now(UTC) + HOUR, page.cursor
        )
        (refund,) = page.movements
        assert (refund.psp_id, refund.parent_psp_id, refund.amount) == (
            made["id"],
            paid.psp_id,
            Decimal("5.00"),
        )
        assert page.cursor is None
