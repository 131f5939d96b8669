"""Events stored and delivered, without HTTP and signatures."""

import pytest

from integrator.psp.types import NotificationEvent, Pending
from integrator.store import Merchant, Store
from integrator.transactions.notification_delivery import NotificationDelivery, NotificationMessage
from tests.integration.api.builders import MERCHANT, UNKNOWN
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
