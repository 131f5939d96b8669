"""Terminal output of a local run."""

import contextlib
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devtools.devstack.data_dir import Layout
from devtools.devstack.process import Report
from devtools.devstack.runfile import RunInfo

# rich exits the process when its output is closed; the stack must keep running.
_IGNORE_CLOSED_TERMINAL = contextlib.suppress(OSError, SystemExit)


def create_reporter(console: Console) -> Report:
    """Return a function that prints one line with the time of day; ignores a closed terminal."""

    def report(line: str) -> None:
        with _IGNORE_CLOSED_TERMINAL:
            console.print(Text(f"{time.strftime('%H:%M:%S')}  {line}"), soft_wrap=True)

    return report


def print_addresses(console: Console, info: RunInfo, layout: Layout) -> None:
    """Print where each server and file is; the token itself is not printed."""
    addresses = info.addresses
    rows = {
        "API": addresses.api,
        "Swagger UI": f"{addresses.api}/docs",
        "Temporal": addresses.temporal,
        "Temporal UI": addresses.temporal_ui,
        "Codec server": addresses.codec_server,
        "Token of the codec server": str(layout.codec_token_file),
        "Sandbox PSP": f"{addresses.sandbox_psp}/docs",
        "Metrics": ", ".join(filter(None, (addresses.api_metrics, addresses.worker_metrics)))
        or None,
        "Token of merchant demo": str(layout.demo_file),
        "Logs": str(layout.log("api").parent),
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value is not None:
            table.add_row(Text(f"  {name}"), Text(value))
    with _IGNORE_CLOSED_TERMINAL:
        console.print(
            Text("The payment integrator is running."), table, Text("Ctrl-C stops it."), sep="\n"
        )
