"""Running things on this machine."""

from typing import Annotated

import typer

from operations import running


def run() -> None:
    """Run everything on this machine until Ctrl-C: Temporal, sandbox PSP, worker and API."""
    from rich.console import Console

    from local.run import run as run_stack

    running.leave_after(lambda: run_stack(running.settings(), Console()))


def demo() -> None:
    """Play one customer's life against the running stack, or one started for it."""
    from rich.console import Console

    from local.demo.main import demo as play

    running.leave_after(lambda: play(running.settings(), Console()))


def migrate(
    with_temporal: Annotated[
        bool,
        typer.Option("--temporal/--no-temporal", help="Also prepare the Temporal namespace."),
    ] = True,
) -> None:
    """Bring the database schema and the search attributes in Temporal up to date."""
    from local import merchants, temporal

    settings = running.settings()
    running.do(merchants.migrate(settings))
    typer.echo("The database schema is up to date.")
    if not with_temporal:
        return

    async def register() -> int:
        added = await temporal.register_attributes(settings)
        typer.echo(f"Search attributes added: {', '.join(added) or 'none, all are there'}.")
        return 0

    running.leave_after(register)


def codec_server() -> None:
    """Serve decrypted payloads to the Temporal Web UI, for holders of the operators' token."""
    from codec_server.__main__ import main

    main()
