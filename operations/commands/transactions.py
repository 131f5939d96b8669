"""`explain` and `list`."""

import gc
from typing import Annotated

import typer

from operations import output, running
from operations.commands.options import (
    AsJson,
    Kind,
    Limit,
    Merchant,
    Since,
    Transaction,
    Until,
    Webhook,
    a_status,
)


def explain(transaction: Transaction, merchant: Merchant = None, as_json: AsJson = False) -> None:
    """Tell a transaction's story: what happened, who said so, what comes next."""

    # Looking through what the imports leave takes a tenth of a command that lives for a second.
    gc.disable()

    async def tell() -> int:
        from operations import explained
        from operations.desk import open_desk
        from operations.explain import explain
        from operations.finding import the_one

        async with open_desk(running.settings()) as desk:
            async with desk.connecting():
                row = await the_one(desk.store, transaction, merchant)
            found = await explain(desk.store, desk.gateway, row)
        if as_json:
            output.document(explained.document(found))
        else:
            typer.echo(explained.screen(found))
        return 0

    running.leave_after(tell)


def list_transactions(
    merchant: Merchant = None,
    kind: Annotated[Kind | None, typer.Option(help="Only this kind.")] = None,
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
        from operations import listing
        from store.rows import Filter

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
        async with running.store() as store:
            rows, further = await listing.page(store, wanted, cursor, limit)
        if as_json:
            output.document(listing.document(rows, further))
            return
        output.table(listing.COLUMNS, map(listing.cells, rows))
        if further:
            typer.echo(f"There are more: --cursor {further}")

    running.do(show())
