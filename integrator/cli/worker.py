"""`worker versions` and `worker promote`."""

from typing import Annotated

import typer

from integrator.cli.options import AsJson
from integrator.operations import command_runner, output

app = typer.Typer(help="Which code works, and which is to.", no_args_is_help=True)


@app.command("versions")
def versions(as_json: AsJson = False) -> None:
    """Show which workers poll and, with a deployment, which version gets the work."""

    async def show() -> int:
        from integrator.operations.worker_versions import look

        found = await look(command_runner.settings())
        if as_json:
            output.document(found)
            return 0
        output.table(
            ("Worker", "Build id", "Seen"),
            (
                [one.identity, one.build_id or "-", output.minute(one.seen_at)]
                for one in found.pollers
            ),
        )
        output.table(
            ("Build id", "State", "Created", "Current since"),
            (
                [
                    one.build_id,
                    one.status,
                    output.minute(one.created_at),
                    output.minute(one.current_since),
                ]
                for one in found.versions
            ),
        )
        return 0

    command_runner.leave_after(show)


@app.command("promote")
def promote(
    build_id: Annotated[str, typer.Argument(help="Build id as `worker versions` shows it.")],
) -> None:
    """Give all work, also that of running transactions, to the workers of this build id."""

    async def give() -> int:
        from integrator.operations.worker_versions import promote

        await promote(command_runner.settings(), build_id)
        typer.echo(f"{build_id} is the current version.")
        return 0

    command_runner.leave_after(give)
