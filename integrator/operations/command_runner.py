"""How a command runs, and how it ends: 0 all is well, 1 it failed or found problems, 2 misuse."""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import typer

from integrator.admin.errors import describe_error

if TYPE_CHECKING:
    from integrator.settings import Settings
    from integrator.store.database import Store

T = TypeVar("T")


def fail(message: str) -> NoReturn:
    """End the command with a message and exit code 1."""
    typer.echo(message, err=True)
    raise typer.Exit(1)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turns what an operator can act on into one message and exit code 1."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        message = describe_error(error)
        if message is None:
            raise
        fail(message)


def settings() -> "Settings":
    """The settings of the environment; ends the command when they are not valid."""
    from integrator.settings import Settings

    with plain_errors():
        return Settings()


@asynccontextmanager
async def store() -> AsyncIterator["Store"]:
    """The configured database."""
    from integrator.crypto.keys import KeyRing
    from integrator.store.database import Store

    configured = settings()
    keys = KeyRing.from_settings(configured)
    async with Store(configured.resolved_database_url, keys) as opened:
        yield opened


def do(work: Coroutine[Any, Any, T]) -> T:
    """The result of the work; ends the command when it fails."""
    with plain_errors():
        return asyncio.run(work)


def leave_after(work: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Do the work and end the process with the exit code it returns."""
    try:
        with plain_errors():
            code = asyncio.run(work())
    except typer.Exit as ending:
        code = ending.exit_code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # The Temporal SDK's native threads can abort the interpreter's own exit (sdk-python#300).
    os._exit(code)
