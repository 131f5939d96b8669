"""The connections of a session: given out in order, and returned in any case."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, text

from integrator.crypto.keys import KeyRing
from integrator.store import StoreUnavailable
from integrator.store.api_tokens import ApiTokens
from integrator.store.merchants import Merchants
from integrator.store.session import Session


@pytest.fixture
async def session(
    url: str, cipher: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Session]:
    """Return a session with two connections."""
    monkeypatch.setattr("integrator.store.engine.MAX_CONNECTIONS", 2)
    monkeypatch.setattr("integrator.store.session.MAX_CONNECTIONS", 2)
    session = Session(url, cipher)
    yield session
    await session.close()


class Holder:
    """Task that holds a connection until it is released."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._connected = asyncio.Event()
        self._released = asyncio.Event()
        self.task = asyncio.create_task(self._run())

    async def connect(self) -> None:
        """Wait until the task has a connection."""
        async with asyncio.timeout(30):
            await self._connected.wait()

    def release(self) -> None:
        self._released.set()

    async def _run(self) -> None:
        async with self._session.read_connection() as connection:
            await connection.execute(text("SELECT 1"))
            self._connected.set()
            await self._released.wait()


async def test_connections_returned_at_once_go_to_all_that_wait(session: Session) -> None:
    first, second = Holder(session), Holder(session)
    await first.connect()
    await second.connect()
    third, fourth = Holder(session), Holder(session)
    await asyncio.sleep(0.05)
    first.release()
    second.release()
    await third.connect()
    await fourth.connect()
    third.release()
    fourth.release()
    await asyncio.gather(*(holder.task for holder in (first, second, third, fourth)))


async def test_a_later_call_does_not_overtake_one_that_waits(session: Session) -> None:
    holders = [Holder(session), Holder(session)]
    for holder in holders:
        await holder.connect()
    served: list[str] = []

    async def read(name: str) -> None:
        async with session.read_connection():
            served.append(name)

    async def read_after_return() -> None:
        await returned.wait()
        await read("later")

    # Set before the pool wakes the task that waits, so that the later call comes between.
    returned = asyncio.Event()
    event.listen(session._engine.sync_engine, "checkin", lambda *_: returned.set())
    waiting = asyncio.create_task(read("waiting"))
    later = asyncio.create_task(read_after_return())
    await asyncio.sleep(0.05)
    holders[0].release()
    await asyncio.gather(waiting, later)
    assert served == ["waiting", "later"]
    holders[1].release()
    await asyncio.gather(*(holder.task for holder in holders))


async def test_waiting_for_a_connection_ends(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrator.store.session.POOL_TIMEOUT_S", 0.05)
    holders = [Holder(session), Holder(session)]
    for holder in holders:
        await holder.connect()
    with pytest.raises(StoreUnavailable, match=r"no connection became free within 0\.05 s"):
        await Holder(session).task
    for holder in holders:
        holder.release()
        await holder.task
    late = Holder(session)
    await late.connect()
    late.release()
    await late.task


async def test_cancelled_reads_return_their_connections(session: Session) -> None:
    async def read() -> None:
        async with session.read_connection() as connection:
            await connection.execute(text("SELECT 1"))

    for moment in range(40):
        tasks = [asyncio.create_task(read()) for _ in range(6)]
        await asyncio.sleep(moment / 8000)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    holders = [Holder(session), Holder(session)]
    for holder in holders:
        await holder.connect()
        holder.release()
        await holder.task


async def test_a_repository_works_with_a_session_alone(session: Session) -> None:
    merchant = await Merchants(session).add("demo", "sandbox")
    tokens = ApiTokens(session)
    assert await tokens.find_merchant(await tokens.issue("demo", "test")) == merchant
