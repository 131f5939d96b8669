"""Run the benchmark, print the results and write them to a file; slow results are no failure."""

import asyncio
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from devtools.bench import report
from devtools.bench.config import BenchConfig
from devtools.bench.run import measure
from integrator.settings import PREFIX

_WIDTH = 120
RESULTS = Path(__file__).with_name("results")


def main() -> None:
    """Run the benchmark configured by the environment."""
    # Settings of another stack must not affect this one.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        if name != f"{PREFIX}TEMPORAL_BIN":
            del os.environ[name]
    config, console = BenchConfig.from_environment(), Console(width=_WIDTH)
    result = asyncio.run(measure(config, console.print))
    report.print_report(result, console)
    kind = "growth" if config.growth else "engine"
    file = report.write_results(result, RESULTS, f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    console.print(f"Written to devtools/bench/results/{file.name}")
    sys.stdout.flush()
    # As in worker.py: the SDK's native threads can abort a regular interpreter exit.
    os._exit(0)


if __name__ == "__main__":
    main()
