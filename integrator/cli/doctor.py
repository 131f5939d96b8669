"""`doctor`."""

import typer

from integrator.cli.options import AsJson
from integrator.operations import command_runner, output


def doctor(as_json: AsJson = False) -> None:
    """Check configuration, database, keys, Temporal, workers, PSPs and what waits."""

    async def look() -> int:
        from integrator.operations.doctor import document, examine, healthy, line

        findings = []
        async for finding in examine():
            findings.append(finding)
            if not as_json:
                typer.echo(output.printable_lines(line(finding)))
        if as_json:
            output.document(document(findings))
        return 0 if healthy(findings) else 1

    command_runner.leave_after(look)
