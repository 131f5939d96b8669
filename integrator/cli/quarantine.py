"""Commands `quarantine list`, `retry` and `drop`."""

from typing import Annotated

import typer

from integrator.cli.options import AsJson, Limit, Merchant, Yes
from integrator.operations import command_runner, output

app = typer.Typer(
    help="Rows at which the worker's sweeps fail again and again.", no_args_is_help=True
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="As `quarantine list` shows it.")]


@app.callback()
def _group() -> None:
    """Rows at which the worker's sweeps fail again and again."""


@app.command("list")
def list_entries(merchant: Merchant = None, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List them, oldest first, with the kind of the error; exit code 1 if there are any."""

    async def show() -> int:
        from integrator.operations import quarantine

        async with command_runner.open_store() as store:
            entries = await store.quarantine.list_entries(merchant, limit=limit)
        if as_json:
            output.print_json({"entries": entries})
        else:
            typer.echo(quarantine.render(entries))
        return 1 if entries else 0

    command_runner.run_and_exit(show)


@app.command()
def retry(
    key: Annotated[str | None, typer.Argument(metavar="[KEY]", help="One row only.")] = None,
    merchant: Merchant = None,
) -> None:
    """Let the sweeps try the rows again at once, all of them or those that are named."""

    async def run() -> int:
        async with command_runner.open_store() as store:
            count = await store.quarantine.retry(merchant, key)
        typer.echo(f"{count} entries are tried again.")
        return 0 if count or key is None else 1

    command_runner.run_and_exit(run)


@app.command()
def drop(
    key: Key,
    merchant: Annotated[str, typer.Option("--merchant", help="Its merchant.")],
    yes: Yes = False,
) -> None:
    """Let no sweep try a row any more: what it would have done is not done.

    `quarantine retry` takes that back.
    """
    if not yes:
        typer.confirm(f"No sweep will try {key} of {merchant} any more. Go on?", abort=True)

    async def run() -> int:
        async with command_runner.open_store() as store:
            count = await store.quarantine.drop(merchant, key)
        typer.echo(f"{count} entries are dropped.")
        return 0 if count else 1

    command_runner.run_and_exit(run)
