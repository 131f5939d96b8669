"""Commands `migrate` and `codec-server`."""

from typing import Annotated

import typer

from integrator.operations import command_runner


def migrate(
    with_temporal: Annotated[
        bool,
        typer.Option("--temporal/--no-temporal", help="Also prepare the Temporal namespace."),
    ] = True,
) -> None:
    """Bring the database schema and the search attributes in Temporal up to date."""
    from integrator.admin import migration

    settings = command_runner.load_settings()
    typer.echo(command_runner.run(migration.migrate(settings)))
    if not with_temporal:
        return

    async def register() -> int:
        added = await migration.register_attributes(settings)
        typer.echo(f"Search attributes added: {', '.join(added) or 'none, all exist'}.")
        return 0

    command_runner.run_and_exit(register)


def codec_server() -> None:
    """Serve decrypted payloads to the Temporal Web UI, for holders of the operators' token."""
    from integrator.codec_server.__main__ import main

    main()
