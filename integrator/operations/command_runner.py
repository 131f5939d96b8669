"""Run commands and end them with exit codes: 0 success, 1 failure or problems found, 2 misuse."""

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
def report_errors() -> Iterator[None]:
    """Turn errors that an operator can act on into a message and exit code 1."""
    try:
        yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        message = describe_error(error)
        if message is None:
            raise
        fail(message)


def load_settings() -> "Settings":
    """Load settings from the environment; exit if invalid."""
    from integrator.settings import Settings

    with report_errors():
        return Settings()


@asynccontextmanager
async def open_store() -> AsyncIterator["Store"]:
    """Open the configured database; raises `SchemaOutdated`."""
    from integrator.admin import store_access

    async with store_access.open_store(load_settings()) as opened:
        yield opened


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine and return its result; exit the command if it fails."""
    with report_errors():
        return asyncio.run(work)


def run_and_exit(work: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run a coroutine function and end the process with the exit code it returns."""
    try:
        with report_errors():
            code = asyncio.run(work())
    except typer.Exit as exit_error:
        code = exit_error.exit_code
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # The Temporal SDK's native threads can abort the interpreter's own exit (sdk-python#300).
    os._exit(code)
