"""Few requests at once to a host that does not respond."""

import asyncio
from dataclasses import dataclass, field

import httpx
import pytest

from integrator.hanging_hosts import HANGING_AFTER, MAX_IN_FLIGHT, HangingHostLimit

STEPS = 1_000
"""More than the event loop needs to begin all requests."""

A, B = "https://a.example", "https://b.example"


@dataclass
class Server(httpx.AsyncBaseTransport):
    """Transport whose requests wait for `outcome`, or fail at once while there is an `error`."""

    error: Exception | None = None
    outcome: asyncio.Future[httpx.Response] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    sent: int = 0
    closed: bool = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent += 1
        if self.error is not None:
            raise self.error
        return await asyncio.shield(self.outcome)

    async def aclose(self) -> None:
        self.closed = True


async def time_out(client: httpx.AsyncClient, server: Server, url: str, times: int) -> None:
    server.error = httpx.ReadTimeout("late")
    for _ in range(times):
        with pytest.raises(httpx.ReadTimeout):
            await client.get(url)
    server.error = None


async def start(client: httpx.AsyncClient, server: Server, count: int) -> list[asyncio.Task[int]]:
    async def get() -> int:
        return (await client.get(A)).status_code

    expected = server.sent + count
    tasks = [asyncio.create_task(get()) for _ in range(count)]
    for _ in range(STEPS):
        if server.sent < expected:
            await asyncio.sleep(0)
    assert server.sent == expected
    return tasks


async def test_a_hanging_host_gets_no_further_request_while_others_wait_for_it() -> None:
    server = Server()
    async with httpx.AsyncClient(transport=HangingHostLimit(server)) as client:
        await time_out(client, server, A, HANGING_AFTER)
        waiting = await start(client, server, MAX_IN_FLIGHT)
        sent = server.sent
        with pytest.raises(httpx.PoolTimeout):
            await client.get(A)
        assert server.sent == sent
        server.outcome.set_result(httpx.Response(200))
        assert await asyncio.gather(*waiting) == [200] * MAX_IN_FLIGHT
    assert server.closed


async def test_a_response_of_any_kind_ends_the_limit() -> None:
    server = Server()
    async with httpx.AsyncClient(transport=HangingHostLimit(server)) as client:
        await time_out(client, server, A, HANGING_AFTER)
        (waiting,) = await start(client, server, 1)
        server.outcome.set_result(httpx.Response(503))
        assert await waiting == 503
        server.outcome = asyncio.get_running_loop().create_future()
        many = await start(client, server, 2 * MAX_IN_FLIGHT)
        server.outcome.set_result(httpx.Response(200))
        assert set(await asyncio.gather(*many)) == {200}


@pytest.mark.parametrize(
    ("host", "timeouts"), [(A, HANGING_AFTER - 1), (B, HANGING_AFTER)], ids=["fewer", "another"]
)
async def test_other_hosts_and_single_timeouts_limit_nothing(host: str, timeouts: int) -> None:
    server = Server()
    async with httpx.AsyncClient(transport=HangingHostLimit(server)) as client:
        await time_out(client, server, host, timeouts)
        many = await start(client, server, 2 * MAX_IN_FLIGHT)
        server.outcome.set_result(httpx.Response(200))
        assert set(await asyncio.gather(*many)) == {200}


async def test_a_refused_connection_is_no_hanging_host() -> None:
    server = Server(error=httpx.ConnectError("refused"))
    async with httpx.AsyncClient(transport=HangingHostLimit(server)) as client:
        for _ in range(2 * MAX_IN_FLIGHT):
            with pytest.raises(httpx.ConnectError):
                await client.get(A)
    assert server.sent == 2 * MAX_IN_FLIGHT
