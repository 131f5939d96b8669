"""Encryption keys and erasure."""

from typing import Annotated

import typer

from integrator.operations import command_runner, output

app = typer.Typer(help="Encryption keys.", no_args_is_help=True)


def erase(
    agreement: Annotated[str, typer.Option(help="The agreement's id.")],
    merchant: Annotated[
        str | None, typer.Option(help="Name of the merchant; needed if several have the id.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what is personal of an agreement, for good; amounts, states and ids stay."""
    from integrator.admin import key_reports, keys

    settings = command_runner.settings()
    merchant = merchant or command_runner.do(keys.merchant_of(settings, agreement))
    found = command_runner.do(keys.holdings(settings, merchant, agreement))
    typer.echo(key_reports.announced(merchant, agreement, found))
    if not yes:
        typer.confirm("Erase it for good?", abort=True)
    clean = command_runner.do(keys.erase(settings, merchant, agreement))
    typer.echo(key_reports.erased(merchant, agreement, found, clean=clean))


@app.command("generate")
def generate_key() -> None:
    """Print a new key as an entry for the key ring, `id:base64`."""
    from integrator.admin import keys

    typer.echo(keys.new_entry())


@app.command("rotate")
def rotate_keys() -> None:
    """Seal everything in the store with the active key, the first of the ring."""
    from integrator.admin import key_reports, keys

    settings = command_runner.settings()
    with output.bar("sealing anew") as progress:
        result = command_runner.do(keys.rotate(settings, progress))
    typer.echo(key_reports.rotated(result))
    if result.left:
        raise typer.Exit(1)


@app.command("usage")
def key_usage(
    histories: Annotated[
        int | None, typer.Option(min=0, help="Read so many histories; all if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show which key is in use where, in the store and in Temporal."""
    from rich.console import Console

    from integrator.admin import key_reports, keys

    async def show() -> int:
        settings = command_runner.settings()
        with output.bar("reading histories", quiet=as_json) as progress:
            usage = await keys.usage(settings, histories, progress)
        if as_json:
            typer.echo(key_reports.as_json(usage))
        else:
            key_reports.show(usage, Console())
        return 0

    command_runner.leave_after(show)
