"""Shorten the pauses of a worker under test, and hold reports to parent transactions on request.

Python imports this module at the start of every process that has this folder on its path. Nothing
here changes what the product does, only when: an attribute that no longer exists is an error.
"""

import importlib
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

HELD = os.environ.get("OPERATIONS_HELD")
"""Folder with an empty file per transaction whose report to its parent is held back."""

PAUSES: dict[str, dict[str, Any]] = {
    "workflows.timeouts": {
        "LOOKUP_INTERVALS": tuple(timedelta(seconds=pause) for pause in (3, 6, 12, 24)),
        "CREDENTIALS_PAUSE": timedelta(seconds=4),
        "MAX_CREDENTIALS_PAUSE": timedelta(seconds=8),
    },
    "integrator.jobs.orphan_recovery": {
        "INTERVAL": timedelta(seconds=3),
        "START_AFTER": timedelta(seconds=15),
    },
    "integrator.jobs.workflow_recovery": {
        "INTERVAL": timedelta(seconds=3),
        "UNCHANGED_FOR": timedelta(seconds=5),
        "COMPARE_EVERY": timedelta(seconds=5),
    },
    "activities.webhooks": {"PAUSE_FACTOR": 1.5, "FIRST_PAUSE": timedelta(seconds=2)},
}


def shorten_pauses() -> None:
    """Replace the constants in PAUSES."""
    for module_name, constants in PAUSES.items():
        module = importlib.import_module(module_name)
        for name, value in constants.items():
            getattr(module, name)
            setattr(module, name, value)


def hold_reports(folder: Path) -> None:
    """Let the activity that informs a parent transaction fail while the folder holds its child."""
    reservations = importlib.import_module("activities.reservations").Reservations
    close = reservations._close

    async def close_or_fail(
        self: Any, merchant_id: str, kind: Any, owner: str, result: Any
    ) -> None:
        if (folder / result.by).exists():
            raise ConnectionError("held back by the test")
        await close(self, merchant_id, kind, owner, result)

    reservations._close = close_or_fail


if HELD and sys.orig_argv[-2:] == ["-m", "worker"]:
    sys.path.insert(0, os.getcwd())
    shorten_pauses()
    hold_reports(Path(HELD))
