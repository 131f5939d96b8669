"""Run the table of Temporal operations: `python -m tests.e2e.operations [SELECTION]`.

SELECTION is a regular expression for the names of cases; without it the whole table runs.
"""

import asyncio
import re
import sys
import tempfile
from pathlib import Path

from tests.e2e.operations.cases import all_cases
from tests.e2e.operations.stack import running_stack
from tests.e2e.operations.table import Table, counts, format_table
from tests.e2e.operations.world import open_world


async def main(selection: str) -> int:
    """Run the selected cases; return the exit code, 1 with violations or skipped cases."""
    cases = [case for case in all_cases() if re.search(selection, case.name)]
    folder = Path(tempfile.mkdtemp(prefix="operations-"))
    print(f"{len(cases)} cases, data in {folder}", flush=True)  # noqa: T201
    with running_stack(folder) as stack:
        async with open_world(stack) as world:
            results = await Table(world, lambda line: print(line, flush=True)).run(cases)  # noqa: T201
    print(format_table(results))  # noqa: T201
    return int(bool(counts(results)) or any(result.skipped for result in results))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "")))
