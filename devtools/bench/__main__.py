"""`python -m devtools.bench`: measure, show, keep. It judges nothing and fails on nothing that is slow."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from devtools.bench import report
from devtools.bench.config import Knobs
from devtools.bench.run import measure
from integrator.settings import PREFIX

_WIDTH = 120
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Measure as the environment says."""
    # What configures another stack must not reach this one.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if name != f"{PREFIX}TEMPORAL_BIN":
            del os.environ[name]
    knobs, console = Knobs.of_environment(), Console(width=_WIDTH)
    result = asyncio.run(measure(knobs, console.print))
    report.show(result, console)
    kind = "growth" if knobs.growth else "engine"
    file = report.write(result, RESULTS, f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    console.print(f"Written to bench/results/{file.name}")
    sys.stdout.flush()
    # As in worker.py: the SDK's native threads can abort the interpreter's own exit.
    os._exit(0)


if __name__ == "__main__":
    main()
