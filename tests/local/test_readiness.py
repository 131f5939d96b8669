"""Waiting for all parts of a stack."""

import asyncio

import pytest

from devtools.devstack.errors import DevStackError
from devtools.devstack.readiness import wait_for_all


async def done() -> None:
    await asyncio.sleep(0)


async def never() -> None:
    await asyncio.Event().wait()


def nothing() -> None:
    """All is well."""


async def test_names_what_is_late() -> None:
    parts = {"the API": never(), "Temporal": done(), "a worker": never()}
    assert await wait_for_all(parts, nothing, 0.3) == ["a worker", "the API"]


async def test_ends_when_everything_is_done() -> None:
    assert await wait_for_all({"a": done(), "b": done()}, nothing, 60) == []


async def test_looks_meanwhile_whether_it_can_still_succeed() -> None:
    def dead() -> None:
        raise DevStackError("the API does not start")

    with pytest.raises(DevStackError, match="does not start"):
        await wait_for_all({"the API": never()}, dead, 60)
