"""Command `heal`."""

from typing import Annotated

import typer

from integrator.cli.options import AsJson, Merchant, Since, Until, seconds
from integrator.operations import command_runner, output


def heal(
    apply: Annotated[
        bool, typer.Option("--apply", help="Heal what can be healed; otherwise only report it.")
    ] = False,
    merchant: Merchant = None,
    since: Since = None,
    until: Until = None,
    rate: Annotated[
        float, typer.Option(min=0.1, max=100, help="Transactions to heal per second.")
    ] = 5,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for the results of 200 transactions.")
    ] = 10,
    examples: Annotated[
        int, typer.Option(min=1, max=1000, help="Transactions to show of each kind.")
    ] = 5,
    as_json: AsJson = False,
) -> None:
    """Find what faults of earlier versions left behind; exit code 1 if anything is left.

    `--since` and `--until` are about the creation of the transactions.
    """

    async def run() -> int:
        from integrator.operations.connections import open_operator_context
        from integrator.operations.healing import run as healing
        from integrator.operations.transaction_lookup import find_merchant
        from integrator.store.models import TransactionFilter

        options = healing.RunOptions(
            conditions=TransactionFilter(merchant_id=merchant, since=since, until=until),
            apply=apply,
            rate=rate,
            wait=seconds(wait),
            examples=examples,
        )
        async with open_operator_context(command_runner.load_settings()) as context:
            if merchant is not None:
                await find_merchant(context.store, merchant)
            work = await healing.prepare(context.store, context.transaction_client, options)
            completed = False
            try:
                with (
                    output.progress_bar("examining", quiet=as_json) as progress,
                    context.temporal_errors(),
                ):
                    await work.run(progress)
                completed = True
            finally:
                if not completed and work.report.reached is not None:
                    reached = work.report.reached.isoformat()
                    typer.echo(f"Continue with: --since {reached}", err=True)
        report = work.report
        if as_json:
            output.print_json(healing.to_document(report))
        else:
            typer.echo(healing.render(report))
        return 1 if report.left else 0

    command_runner.run_and_exit(run)
