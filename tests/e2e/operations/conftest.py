"""Fixtures: a stack of its own for each module, because faults and operations hit all of it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from devtools.campaign.stack import Stack
from tests.e2e.operations.stack import running_stack
from tests.e2e.operations.world import World, open_world


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack with short pauses."""
    with running_stack(tmp_path_factory.mktemp("operations")) as stack:
        yield stack


@pytest.fixture(scope="module")
async def world(stack: Stack) -> AsyncIterator[World]:
    """The clients of the stack, with signed-up customers."""
    async with open_world(stack) as world:
        yield world
