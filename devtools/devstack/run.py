"""Implementation of `integrator run`: run the stack until a signal stops it."""

import asyncio

from rich.console import Console

from devtools.devstack.console import create_reporter, print_addresses
from devtools.devstack.signals import handle_shutdown_signals
from devtools.devstack.stack import Stack
from integrator.settings import Settings


async def run(settings: Settings, console: Console) -> int:
    """Run until SIGINT, SIGTERM or SIGHUP; return the exit code.

    Raises what `Stack.running` raises.
    """
    report = create_reporter(console)
    stack = Stack(settings, report)
    with handle_shutdown_signals() as shutdown:
        shutdown.on_second_signal = stack.stop_immediately
        try:
            async with stack.running() as info:
                print_addresses(console, info, stack.layout)
                try:
                    await asyncio.Event().wait()
                finally:
                    report("stopping")
        except asyncio.CancelledError:
            if not shutdown.received:
                raise
    return 0
