"""Test the delivery log of change notifications."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.delivery_log import TIMEOUT
from activities.webhooks import WebhookActivities
from integrator.contract.webhook import WebhookForm
from integrator.store import DeliveryRow, Store, StoreUnavailable
from tests.integration.activities.conftest import CHARGE, TransactionFactory
from workflows import activity_plans
from workflows.messages import WebhookCall

BEGAN = datetime.now(UTC)


def answering(*answers: int | Exception) -> httpx.AsyncClient:
    remaining = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        answer_now = remaining.pop(0)
        if isinstance(answer_now, Exception):
            raise answer_now
        return httpx.Response(answer_now)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def attempt(
    store: Store, http: httpx.AsyncClient, number: int, began: datetime = BEGAN
) -> None:
    env = ActivityEnvironment()
    env.info = replace(
        env.info,
        attempt=number,
        scheduled_time=began,
        schedule_to_close_timeout=activity_plans.WEBHOOK_RETRY_WINDOW,
    )
    webhooks = WebhookActivities(store, http, WebhookForm.PASCAL)
    call = WebhookCall(merchant_id="demo", transaction_id=CHARGE, version=3)
    await env.run(webhooks.deliver_webhook, call)


async def load(store: Store) -> DeliveryRow:
    (row,) = await store.deliveries.list_by_transaction("demo", CHARGE)
    return row


async def test_each_attempt_is_recorded(store: Store, factory: TransactionFactory) -> None:
    await factory.charge()
    async with answering(503, httpx.ConnectError("to https://secret.example"), 204) as http:
        with pytest.raises(ApplicationError):
            await attempt(store, http, 1)
        row = await load(store)
        assert (row.version, row.state, row.attempts, row.began_at) == (3, "delivering", 1, BEGAN)
        assert (row.last_status, row.last_error) == (503, "The target answered 503.")
        with pytest.raises(ApplicationError):
            await attempt(store, http, 2)
        row = await load(store)
        assert (row.last_status, row.attempts, row.delivered_at) == (None, 2, None)
        assert row.last_error == "The target is not reachable (ConnectError)."
        await attempt(store, http, 3)
    row = await load(store)
    assert (row.state, row.attempts, row.last_status) == ("delivered", 3, 204)
    assert (row.last_error, row.delivered_at) == (None, row.last_attempt_at)


async def test_the_last_attempt_ends_as_undelivered(
    store: Store, factory: TransactionFactory
) -> None:
    await factory.charge()
    nearly_over = datetime.now(UTC) - activity_plans.WEBHOOK_RETRY_WINDOW + timedelta(seconds=30)
    async with answering(500, 500) as http:
        with pytest.raises(ApplicationError):
            await attempt(store, http, 1, nearly_over)
        assert (await load(store)).state == "delivering"
        with pytest.raises(ApplicationError):
            await attempt(store, http, 20, nearly_over)
        assert (await load(store)).state == "undelivered"


async def test_a_failed_write_does_not_fail_the_delivery(
    store: Store,
    factory: TransactionFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(row: DeliveryRow) -> None:
        raise StoreUnavailable("locked")

    await factory.charge()
    monkeypatch.setattr(store.deliveries, "record", fail)
    async with answering(200) as http:
        await attempt(store, http, 1)
    assert "was not recorded: StoreUnavailable" in caplog.text


def test_writing_fits_into_the_attempts_time_limit() -> None:
    left = activity_plans.DELIVER_WEBHOOK.start_to_close - activity_plans.WEBHOOK_HTTP_TIMEOUT
    assert left > TIMEOUT
