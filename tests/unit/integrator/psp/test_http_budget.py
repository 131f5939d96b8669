"""HTTP access with a rate budget that is handed in."""

import httpx
import pytest

from integrator.psp.errors import LocallyRateLimited
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.toolkit.rate_limit import RateLimiter


class Budget:
    """Budget of `limit` requests that keeps whether each was a write."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.writes: list[bool] = []

    async def acquire(self, *, write: bool) -> None:
        if len(self.writes) == self.limit:
            raise LocallyRateLimited("The budget is used up", retry_after=7)
        self.writes.append(write)


def open_http(
    sent: list[str], budget: Budget | None = None, rate_limiter: RateLimiter | None = None
) -> PspHttp:
    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request.method)
        return httpx.Response(200, json={})

    client = httpx.AsyncClient(transport=httpx.MockTransport(respond))
    return PspHttp(client, "https://psp.example", {}, rate_limiter, budget)


async def test_a_budget_is_asked_before_every_request() -> None:
    sent: list[str] = []
    budget = Budget(limit=3)
    http = open_http(sent, budget)
    for method in ("GET", "POST", "DELETE"):
        await http.send(method, "charges")
    assert budget.writes == [False, True, True]
    with pytest.raises(LocallyRateLimited) as refused:
        await http.send("POST", "charges")
    assert refused.value.retry_after == 7
    assert sent == ["GET", "POST", "DELETE"]


async def test_a_budget_replaces_the_adapters_own_limit() -> None:
    sent: list[str] = []
    limiter = RateLimiter(reads=1, writes=1)
    limiter.acquire(write=True)
    http = open_http(sent, Budget(limit=2), limiter)
    await http.send("POST", "charges")
    await http.send("POST", "charges")
    assert sent == ["POST", "POST"]


async def test_without_a_budget_the_adapters_own_limit_holds() -> None:
    sent: list[str] = []
    limiter = RateLimiter(reads=1, writes=1)
    limiter.acquire(write=True)
    with pytest.raises(LocallyRateLimited):
        await open_http(sent, None, limiter).send("POST", "charges")
    assert sent == []
