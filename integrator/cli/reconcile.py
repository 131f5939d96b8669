"""Command `reconcile`."""

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
        float, typer.Option(min=0, help="Seconds to wait for the transaction to change.")
    ] = 10,
    as_json: AsJson = False,
) -> None:
    """Look up a transaction at the PSP now, or reconcile a merchant with its PSP.

    With times: only compare the movements booked in between.
    """
    if transaction is None and merchant is None:
        raise typer.BadParameter("name a transaction, or a merchant with --merchant")
    if since is None and until is not None:
        raise typer.BadParameter("--until needs --since")
    if transaction is not None and since is not None:
        raise typer.BadParameter("--since and --until are for a merchant, not for a transaction")

    async def look_up(name: str) -> int:
        from integrator.operations import reconciliation
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import find_transaction

        async with open_operator_context(command_runner.load_settings()) as context:
            row = await find_transaction(context.store, name, merchant)
            with (
                output.status_line("asking the PSP", quiet=as_json),
                context.temporal_errors(),
            ):
                result = await reconciliation.look_up(
                    context.transaction_client, row, seconds(wait)
                )
        if as_json:
            output.print_json({"transaction_id": row.transaction_id, **vars(result)})
        else:
            typer.echo(reconciliation.render_lookup(result))
        return 0

    async def compare(name: str) -> int:
        from integrator.operations import reconciliation
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import find_merchant

        async with open_operator_context(command_runner.load_settings()) as context:
            await find_merchant(context.store, name)
            with context.temporal_errors():
                result = await reconciliation.run_with_progress(
                    context, name, since, until or datetime.now(UTC), quiet=as_json
                )
        if as_json:
            output.print_json({"merchant_id": name, **vars(result)})
        else:
            typer.echo(reconciliation.render_comparison(result))
        return 1 if result.found_problems else 0

    if transaction is not None:
        command_runner.run_and_exit(lambda: look_up(transaction))
    elif merchant is not None:
        command_runner.run_and_exit(lambda: compare(merchant))
