"""PSP notifications: verified, stored, then signalled; nothing is lost and nothing is doubled."""

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any

import httpx
import pytest

from api.context import Context
from integrator.psp.types import (
    Approved,
    Fact,
    FactKind,
    Instrument,
    NotificationEvent,
    Outcome,
    Pending,
)
from integrator.store import Merchant, NotificationRow, Store, StoreUnavailable
from tests.api.builders import MERCHANT, STRANGER, UNKNOWN, preauth
from tests.api.conftest import Rows, World, assert_error
from tests.api.fakes import FakeTransactionClient, away
from workflows.state import TransactionKind

SIGNED = {"X-Signature": "s_1"}


def event(event_id: str = "evt_1", **given: Any) -> dict[str, Any]:
    return NotificationEvent(event_id=event_id, **given).model_dump(mode="json")


def approval(psp_id: str, **given: Any) -> Outcome:
    fact = Fact(kind=FactKind.AUTHORIZED, id=psp_id, amount=Decimal(119))
    return Approved(psp_id=psp_id, facts=(fact,), **given)


class Psp:
    """Posts notifications as the PSP of the merchant `demo`."""

    def __init__(self, client: httpx.AsyncClient, merchant: Merchant, store: Store) -> None:
        self._client = client
        self._store = store
        self.path = f"/api/notifications/{merchant.psp}/{merchant.psp_settings_id}"

    async def send(
        self, *events: dict[str, Any], headers: dict[str, str] = SIGNED
    ) -> httpx.Response:
        content = json.dumps({"events": events})
        request = self._client.build_request("POST", self.path, content=content, headers=headers)
        del request.headers["authorization"]
        return await self._client.send(request)

    async def row(self, number: int = 1) -> NotificationRow:
        row = await self._store.notification(number)
        assert row is not None
        return row


@pytest.fixture
async def psp(client: httpx.AsyncClient, store: Store) -> Psp:
    merchant = await store.merchant(MERCHANT)
    assert merchant is not None
    return Psp(client, merchant, store)


async def undecided(world: World, gateway: FakeTransactionClient) -> str:
    gateway.psp = lambda _: Pending(psp_id="auth_1")
    body = await world.preauth()
    id: str = body["transactionId"]
    return id


async def test_is_stored_and_signalled(
    psp: Psp, world: World, gateway: FakeTransactionClient, client: httpx.AsyncClient
) -> None:
    id = await undecided(world, gateway)
    response = await psp.send(event(psp_ids=["auth_1"], result=approval("auth_1").model_dump()))
    assert (response.status_code, response.content) == (200, b"")
    row = await psp.row()
    assert (row.state, row.transaction_id, row.event_id) == ("signalled", id, "evt_1")
    assert json.loads(row.raw)["events"]
    assert row.headers is not None
    assert row.headers["x-signature"] == "s_1"
    (signal,) = gateway.signals
    assert (signal.notification_id, signal.event_id) == (1, "evt_1")
    start = gateway.starts[-1]
    assert start.resume is not None
    assert start.resume.status.name == "Pending"


@pytest.mark.parametrize("path", ["/NOTIFICATIONS", "/api/Notifications"])
async def test_path_in_any_form(psp: Psp, path: str) -> None:
    psp.path = psp.path.replace("/api/notifications", path)
    assert (await psp.send(event())).status_code == 200


async def test_is_found_by_our_reference(
    psp: Psp, world: World, gateway: FakeTransactionClient
) -> None:
    id = await undecided(world, gateway)
    await psp.send(event(reference=id))
    assert (await psp.row()).state == "signalled"


@pytest.mark.parametrize("headers", [{}, {"X-Signature": "wrong"}])
async def test_with_a_bad_signature_leaves_nothing_but_a_count(
    psp: Psp,
    rows: Rows,
    context: Context,
    gateway: FakeTransactionClient,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
) -> None:
    stored = rows.count()
    response = await psp.send(event(reference="secret-reference"), headers=headers)
    assert_error(response, 401, "UnmappedError")
    assert rows.count() == stored
    assert gateway.calls == []
    assert context.rejected_notifications == {"fake": 1}
    assert [r.levelno for r in caplog.records if r.name == "api.notifications"] == [logging.WARNING]
    assert "secret-reference" not in caplog.text


async def test_to_nobody_is_not_found(psp: Psp, rows: Rows, store: Store) -> None:
    fresh = await store.add_merchant("fresh", "fake")
    stored = rows.count()
    settings_id = psp.path.rsplit("/", 1)[1]
    for path in (
        f"/api/notifications/nobody/{settings_id}",
        "/api/notifications/fake/000000000000000000000000",
        f"/api/notifications/fake/{fresh.psp_settings_id}",
    ):
        psp.path = path
        assert_error(await psp.send(event()), 404, "InvalidData")
    assert rows.count() == stored


async def test_too_large_is_refused(psp: Psp, rows: Rows) -> None:
    stored = rows.count()
    response = await psp.send(event(reference="x" * 300_000))
    assert_error(response, 413, "InvalidData")
    assert rows.count() == stored


@pytest.mark.parametrize(
    "given", [{"event_id": "e\x00"}, {"reference": "\x00"}, {"psp_ids": ["a", "\x00"]}]
)
async def test_with_ids_that_no_database_holds_is_refused(
    psp: Psp, rows: Rows, given: dict[str, Any]
) -> None:
    stored = rows.count()
    assert_error(await psp.send(event(**given)), 401, "UnmappedError")
    assert rows.count() == stored


async def test_of_no_interest_is_not_stored(psp: Psp, rows: Rows) -> None:
    stored = rows.count()
    assert (await psp.send(event(relevant=False))).status_code == 200
    assert rows.count() == stored


async def test_a_repetition_is_delivered_once(
    psp: Psp, world: World, gateway: FakeTransactionClient, rows: Rows
) -> None:
    await undecided(world, gateway)
    for _ in range(3):
        assert (await psp.send(event(psp_ids=["auth_1"]))).status_code == 200
    assert rows.count()["notifications"] == 1
    assert len(gateway.signals) == 1


async def test_before_its_transaction_is_parked(
    psp: Psp, gateway: FakeTransactionClient, world: World
) -> None:
    assert (await psp.send(event(reference=UNKNOWN, psp_ids=["auth_1"]))).status_code == 200
    row = await psp.row()
    assert (row.state, row.transaction_id) == ("parked", UNKNOWN)
    assert gateway.calls == []
    id = await undecided(world, gateway)
    await psp.send(event(reference=UNKNOWN, psp_ids=["auth_1"]))
    row = await psp.row()
    assert (row.state, row.transaction_id) == ("signalled", id)


async def test_a_reference_that_is_not_ours_is_not_kept_as_one(psp: Psp) -> None:
    await psp.send(event(reference="shop-order-7", psp_ids=["auth_9"]))
    assert (await psp.row()).transaction_id is None


async def test_of_another_merchants_transaction_is_parked(
    psp: Psp, world: World, gateway: FakeTransactionClient, store: Store
) -> None:
    id = await undecided(world, gateway)
    other = await store.merchant(STRANGER)
    assert other is not None
    psp.path = f"/api/notifications/fake/{other.psp_settings_id}"
    await psp.send(event(reference=id, psp_ids=["auth_1"]))
    assert (await psp.row()).state == "parked"
    assert gateway.signals == []


async def test_that_says_nothing_new_is_not_signalled(
    psp: Psp, world: World, gateway: FakeTransactionClient
) -> None:
    body = await world.preauth()
    state = gateway.states[(MERCHANT, TransactionKind.PREAUTH, body["transactionId"])]
    known = approval(state.psp_transaction_id or "")
    await psp.send(event(reference=body["transactionId"], result=known.model_dump()))
    assert (await psp.row()).state == "known"
    assert gateway.signals == []


async def test_that_brings_a_payment_method_is_signalled(
    psp: Psp, client: httpx.AsyncClient, gateway: FakeTransactionClient
) -> None:
    """A completed checkout whose result the state has, but not what later charges need."""
    gateway.psp = lambda _: Pending(psp_id="auth_1")
    body = preauth(requestedAmount=0)
    await client.post("/api/Preauth", json=body)
    result = Approved(psp_id="auth_1", instrument=Instrument(token={"t": "1"}, bearer={}))
    await psp.send(event(reference=body["transactionId"], result=result.model_dump()))
    assert (await psp.row()).state == "signalled"


@pytest.mark.parametrize("how", ["away", "not connected", "slow"])
async def test_waits_in_the_store_while_temporal_is_away(
    psp: Psp,
    world: World,
    gateway: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    await undecided(world, gateway)
    monkeypatch.setattr("api.notifications.SIGNAL_SECONDS", 0.05)

    async def fail() -> None:
        if how == "slow":
            await asyncio.Event().wait()
        raise away() if how == "away" else RuntimeError("Failed client connect")

    gateway.before["notify"] = fail
    sent = [event(f"evt_{n}", psp_ids=["auth_1"]) for n in range(3)]
    response = await psp.send(*sent)
    assert (response.status_code, response.content) == (200, b"")
    assert gateway.calls.count("notify") == 1
    for number in (1, 2, 3):
        assert (await psp.row(number)).state == "stored"
    del gateway.before["notify"]
    await psp.send(*sent)
    assert [(await psp.row(n)).state for n in (1, 2, 3)] == ["signalled"] * 3


async def test_that_cannot_be_stored_is_not_accepted(
    psp: Psp, store: Store, monkeypatch: pytest.MonkeyPatch, gateway: FakeTransactionClient
) -> None:
    async def unavailable(*_: object) -> None:
        raise StoreUnavailable("locked")

    monkeypatch.setattr(store, "store_notification", unavailable)
    response = await psp.send(event())
    assert_error(response, 503, "InternalError")
    assert gateway.calls == []


async def test_all_are_stored_before_any_is_told(
    psp: Psp, world: World, gateway: FakeTransactionClient, rows: Rows
) -> None:
    await undecided(world, gateway)
    seen: list[int] = []

    async def look() -> None:
        seen.append(rows.count()["notifications"])

    gateway.before["notify"] = look
    await psp.send(event("a", psp_ids=["auth_1"]), event("b", psp_ids=["auth_1"]))
    assert seen == [2, 2]
