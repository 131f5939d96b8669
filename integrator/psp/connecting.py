"""The one place where connections of adapters are opened, with a rate budget if there is one."""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import httpx
from pydantic import BaseModel

from integrator.psp.port import Adapter, BudgetedAdapter, Connection, RateBudget


def open_connection(
    adapter: Adapter,
    settings: BaseModel,
    http: httpx.AsyncClient,
    *,
    budget: RateBudget | None = None,
) -> Connection:
    """Return a connection of `adapter`, which asks `budget` before every HTTP request.

    An adapter that accepts no budget keeps its own limit.
    """
    if budget is None or not accepts_budget(adapter):
        return adapter.connect(settings, http)
    return cast(BudgetedAdapter, adapter).connect(settings, http, budget=budget)


def accepts_budget(adapter: Adapter) -> bool:
    """Return whether `adapter.connect` has the keyword `budget`."""
    return _has_budget_keyword(getattr(adapter.connect, "__func__", adapter.connect))


@cache
def _has_budget_keyword(connect: Callable[..., Any]) -> bool:
    """Inspect a signature, once for each adapter: a connection is opened for every call."""
    parameters = inspect.signature(connect).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        return True
    budget = parameters.get("budget")
    return budget is not None and budget.kind is not budget.POSITIONAL_ONLY
