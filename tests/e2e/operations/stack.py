"""The stack under test: one with short pauses and Temporal's pause of workflows switched on."""

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from devtools.campaign.stack import Stack
from tests.support.temporal import temporal_binary

PROCESS_HOOK = Path(__file__).parent / "process_hook"
NEVER_SECONDS = "86400"


@contextmanager
def running_stack(folder: Path, code: Path | None = None) -> Iterator[Stack]:
    """Run a stack in the folder; `code` is the product's, by default the working directory's."""
    held = folder / "held"
    held.mkdir(parents=True)
    env = {
        "PYTHONPATH": str(PROCESS_HOOK),
        "OPERATIONS_HELD": str(held),
        "INTEGRATOR_TEMPORAL_BIN": str(_temporal_with_pause(folder)),
        "INTEGRATOR_SYNC_BUDGET_SECONDS": "2",
        "INTEGRATOR_RATE_LIMIT_PER_TOKEN": "100000/10 seconds",
        "INTEGRATOR_RATE_LIMIT_PER_NOTIFICATION_ROUTE": "100000/10 seconds",
        # Reconciliation would repair what the operations break.
        "INTEGRATOR_RECONCILE_EVERY_SECONDS": NEVER_SECONDS,
        "SANDBOX_SETTLE_SECONDS": NEVER_SECONDS,
    }
    stack = Stack(folder / "data", env, code)
    try:
        stack.start(seconds=120)
        yield stack
    finally:
        stack.stop()


def _temporal_with_pause(folder: Path) -> Path:
    """Write a program that starts Temporal with what pauses a workflow switched on."""
    program = folder / "temporal-with-pause"
    options = "--dynamic-config-value frontend.WorkflowPauseEnabled=true"
    program.write_text(f'#!/bin/sh\nexec "{temporal_binary()}" "$@" {options}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program
