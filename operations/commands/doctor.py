"""`doctor`."""

import typer

from operations import output, running
from operations.commands.options import AsJson


def doctor(as_json: AsJson = False) -> None:
    """Check configuration, database, keys, Temporal, workers, PSPs and what waits."""

    async def look() -> int:
        from operations.doctor import document, examine, healthy, line

        findings = []
        async for finding in examine():
            findings.append(finding)
            if not as_json:
                typer.echo(output.printable_lines(line(finding)))
        if as_json:
            output.document(document(findings))
        return 0 if healthy(findings) else 1

    running.leave_after(look)
