"""`integrator run`: the stack, until somebody stops it."""

import asyncio

from rich.console import Console

from devtools.devstack.console import announce, reporter
from devtools.devstack.signals import interrupts
from devtools.devstack.stack import Stack
from integrator.settings import Settings


async def run(settings: Settings, console: Console) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP; the exit code. Raises what `Stack.running` raises."""
    report = reporter(console)
    stack = Stack(settings, report)
    with interrupts() as interrupted:
        interrupted.hurry = stack.hurry
        try:
            async with stack.running() as info:
                announce(console, info, stack.layout)
                try:
                    await asyncio.Event().wait()
                finally:
                    report("stopping")
        except asyncio.CancelledError:
            if not interrupted.came:
                raise
    return 0
