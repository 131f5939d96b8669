"""Commands `explain` and `list`."""

import gc
from typing import Annotated

import typer

from integrator.cli.options import (
    AsJson,
    KindOption,
    Limit,
    Merchant,
    Since,
    Transaction,
    Until,
    Webhook,
    parse_status_option,
)
from integrator.operations import command_runner, output


def explain(transaction: Transaction, merchant: Merchant = None, as_json: AsJson = False) -> None:
    """Show a transaction's timeline: what happened, by which source, and what comes next."""

    # Garbage collection after the imports takes a tenth of a command that runs for a second.
    gc.disable()

    async def show() -> int:
        from integrator.operations.connections import open_operator_context
        from integrator.operations.explain import render
        from integrator.operations.explain.query import explain
        from integrator.operations.transaction_lookup import find_transaction

        async with open_operator_context(command_runner.load_settings()) as context:
            async with context.connect_in_background():
                row = await find_transaction(context.store, transaction, merchant)
            details = await explain(context.store, context.transaction_client, row)
        if as_json:
            output.print_json(render.to_document(details))
        else:
            typer.echo(render.render(details))
        return 0

    command_runner.run_and_exit(show)


def list_transactions(
    merchant: Merchant = None,
    kind: Annotated[KindOption | None, typer.Option(help="Only this kind.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            parser=parse_status_option, metavar="STATUS", help="Only this status; may be repeated."
        ),
    ] = None,
    agreement: Annotated[str | None, typer.Option(help="Only of this agreement.")] = None,
    psp_id: Annotated[str | None, typer.Option(help="Only with this id at the PSP.")] = None,
    since: Since = None,
    until: Until = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Only what needs an operator.")
    ] = False,
    waiting: Annotated[
        bool, typer.Option("--waiting", help="Only debits that wait for the day to be sent on.")
    ] = False,
    webhook: Annotated[
        Webhook | None, typer.Option(help="Only with this state of the last change webhook.")
    ] = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Continue after an earlier page: its `cursor`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List transactions, newest first; `--since` and `--until` are about the creation."""

    async def show() -> None:
        from integrator.operations import transaction_list
        from integrator.store.models import TransactionFilter

        conditions = TransactionFilter(
            merchant_id=merchant,
            kind=kind.value if kind else None,
            statuses=tuple(status or ()),
            agreement_id=agreement,
            psp_id=psp_id,
            since=since,
            until=until,
            attention=attention,
            waiting=waiting,
            webhook=webhook.value if webhook else None,
        )
        async with command_runner.open_store() as store:
            rows, next_cursor = await transaction_list.read_page(store, conditions, cursor, limit)
        if as_json:
            output.print_json(transaction_list.to_document(rows, next_cursor))
            return
        if waiting:
            output.print_table(
                transaction_list.WAITING_COLUMNS, map(transaction_list.waiting_row, rows)
            )
        else:
            output.print_table(transaction_list.COLUMNS, map(transaction_list.table_row, rows))
        if next_cursor:
            typer.echo(f"There are more: --cursor {next_cursor}")

    command_runner.run(show())
