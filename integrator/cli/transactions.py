"""`explain` and `list`."""

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
    a_status,
)
from integrator.operations import command_runner, output


def explain(transaction: Transaction, merchant: Merchant = None, as_json: AsJson = False) -> None:
    """Tell a transaction's story: what happened, who said so, what comes next."""

    # Looking through what the imports leave takes a tenth of a command that lives for a second.
    gc.disable()

    async def tell() -> int:
        from integrator.operations.connections import open_operator_context
        from integrator.operations.explain import render
        from integrator.operations.explain.query import explain
        from integrator.operations.transaction_lookup import the_one

        async with open_operator_context(command_runner.settings()) as desk:
            async with desk.connecting():
                row = await the_one(desk.store, transaction, merchant)
            found = await explain(desk.store, desk.gateway, row)
        if as_json:
            output.document(render.document(found))
        else:
            typer.echo(render.screen(found))
        return 0

    command_runner.leave_after(tell)


def list_transactions(
    merchant: Merchant = None,
    kind: Annotated[KindOption | None, typer.Option(help="Only this kind.")] = None,
    status: Annotated[
        list[str] | None,
        typer.Option(parser=a_status, metavar="STATUS", help="Only this one; may be repeated."),
    ] = None,
    agreement: Annotated[str | None, typer.Option(help="Only this agreement's.")] = None,
    psp_id: Annotated[str | None, typer.Option(help="Only what the PSP calls so.")] = None,
    since: Since = None,
    until: Until = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Only what waits for a person.")
    ] = False,
    webhook: Annotated[
        Webhook | None, typer.Option(help="Only those whose last change webhook stands so.")
    ] = None,
    limit: Limit = 50,
    cursor: Annotated[
        str | None, typer.Option(help="Go on where an earlier page ended: its `cursor`.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List transactions, newest first; times are those of their creation."""

    async def show() -> None:
        from integrator.operations import transaction_list
        from integrator.store.models import Filter

        wanted = Filter(
            merchant_id=merchant,
            kind=kind.value if kind else None,
            statuses=tuple(status or ()),
            agreement_id=agreement,
            psp_id=psp_id,
            since=since,
            until=until,
            attention=attention,
            webhook=webhook.value if webhook else None,
        )
        async with command_runner.store() as store:
            rows, further = await transaction_list.page(store, wanted, cursor, limit)
        if as_json:
            output.document(transaction_list.document(rows, further))
            return
        output.table(transaction_list.COLUMNS, map(transaction_list.cells, rows))
        if further:
            typer.echo(f"There are more: --cursor {further}")

    command_runner.do(show())
