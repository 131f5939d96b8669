"""Events stored and delivered, without HTTP and signatures."""

import httpx
import pytest

from integrator.psp.types import Approved, NotificationEvent, Pending
from integrator.store import Merchant, Store
from integrator.transactions.notification_delivery import NotificationDelivery, NotificationMessage
from tests.integration.api.builders import MERCHANT, UNKNOWN, refund
from tests.integration.api.conftest import TransactionFactory
from tests.integration.api.fakes import FakeTransactionClient, rpc_error


@pytest.fixture
def delivery(store: Store, transaction_client: FakeTransactionClient) -> NotificationDelivery:
    return NotificationDelivery(store, transaction_client)  # type: ignore[arg-type]


@pytest.fixture
async def message(store: Store) -> NotificationMessage:
    merchant = await store.merchants.get(MERCHANT)
    assert isinstance(merchant, Merchant)
    return NotificationMessage(merchant, "notification", b"{}", {})


@pytest.fixture
async def event(
    factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> NotificationEvent:
    """An event about a pending preauth."""
    transaction_client.psp = lambda _: Pending(psp_id="auth_1")
    await factory.create_preauth()
    return NotificationEvent(event_id="evt_1", psp_ids=("auth_1",))


async def _state(store: Store, id: int) -> str:
    row = await store.notifications.get(id)
    assert row is not None
    return row.state


async def test_a_new_event_is_signalled_without_reading_it_back(
    delivery: NotificationDelivery,
    message: NotificationMessage,
    event: NotificationEvent,
    store: Store,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def never(_: int) -> None:
        raise AssertionError("the notification was read")

    stored = await delivery.store_event(message, event)
    assert stored.is_new
    with monkeypatch.context() as patch:
        patch.setattr(store.notifications, "get", never)
        await delivery.deliver(stored)
    assert await _state(store, stored.id) == "signalled"
    assert len(transaction_client.signals) == 1


async def test_a_delivered_event_is_not_signalled_again(
    delivery: NotificationDelivery,
    message: NotificationMessage,
    event: NotificationEvent,
    transaction_client: FakeTransactionClient,
) -> None:
    first = await delivery.store_event(message, event)
    await delivery.deliver(first)
    second = await delivery.store_event(message, event)
    assert (second.id, second.is_new) == (first.id, False)
    await delivery.deliver(second)
    assert len(transaction_client.signals) == 1


async def test_a_repeat_of_an_undelivered_event_is_signalled(
    delivery: NotificationDelivery,
    message: NotificationMessage,
    event: NotificationEvent,
    store: Store,
    transaction_client: FakeTransactionClient,
) -> None:
    async def fail() -> None:
        raise rpc_error()

    transaction_client.before["notify"] = fail
    first = await delivery.store_event(message, event)
    with pytest.raises(type(rpc_error())):
        await delivery.deliver(first)
    assert await _state(store, first.id) == "stored"
    transaction_client.before.clear()
    await delivery.deliver(await delivery.store_event(message, event))
    assert await _state(store, first.id) == "signalled"


async def test_an_event_without_a_transaction_is_parked(
    delivery: NotificationDelivery,
    message: NotificationMessage,
    store: Store,
    transaction_client: FakeTransactionClient,
) -> None:
    stored = await delivery.store_event(
        message, NotificationEvent(event_id="evt_2", reference=UNKNOWN)
    )
    assert stored.transaction is None
    await delivery.deliver(stored)
    assert await _state(store, stored.id) == "parked"
    assert transaction_client.calls == []


@pytest.mark.parametrize("result", [None, Approved(psp_id="parent", facts=())])
@pytest.mark.parametrize("through_capture", [False, True])
async def test_an_event_that_names_only_a_parent_has_its_open_refunds_looked_up(
    delivery: NotificationDelivery,
    message: NotificationMessage,
    factory: TransactionFactory,
    client: httpx.AsyncClient,
    store: Store,
    transaction_client: FakeTransactionClient,
    result: Approved | None,
    through_capture: bool,
) -> None:
    captured = await factory.create_capture()
    done = refund(captured["transactionId"])
    assert (await client.post("/api/Refund", json=done)).status_code == 200
    transaction_client.psp = lambda start: Pending(psp_id=f"re_{start.transaction_id}")
    opened = refund(captured["transactionId"])
    assert (await client.post("/api/Refund", json=opened)).json()["status"] == "Pending"
    named = captured["preauthTransactionId" if through_capture else "transactionId"]
    parent = await store.transactions.get(MERCHANT, named)
    assert parent is not None
    event = NotificationEvent(
        event_id="evt_1", psp_ids=(parent.psp_transaction_id or "",), result=result
    )
    if through_capture:
        # Both have the id at some PSPs; then the newest is meant.
        event = event.model_copy(update={"reference": named})
    for _ in range(2):
        await delivery.deliver(await delivery.store_event(message, event))
    assert transaction_client.looked_up == [opened["transactionId"]]


async def test_a_refund_that_is_only_being_created_is_not_looked_up(
    delivery: NotificationDelivery,
    message: NotificationMessage,
    factory: TransactionFactory,
    client: httpx.AsyncClient,
    store: Store,
    transaction_client: FakeTransactionClient,
) -> None:
    captured = await factory.create_capture()

    async def event_arrives() -> None:
        event = NotificationEvent(event_id="evt_1", reference=captured["transactionId"])
        await delivery.deliver(await delivery.store_event(message, event))

    transaction_client.before["create"] = event_arrives
    await client.post("/api/Refund", json=refund(captured["transactionId"]))
    assert transaction_client.calls.count("notify") == 1
    assert transaction_client.looked_up == []
