"""Opening connections with and without a rate budget."""

from typing import Any, cast

import httpx
import pytest
from pydantic import BaseModel

from integrator.psp.connecting import accepts_budget, open_connection
from integrator.psp.port import Adapter, RateBudget
from integrator.psp.registry import adapter_names, get_adapter


class Settings(BaseModel):
    """Settings without members."""


class Budget:
    """Budget that is never asked."""

    async def acquire(self, *, write: bool) -> None:
        raise AssertionError(write)


class AdapterOfToday:
    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Any:
        return ("own limit",)


class KeywordAdapter:
    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Any:
        return ("budget", budget)


class WrappedAdapter:
    """Adapter that passes everything on to another one."""

    def connect(self, *arguments: Any, **options: Any) -> Any:
        return KeywordAdapter().connect(*arguments, **options)


class PositionalOnlyAdapter:
    """Adapter whose third argument only looks like the keyword."""

    def connect(self, settings: BaseModel, http: httpx.AsyncClient, budget: Any = 7, /) -> Any:
        return ("own limit", budget)


class UnhashableAdapter(KeywordAdapter):
    __hash__ = None  # type: ignore[assignment]


def connect(adapter: object, budget: RateBudget | None) -> Any:
    return open_connection(cast(Adapter, adapter), Settings(), httpx.AsyncClient(), budget=budget)


@pytest.mark.parametrize("adapter", [KeywordAdapter(), WrappedAdapter(), UnhashableAdapter()])
def test_a_budget_is_handed_to_an_adapter_that_accepts_it(adapter: object) -> None:
    budget = Budget()
    assert connect(adapter, budget) == ("budget", budget)
    assert connect(adapter, None) == ("budget", None)


@pytest.mark.parametrize(
    ("adapter", "connection"),
    [(AdapterOfToday(), ("own limit",)), (PositionalOnlyAdapter(), ("own limit", 7))],
)
def test_an_adapter_that_accepts_none_keeps_its_own_limit(
    adapter: object, connection: tuple[object, ...]
) -> None:
    assert connect(adapter, Budget()) == connection
    assert connect(adapter, None) == connection


def test_every_built_in_adapter_accepts_a_budget() -> None:
    assert all(accepts_budget(get_adapter(name)) for name in adapter_names())
