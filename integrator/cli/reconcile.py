"""`reconcile`."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from integrator.cli.options import AsJson, Merchant, Since, Until, seconds
from integrator.operations import command_runner, output


def reconcile(
    transaction: Annotated[
        str | None, typer.Argument(metavar="[TRANSACTION]", help="One transaction's id.")
    ] = None,
    merchant: Merchant = None,
    since: Since = None,
    until: Until = None,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the PSP's news of a transaction.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Ask the PSP about a transaction now, or compare a merchant's books with the PSP's.

    With times: only the movements booked in between.
    """
    if transaction is None and merchant is None:
        raise typer.BadParameter("name a transaction, or a merchant with --merchant")
    if since is None and until is not None:
        raise typer.BadParameter("--until needs --since")
    if transaction is not None and since is not None:
        raise typer.BadParameter("times are for a merchant, not for a transaction")

    async def look_up(name: str) -> int:
        from integrator.operations import reconciliation
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import the_one

        async with open_operator_context(command_runner.settings()) as desk:
            row = await the_one(desk.store, name, merchant)
            with (
                output.working("asking the PSP", quiet=as_json),
                desk.temporal_answers(),
            ):
                found = await reconciliation.look_up(desk.gateway, row, seconds(wait))
        if as_json:
            output.document({"transaction_id": row.transaction_id, **vars(found)})
        else:
            typer.echo(reconciliation.told(found))
        return 0

    async def compare(name: str) -> int:
        from integrator.operations import reconciliation
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import known_merchant

        async with open_operator_context(command_runner.settings()) as desk:
            await known_merchant(desk.store, name)
            with desk.temporal_answers():
                done = await reconciliation.now(
                    desk, name, since, until or datetime.now(UTC), quiet=as_json
                )
        if as_json:
            output.document({"merchant_id": name, **vars(done)})
        else:
            typer.echo(reconciliation.counted(done))
        return 1 if done.found_problems else 0

    if transaction is not None:
        command_runner.leave_after(lambda: look_up(transaction))
    elif merchant is not None:
        command_runner.leave_after(lambda: compare(merchant))
