"""Encryption keys and erasure."""

from typing import Annotated

import typer

from operations import output, running

app = typer.Typer(help="Encryption keys.", no_args_is_help=True)


def erase(
    agreement: Annotated[str, typer.Option(help="The agreement's id.")],
    merchant: Annotated[
        str | None, typer.Option(help="Name of the merchant; needed if several have the id.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase what is personal of an agreement, for good; amounts, states and ids stay."""
    from local import keys, keys_shown

    settings = running.settings()
    merchant = merchant or running.do(keys.merchant_of(settings, agreement))
    found = running.do(keys.holdings(settings, merchant, agreement))
    typer.echo(keys_shown.announced(merchant, agreement, found))
    if not yes:
        typer.confirm("Erase it for good?", abort=True)
    clean = running.do(keys.erase(settings, merchant, agreement))
    typer.echo(keys_shown.erased(merchant, agreement, found, clean=clean))


@app.command("generate")
def generate_key() -> None:
    """Print a new key as an entry for the key ring, `id:base64`."""
    from local import keys

    typer.echo(keys.new_entry())


@app.command("rotate")
def rotate_keys() -> None:
    """Seal everything in the store with the active key, the first of the ring."""
    from local import keys, keys_shown

    settings = running.settings()
    with output.bar("sealing anew") as progress:
        result = running.do(keys.rotate(settings, progress))
    typer.echo(keys_shown.rotated(result))
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

    from local import keys, keys_shown

    async def show() -> int:
        settings = running.settings()
        with output.bar("reading histories", quiet=as_json) as progress:
            usage = await keys.usage(settings, histories, progress)
        if as_json:
            typer.echo(keys_shown.as_json(usage))
        else:
            keys_shown.show(usage, Console())
        return 0

    running.leave_after(show)
