"""Command `webhook redeliver`."""

from typing import Annotated

import typer

from integrator.cli.options import AsJson, Merchant, Since, Until
from integrator.operations import command_runner, output

app = typer.Typer(help="Change webhooks.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """Change webhooks."""


@app.command()
def redeliver(
    transaction: Annotated[
        str | None, typer.Argument(metavar="[TRANSACTION]", help="One transaction's id.")
    ] = None,
    merchant: Merchant = None,
    undelivered: Annotated[
        bool,
        typer.Option("--undelivered", help="All transactions whose last webhook was given up."),
    ] = False,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count the transactions.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Redeliver the present state of a transaction, or of all that match the conditions.

    `--since` and `--until` are about the last delivery attempt.
    """
    if (transaction is None) is not (undelivered or since is not None or until is not None):
        raise typer.BadParameter("name a transaction, or --undelivered, --since or --until")

    async def announce() -> int:
        from integrator.operations import redelivery
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import find_transaction
        from integrator.store.models import TransactionFilter

        async with open_operator_context(command_runner.load_settings()) as context:
            if transaction is not None:
                row = await find_transaction(context.store, transaction, merchant)
                with context.temporal_errors():
                    result = await redelivery.redeliver_named(
                        context.transaction_client, row, dry_run=dry_run
                    )
            else:
                conditions = TransactionFilter(
                    merchant_id=merchant,
                    webhook="undelivered" if undelivered else None,
                    attempted_since=since,
                    attempted_until=until,
                )
                with output.progress_bar("announcing", quiet=as_json) as progress:
                    result = await redelivery.redeliver_matching(
                        context.store,
                        context.transaction_client,
                        conditions,
                        progress,
                        dry_run=dry_run,
                    )
        if as_json:
            output.print_json({"dry_run": dry_run, **vars(result)})
        else:
            typer.echo(redelivery.render(result, dry_run=dry_run))
        return 1 if result.failed else 0

    command_runner.run_and_exit(announce)
