"""Wait for all parts of a stack."""

import asyncio

import pytest

from devtools.devstack.errors import DevStackError
from devtools.devstack.readiness import wait_for_all


async def done() -> None:
    await asyncio.sleep(0)


async def never() -> None:
    await asyncio.Event().wait()


def nothing() -> None:
    """Succeed."""


async def test_returns_the_names_of_unfinished_parts() -> None:
    parts = {"the API": never(), "Temporal": done(), "a worker": never()}
    assert await wait_for_all(parts, nothing, 0.3) == ["a worker", "the API"]


async def test_returns_when_all_parts_are_done() -> None:
    assert await wait_for_all({"a": done(), "b": done()}, nothing, 60) == []


async def test_an_exception_of_the_check_is_raised() -> None:
    def fail() -> None:
        raise DevStackError("the API does not start")

    with pytest.raises(DevStackError, match="does not start"):
        await wait_for_all({"the API": never()}, fail, 60)
