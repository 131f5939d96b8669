"""Base of the repositories, and the decorator of their writes."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from integrator.store.session import Session

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Repository")


class Repository:
    """Queries about one subject.

    `get` returns the row of a key and `find` one by other attributes, None if there is none; `list`
    returns several. `get_...` of a part of a row raises `NotFound` where its docstring says so.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._cipher = session.cipher


def shielded_write(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Let a write finish even when its caller is cancelled meanwhile.

    The traceback of a cancelled statement keeps its cursor alive. SQLite does not really close a
    connection with such a cursor, and keeps its write lock until garbage collection.
    """

    @wraps(method)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        pending = self._session.pending_writes
        task = asyncio.create_task(method(self, *args, **kwargs))
        pending.add(task)
        task.add_done_callback(pending.discard)
        return await asyncio.shield(task)

    return run
