"""Command `doctor`."""

import typer

from integrator.cli.options import AsJson
from integrator.operations import command_runner, output


def doctor(as_json: AsJson = False) -> None:
    """Check configuration, database, keys, Temporal, workers, PSPs and the backlog."""

    async def run() -> int:
        from integrator.operations.doctor import is_healthy, render_result, run_checks, to_document

        results = []
        async for result in run_checks():
            results.append(result)
            if not as_json:
                typer.echo(output.printable_lines(render_result(result)))
        if as_json:
            output.print_json(to_document(results))
        return 0 if is_healthy(results) else 1

    command_runner.run_and_exit(run)
