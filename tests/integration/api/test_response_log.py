"""Sent responses are recorded, so that the worker does not notify them as well."""

import asyncio
import logging
from types import SimpleNamespace

import httpx
import pytest

from api.context import Context
from api.transactions.response_log import ResponseLog
from integrator.store import Store, StoreUnavailable
from tests.integration.api.builders import MERCHANT
from tests.integration.api.conftest import TransactionFactory


async def _is_responded(store: Store, id: str) -> bool:
    row = await store.transactions.get(MERCHANT, id)
    assert row is not None
    return row.told_at is not None


async def test_pending_responses_are_written_together(
    factory: TransactionFactory, context: Context, store: Store
) -> None:
    ids = [(await factory.create_preauth())["transactionId"] for _ in range(2)]
    assert not any([await _is_responded(store, id) for id in ids])
    await context.response_log.write()
    assert all([await _is_responded(store, id) for id in ids])


async def test_responses_are_written_in_the_background(
    factory: TransactionFactory, context: Context, store: Store
) -> None:
    id = (await factory.create_preauth())["transactionId"]
    task = asyncio.create_task(context.response_log.run())
    async with asyncio.timeout(30):
        while not await _is_responded(store, id):  # noqa: ASYNC110 - it is written in the background
            await asyncio.sleep(0.02)
    task.cancel()


async def test_a_refused_request_is_not_recorded(
    client: httpx.AsyncClient, context: Context
) -> None:
    assert (await client.get("/api/Payment/unknown")).status_code == 404
    await context.response_log.write()


async def test_an_unavailable_store_costs_only_a_notification(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class UnavailableTransactions:
        async def mark_responded(self, *_keys: tuple[str, str]) -> None:
            raise StoreUnavailable("unavailable")

    store = SimpleNamespace(transactions=UnavailableTransactions())
    response_log = ResponseLog(store)  # type: ignore[arg-type]
    await response_log.record(MERCHANT, "t1")
    with caplog.at_level(logging.WARNING):
        await response_log.write()
    assert "1 response(s) not recorded" in caplog.text
