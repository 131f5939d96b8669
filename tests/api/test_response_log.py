"""Answers that got out are noted, so that the worker does not announce them as well."""

import asyncio
import logging

import httpx
import pytest

from api.context import Context
from api.transactions.response_log import ResponseLog
from integrator.store import Store, StoreUnavailable
from tests.api.builders import MERCHANT
from tests.api.conftest import World


async def _told(store: Store, id: str) -> bool:
    row = await store.transaction(MERCHANT, id)
    assert row is not None
    return row.told_at is not None


async def test_answers_of_a_moment_are_written_together(
    world: World, context: Context, store: Store
) -> None:
    ids = [(await world.preauth())["transactionId"] for _ in range(2)]
    assert not any([await _told(store, id) for id in ids])
    await context.response_log.write()
    assert all([await _told(store, id) for id in ids])


async def test_they_are_written_without_being_asked_to(
    world: World, context: Context, store: Store
) -> None:
    id = (await world.preauth())["transactionId"]
    running = asyncio.create_task(context.response_log.run())
    async with asyncio.timeout(5):
        while not await _told(store, id):  # noqa: ASYNC110 - it is written in the background
            await asyncio.sleep(0.02)
    running.cancel()


async def test_a_refusal_opens_nothing_to_be_told_of(
    client: httpx.AsyncClient, context: Context
) -> None:
    assert (await client.get("/api/Payment/unknown")).status_code == 404
    await context.response_log.write()


async def test_a_store_that_is_away_costs_an_announcement_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Away:
        async def mark_responded(self, *_keys: tuple[str, str]) -> None:
            raise StoreUnavailable("it is away")

    told = ResponseLog(Away())  # type: ignore[arg-type]
    await told.record(MERCHANT, "t1")
    with caplog.at_level(logging.WARNING):
        await told.write()
    assert "1 answer(s) will be announced as well" in caplog.text
