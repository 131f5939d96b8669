"""Commands for encryption keys and erasure."""

from typing import Annotated

import typer

from integrator.operations import command_runner, output

app = typer.Typer(help="Encryption keys.", no_args_is_help=True)


def erase(
    agreement: Annotated[str, typer.Option(help="The agreement's id.")],
    merchant: Annotated[
        str | None, typer.Option(help="Name of the merchant; needed if several have the id.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Erase an agreement's personal data permanently; amounts, states and ids stay."""
    from integrator.admin import key_reports, keys

    settings = command_runner.load_settings()
    merchant = merchant or command_runner.run(keys.find_merchant(settings, agreement))
    scope = command_runner.run(keys.erasure_scope(settings, merchant, agreement))
    typer.echo(key_reports.describe_erasure(merchant, agreement, scope))
    if not yes:
        typer.confirm("Erase it permanently?", abort=True)
    clean = command_runner.run(keys.erase(settings, merchant, agreement))
    typer.echo(key_reports.describe_erased(merchant, agreement, scope, clean=clean))


@app.command("generate")
def generate_key() -> None:
    """Print a new key as an entry for the key ring, `id:base64`."""
    from integrator.admin import keys

    typer.echo(keys.generate_entry())


@app.command("rotate")
def rotate_keys() -> None:
    """Re-encrypt everything in the store with the active key, the first of the ring."""
    from integrator.admin import key_reports, keys

    settings = command_runner.load_settings()
    with output.progress_bar("re-encrypting") as progress:
        result = command_runner.run(keys.rotate(settings, progress))
    typer.echo(key_reports.describe_rotation(result))
    if result.left:
        raise typer.Exit(1)


@app.command("usage")
def key_usage(
    histories: Annotated[
        int | None, typer.Option(min=0, help="Number of histories to read; all if not given.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Show which key is in use where, in the store and in Temporal."""
    from rich.console import Console

    from integrator.admin import key_reports, keys

    async def show() -> int:
        settings = command_runner.load_settings()
        with output.progress_bar("reading histories", quiet=as_json) as progress:
            usage = await keys.usage(settings, histories, progress)
        if as_json:
            typer.echo(key_reports.usage_as_json(usage))
        else:
            key_reports.print_usage(usage, Console())
        return 0

    command_runner.run_and_exit(show)
