"""`webhook redeliver`."""

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
        bool, typer.Option("--undelivered", help="All whose last webhook was given up.")
    ] = False,
    since: Since = None,
    until: Until = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only look what there is.")] = False,
    as_json: AsJson = False,
) -> None:
    """Announce the present state of a transaction, or of all that meet the conditions, once more.

    Times are those of the last attempt to deliver.
    """
    if (transaction is None) is not (undelivered or since is not None or until is not None):
        raise typer.BadParameter("name a transaction, or --undelivered, --since or --until")

    async def announce() -> int:
        from integrator.operations import redelivery
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import the_one
        from integrator.store.models import Filter

        async with open_operator_context(command_runner.settings()) as desk:
            if transaction is not None:
                row = await the_one(desk.store, transaction, merchant)
                with desk.temporal_answers():
                    done = await redelivery.one_alone(desk.gateway, row, dry_run=dry_run)
            else:
                wanted = Filter(
                    merchant_id=merchant,
                    webhook="undelivered" if undelivered else None,
                    attempted_since=since,
                    attempted_until=until,
                )
                with output.bar("announcing", quiet=as_json) as progress:
                    done = await redelivery.all_of(
                        desk.store, desk.gateway, wanted, progress, dry_run=dry_run
                    )
        if as_json:
            output.document({"dry_run": dry_run, **vars(done)})
        else:
            typer.echo(redelivery.told(done, dry_run=dry_run))
        return 1 if done.failed else 0

    command_runner.leave_after(announce)
