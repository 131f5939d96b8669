"""What a local run tells the person at the terminal."""

import contextlib
import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devtools.devstack.data_dir import Layout
from devtools.devstack.process import Report
from devtools.devstack.runfile import RunInfo

# rich ends the process when what reads its output has gone; a stack must rather go on.
_GONE = contextlib.suppress(OSError, SystemExit)


def reporter(console: Console) -> Report:
    """Writes single lines with the time of day; a terminal that is gone does not matter."""

    def report(line: str) -> None:
        with _GONE:
            console.print(Text(f"{time.strftime('%H:%M:%S')}  {line}"), soft_wrap=True)

    return report


def announce(console: Console, info: RunInfo, layout: Layout) -> None:
    """Where everything is. The token itself is not shown."""
    at = info.addresses
    rows = {
        "API": at.api,
        "Swagger UI": f"{at.api}/docs",
        "Temporal": at.temporal,
        "Temporal UI": at.temporal_ui,
        "Codec server": at.codec_server,
        "Token of the codec server": str(layout.codec_token_file),
        "Sandbox PSP": f"{at.sandbox_psp}/docs",
        "Metrics": ", ".join(filter(None, (at.api_metrics, at.worker_metrics))) or None,
        "Token of merchant demo": str(layout.demo_file),
        "Logs": str(layout.log("api").parent),
    }
    table = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        if value is not None:
            table.add_row(Text(f"  {name}"), Text(value))
    with _GONE:
        console.print(
            Text("The payment integrator is running."), table, Text("Ctrl-C stops it."), sep="\n"
        )
