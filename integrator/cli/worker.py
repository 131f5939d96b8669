"""Commands `worker versions` and `worker promote`."""

from typing import Annotated

import typer

from integrator.cli.options import AsJson
from integrator.operations import command_runner, output

app = typer.Typer(help="Workers and the versions of their code.", no_args_is_help=True)


@app.command("versions")
def versions(as_json: AsJson = False) -> None:
    """Show polling workers and, with a deployment, the versions of the worker."""

    async def show() -> int:
        from integrator.operations.worker_versions import read_versions

        result = await read_versions(command_runner.load_settings())
        if as_json:
            output.print_json(result)
            return 0
        output.print_table(
            ("Worker", "Build id", "Seen"),
            (
                [poller.identity, poller.build_id or "-", output.format_minute(poller.seen_at)]
                for poller in result.pollers
            ),
        )
        output.print_table(
            ("Build id", "State", "Created", "Current since"),
            (
                [
                    version.build_id,
                    version.status,
                    output.format_minute(version.created_at),
                    output.format_minute(version.current_since),
                ]
                for version in result.versions
            ),
        )
        return 0

    command_runner.run_and_exit(show)


@app.command("promote")
def promote(
    build_id: Annotated[str, typer.Argument(help="Build id as `worker versions` shows it.")],
) -> None:
    """Route all tasks, also of running transactions, to the workers of this build id."""

    async def run() -> int:
        from integrator.operations.worker_versions import promote

        await promote(command_runner.load_settings(), build_id)
        typer.echo(f"{build_id} is the current version.")
        return 0

    command_runner.run_and_exit(run)
