"""PSP notifications: verified, stored, then signalled exactly once."""

import asyncio
import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest

from api.context import Context
from integrator.psp import registry
from integrator.psp.gocardless import ADAPTER
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
from tests.integration.api.builders import MERCHANT, OTHER_MERCHANT, UNKNOWN, preauth
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import FakeTransactionClient, rpc_error
from tests.integration.integrator.psp.gocardless import objects
from workflows.state import TransactionKind

SIGNED = {"X-Signature": "s_1"}


def event(event_id: str = "evt_1", **members: Any) -> dict[str, Any]:
    return NotificationEvent(event_id=event_id, **members).model_dump(mode="json")


def approval(psp_id: str, **members: Any) -> Outcome:
    fact = Fact(kind=FactKind.AUTHORIZED, id=psp_id, amount=Decimal(119))
    return Approved(psp_id=psp_id, facts=(fact,), **members)


class NotificationSender:
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
        row = await self._store.notifications.get(number)
        assert row is not None
        return row


@pytest.fixture
async def psp(client: httpx.AsyncClient, store: Store) -> NotificationSender:
    merchant = await store.merchants.get(MERCHANT)
    assert merchant is not None
    return NotificationSender(client, merchant, store)


async def create_open_preauth(
    factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> str:
    transaction_client.psp = lambda _: Pending(psp_id="auth_1")
    body = await factory.create_preauth()
    id: str = body["transactionId"]
    return id


async def test_a_notification_is_stored_and_signalled(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    client: httpx.AsyncClient,
) -> None:
    id = await create_open_preauth(factory, transaction_client)
    response = await psp.send(event(psp_ids=["auth_1"], result=approval("auth_1").model_dump()))
    assert (response.status_code, response.content) == (200, b"")
    row = await psp.row()
    assert (row.state, row.transaction_id, row.event_id) == ("signalled", id, "evt_1")
    assert json.loads(row.raw)["events"]
    assert row.headers is not None
    assert row.headers["x-signature"] == "s_1"
    (signal,) = transaction_client.signals
    assert (signal.notification_id, signal.event_id) == (1, "evt_1")
    start = transaction_client.starts[-1]
    assert start.resume is not None
    assert start.resume.status.name == "Pending"


async def test_the_settings_are_read_once(
    psp: NotificationSender, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_settings = store.merchants.get_settings
    merchant_ids: list[str] = []

    async def count(merchant_id: str) -> dict[str, str] | None:
        merchant_ids.append(merchant_id)
        return await read_settings(merchant_id)

    monkeypatch.setattr(store.merchants, "get_settings", count)
    assert (await psp.send(event())).status_code == 200
    assert merchant_ids == [MERCHANT]


@pytest.mark.parametrize("path", ["/NOTIFICATIONS", "/api/Notifications"])
async def test_the_path_is_case_insensitive(psp: NotificationSender, path: str) -> None:
    psp.path = psp.path.replace("/api/notifications", path)
    assert (await psp.send(event())).status_code == 200


async def test_the_transaction_is_found_by_reference(
    psp: NotificationSender, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    id = await create_open_preauth(factory, transaction_client)
    await psp.send(event(reference=id))
    assert (await psp.row()).state == "signalled"


@pytest.mark.parametrize("headers", [{}, {"X-Signature": "wrong"}])
async def test_an_invalid_signature_is_only_counted(
    psp: NotificationSender,
    rows: Rows,
    context: Context,
    transaction_client: FakeTransactionClient,
    caplog: pytest.LogCaptureFixture,
    headers: dict[str, str],
) -> None:
    stored = rows.count()
    response = await psp.send(event(reference="secret-reference"), headers=headers)
    assert_error(response, 401, "UnmappedError")
    assert rows.count() == stored
    assert transaction_client.calls == []
    assert context.rejected_notifications == {"fake": 1}
    (record,) = [r for r in caplog.records if r.name == "api.transactions.notifications"]
    assert record.levelno == logging.WARNING
    assert "secret-reference" not in caplog.text


async def test_an_unknown_address_is_not_found(
    psp: NotificationSender, rows: Rows, store: Store
) -> None:
    new_merchant = await store.merchants.add("new_merchant", "fake")
    stored = rows.count()
    settings_id = psp.path.rsplit("/", 1)[1]
    for path in (
        f"/api/notifications/unknown/{settings_id}",
        "/api/notifications/fake/000000000000000000000000",
        f"/api/notifications/fake/{new_merchant.psp_settings_id}",
    ):
        psp.path = path
        assert_error(await psp.send(event()), 404, "InvalidData")
    assert rows.count() == stored


async def test_a_large_body_is_refused(psp: NotificationSender, rows: Rows) -> None:
    stored = rows.count()
    response = await psp.send(event(reference="x" * 2**20))
    assert_error(response, 413, "InvalidData")
    assert rows.count() == stored


async def test_a_batch_above_the_size_of_requests_is_accepted(
    psp: NotificationSender, rows: Rows
) -> None:
    events = [event(f"evt_{number}", reference="x" * 1500) for number in range(250)]
    assert (await psp.send(*events)).status_code == 200
    assert rows.count()["notifications"] == 250


@pytest.mark.parametrize(
    "members",
    [
        {"event_id": "e\x00"},
        {"event_id": "e" * 3000},
        {"reference": "\x00"},
        {"psp_ids": ["a", "\x00"]},
        {"psp_ids": ["€" * 1000]},
    ],
)
async def test_an_event_whose_ids_cannot_be_stored_does_not_hide_the_others(
    psp: NotificationSender, members: dict[str, Any]
) -> None:
    response = await psp.send(event(**members), event("evt_2", psp_ids=["auth_9"]))
    assert response.status_code == 200
    odd, other = sorted([await psp.row(1), await psp.row(2)], key=lambda row: row.state)
    assert (odd.state, odd.outcome) == ("ignored", "unreadable")
    assert odd.event_id.startswith("unreadable-")
    assert (other.event_id, other.state) == ("evt_2", "parked")


async def test_an_irrelevant_event_is_not_stored(psp: NotificationSender, rows: Rows) -> None:
    stored = rows.count()
    assert (await psp.send(event(relevant=False))).status_code == 200
    assert rows.count() == stored


async def test_a_repeated_notification_is_delivered_once(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    rows: Rows,
) -> None:
    await create_open_preauth(factory, transaction_client)
    for _ in range(3):
        assert (await psp.send(event(psp_ids=["auth_1"]))).status_code == 200
    assert rows.count()["notifications"] == 1
    assert len(transaction_client.signals) == 1


async def test_a_notification_before_its_transaction_is_parked(
    psp: NotificationSender, transaction_client: FakeTransactionClient, factory: TransactionFactory
) -> None:
    assert (await psp.send(event(reference=UNKNOWN, psp_ids=["auth_1"]))).status_code == 200
    row = await psp.row()
    assert (row.state, row.transaction_id) == ("parked", UNKNOWN)
    assert transaction_client.calls == []
    id = await create_open_preauth(factory, transaction_client)
    await psp.send(event(reference=UNKNOWN, psp_ids=["auth_1"]))
    row = await psp.row()
    assert (row.state, row.transaction_id) == ("signalled", id)


async def test_a_foreign_reference_is_not_stored_as_transaction_id(psp: NotificationSender) -> None:
    await psp.send(event(reference="shop-order-7", psp_ids=["auth_9"]))
    assert (await psp.row()).transaction_id is None


async def test_a_notification_for_another_merchants_transaction_is_parked(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    store: Store,
) -> None:
    id = await create_open_preauth(factory, transaction_client)
    other = await store.merchants.get(OTHER_MERCHANT)
    assert other is not None
    psp.path = f"/api/notifications/fake/{other.psp_settings_id}"
    await psp.send(event(reference=id, psp_ids=["auth_1"]))
    assert (await psp.row()).state == "parked"
    assert transaction_client.signals == []


async def test_an_event_without_news_is_not_signalled(
    psp: NotificationSender, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    body = await factory.create_preauth()
    state = transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, body["transactionId"])]
    included = approval(state.psp_transaction_id or "")
    await psp.send(event(reference=body["transactionId"], result=included.model_dump()))
    assert (await psp.row()).state == "known"
    assert transaction_client.signals == []


async def test_an_event_with_a_payment_instrument_is_signalled(
    psp: NotificationSender, client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    """A completed checkout whose result is recorded already, but not the payment instrument."""
    transaction_client.psp = lambda _: Pending(psp_id="auth_1")
    body = preauth(requestedAmount=0)
    await client.post("/api/Preauth", json=body)
    result = Approved(psp_id="auth_1", instrument=Instrument(token={"t": "1"}, bearer={}))
    await psp.send(event(reference=body["transactionId"], result=result.model_dump()))
    assert (await psp.row()).state == "signalled"


@pytest.mark.parametrize("failure", ["unavailable", "not connected", "slow"])
async def test_a_notification_stays_stored_while_temporal_is_unavailable(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
    failure: str,
) -> None:
    await create_open_preauth(factory, transaction_client)
    monkeypatch.setattr("api.transactions.notifications.SIGNAL_TIMEOUT_SECONDS", 0.05)

    async def fail() -> None:
        if failure == "slow":
            await asyncio.Event().wait()
        raise rpc_error() if failure == "unavailable" else RuntimeError("Failed client connect")

    transaction_client.before["notify"] = fail
    sent = [event(f"evt_{n}", psp_ids=["auth_1"]) for n in range(3)]
    response = await psp.send(*sent)
    assert (response.status_code, response.content) == (200, b"")
    assert transaction_client.calls.count("notify") == 1
    for number in (1, 2, 3):
        assert (await psp.row(number)).state == "stored"
    del transaction_client.before["notify"]
    await psp.send(*sent)
    assert [(await psp.row(n)).state for n in (1, 2, 3)] == ["signalled"] * 3


async def test_a_notification_that_cannot_be_stored_is_not_accepted(
    psp: NotificationSender,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    transaction_client: FakeTransactionClient,
) -> None:
    async def unavailable(*_: object) -> None:
        raise StoreUnavailable("locked")

    monkeypatch.setattr(store.notifications, "add_all", unavailable)
    response = await psp.send(event())
    assert_error(response, 503, "InternalError")
    assert transaction_client.calls == []


async def test_all_events_are_stored_before_any_is_signalled(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    rows: Rows,
) -> None:
    await create_open_preauth(factory, transaction_client)
    seen: list[int] = []

    async def count_stored() -> None:
        seen.append(rows.count()["notifications"])

    transaction_client.before["notify"] = count_stored
    await psp.send(event("a", psp_ids=["auth_1"]), event("b", psp_ids=["auth_1"]))
    assert seen == [2, 2]


async def test_an_event_that_cannot_be_delivered_does_not_stop_the_others(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    await create_open_preauth(factory, transaction_client)
    refused = [LookupError("no such workflow type")]

    async def refuse_first() -> None:
        if refused:
            raise refused.pop()

    transaction_client.before["notify"] = refuse_first
    response = await psp.send(event("a", psp_ids=["auth_1"]), event("b", psp_ids=["auth_1"]))
    assert response.status_code == 200
    assert {(await psp.row(1)).state, (await psp.row(2)).state} == {"stored", "signalled"}


async def test_an_unreadable_event_is_kept_and_counted(
    psp: NotificationSender,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    store: Store,
) -> None:
    await create_open_preauth(factory, transaction_client)
    odd = event("odd", relevant=False, unreadable=True, raw="[7]")
    assert (await psp.send(odd, event("b", psp_ids=["auth_1"]))).status_code == 200
    row = await psp.row(1 if (await psp.row(1)).event_id == "odd" else 2)
    assert (row.state, row.outcome, row.raw, row.headers) == ("ignored", "unreadable", b"[7]", None)
    assert transaction_client.calls.count("notify") == 1
    since = datetime.now(UTC) - timedelta(hours=1)
    [unreadable] = await store.notifications.list_unreadable(since)
    assert (unreadable.merchant_id, unreadable.count) == (MERCHANT, 1)
    assert await store.notifications.list_unreadable(datetime.now(UTC)) == []
    assert await store.notifications.list_unreadable(since, "other") == []


# --- after a switch to another account ----------------------------------------------------------


async def switch_account(store: Store, account: str, secret: str) -> None:
    values = {"Key": "k", "Secret": secret, "Mode": "test"}
    await store.merchants.save_settings(MERCHANT, values, account)


async def test_the_former_accounts_signature_is_accepted_while_its_money_is_open(
    psp: NotificationSender,
    store: Store,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    await switch_account(store, "acct_a", "a_old")
    await switch_account(store, "acct_a", "a_1")
    await create_open_preauth(factory, transaction_client)
    await switch_account(store, "acct_b", "b_1")
    for number, (secret, status) in enumerate(
        [("b_1", 200), ("a_1", 200), ("a_old", 401), ("c_1", 401)]
    ):
        notice = event(f"evt_{number}", psp_ids=["auth_1"])
        response = await psp.send(notice, headers={"X-Signature": secret})
        assert response.status_code == status, secret
    assert len(transaction_client.signals) == 2


async def test_a_former_account_without_open_money_signs_nothing(
    psp: NotificationSender, store: Store, factory: TransactionFactory
) -> None:
    await switch_account(store, "acct_a", "a_1")
    await switch_account(store, "acct_b", "b_1")
    # Begun on the account in use now: the former one has no part in it.
    await factory.create_preauth()
    response = await psp.send(event(), headers={"X-Signature": "a_1"})
    assert_error(response, 401, "UnmappedError")


async def test_a_payment_that_may_be_charged_back_is_open_money(
    psp: NotificationSender, store: Store, factory: TransactionFactory
) -> None:
    await switch_account(store, "acct_a", "a_1")
    captured = await factory.create_capture()
    await switch_account(store, "acct_b", "b_1")
    notice = event(reference=captured["transactionId"])
    assert (await psp.send(notice, headers={"X-Signature": "a_1"})).status_code == 200


async def test_an_earlier_secret_of_the_account_in_use_is_not_accepted(
    psp: NotificationSender, store: Store, factory: TransactionFactory
) -> None:
    await switch_account(store, "acct_a", "a_1")
    await factory.create_capture()
    await switch_account(store, "acct_a", "a_2")
    assert (await psp.send(event(), headers={"X-Signature": "a_1"})).status_code == 401


# --- batches of a PSP ---------------------------------------------------------------------------


@pytest.fixture
def _gocardless(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install GoCardless' adapter in place of the fake one that the client brings."""
    monkeypatch.setattr(registry, "get_adapter", lambda _: ADAPTER)


async def send_gocardless(
    client: httpx.AsyncClient, store: Store, body: bytes
) -> tuple[httpx.Response, set[str]]:
    """Send a signed webhook; return the response and the ids of the events to be delivered."""
    merchant = await store.merchants.add("gc", "gocardless")
    values = {"AccessToken": "sandbox_x", "WebhookSecret": objects.SECRET}
    await store.merchants.save_settings(merchant.id, values, "account")
    path = f"/api/notifications/gocardless/{merchant.psp_settings_id}"
    headers = objects.signature(body)
    request = client.build_request("POST", path, content=body, headers=headers)
    del request.headers["authorization"]
    response = await client.send(request)
    soon = datetime.now(UTC) + timedelta(hours=1)
    rows = await store.notifications.list_pending(soon, limit=1000)
    return response, {row.event_id for row in rows}


@pytest.mark.usefixtures("_gocardless")
@pytest.mark.parametrize(
    "odd",
    [
        {"details": None},
        {"metadata": [], "resource_metadata": []},
        {"links": ["PM123"]},
        {"links": {"payment": ["PM123"]}, "resource_metadata": []},
        {"id": None},
        {"action": []},
        {"resource_type": {}},
    ],
)
async def test_an_odd_event_does_not_refuse_its_batch(
    client: httpx.AsyncClient, store: Store, odd: dict[str, Any]
) -> None:
    entries = [objects.event("confirmed", id=f"EV{number}") for number in range(3)]
    entries[1] |= odd
    response, pending = await send_gocardless(client, store, objects.webhook(*entries))
    assert response.status_code == 200
    unreadable = sum(group.count for group in await store.notifications.list_unreadable())
    assert {"EV0", "EV2"} <= pending
    assert len(pending) + unreadable == 3


@pytest.mark.usefixtures("_gocardless")
async def test_the_largest_batch_is_accepted(client: httpx.AsyncClient, store: Store) -> None:
    """250 events, each with three metadata of 500 characters that are escaped."""
    metadata = {f"{number}{'k' * 49}": "\U0001f600" * 500 for number in range(3)}
    entries = [
        objects.event("confirmed", id=f"EV{number}", resource_metadata=metadata)
        for number in range(250)
    ]
    body = objects.webhook(*entries)
    assert len(body) > 4_000_000
    response, pending = await send_gocardless(client, store, body)
    assert (response.status_code, len(pending)) == (200, 250)
