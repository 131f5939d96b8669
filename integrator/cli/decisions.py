"""Commands `attention`, `resolve` and `decisions`."""

import getpass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.options import AsJson, Limit, Merchant, Yes
from integrator.operations import command_runner, output

if TYPE_CHECKING:
    from integrator.operations.decisions import DecisionRequest, DecisionResult

DECISION_KINDS = ("acknowledge", "failed", "succeeded")


def _parse_amount(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter("an amount such as 49.90") from None
    if not value.is_finite() or value <= 0:
        raise typer.BadParameter("an amount above zero")
    return value


def _parse_kind(text: str) -> str:
    if text not in DECISION_KINDS:
        raise typer.BadParameter(f"one of {', '.join(DECISION_KINDS)}")
    return text


DecidedTransaction = Annotated[str | None, typer.Argument(metavar="[TRANSACTION]", help="Its id.")]
DecisionKind = Annotated[
    str | None,
    typer.Argument(
        parser=_parse_kind, metavar="[acknowledge|failed|succeeded]", help="The decision."
    ),
]
Reason = Annotated[
    str, typer.Option(help="The reason. It is kept permanently: write nothing personal into it.")
]
PspId = Annotated[str | None, typer.Option(help="Id of the PSP's movement, if succeeded.")]
Amount = Annotated[
    Decimal | None,
    typer.Option(parser=_parse_amount, metavar="AMOUNT", help="Its amount, if succeeded."),
]
Unmatched = Annotated[
    str | None,
    typer.Option(
        "--stray", help="Instead of a transaction: the PSP's id of an unmatched movement."
    ),
]
OperatorName = Annotated[
    str | None, typer.Option(help="Name of the operator; by default the user's name.")
]


def attention(
    merchant: Merchant = None,
    limit: Limit = 100,
    scan: Annotated[
        bool,
        typer.Option(
            "--scan",
            help="First read every state and correct its mark, for databases older than the marks.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what needs an operator, oldest first, with commands; exit code 1 if anything."""

    async def show() -> int:
        from integrator.operations import attention as attention_commands
        from integrator.store.models import TransactionFilter

        async with command_runner.open_store() as store:
            if scan:
                with output.progress_bar("reading states", quiet=as_json) as progress:
                    corrected = await attention_commands.correct_marks(
                        store, await store.transaction_search.count(TransactionFilter()), progress
                    )
                typer.echo(f"{corrected} marks were corrected.", err=True)
            items = await attention_commands.list_items(store, merchant, limit)
            undecided = await attention_commands.list_undecided(store, merchant)
            unreadable = await store.notifications.list_unreadable(merchant_id=merchant)
            quarantined = await store.quarantine.list_entries(merchant, limit=limit)
        if as_json:
            output.print_json(
                {
                    "waiting": items,
                    "undecided": undecided,
                    "unreadable": unreadable,
                    "quarantine": quarantined,
                }
            )
        else:
            typer.echo(attention_commands.render(items, undecided, unreadable, quarantined))
        return 1 if items or quarantined else 0

    if code := command_runner.run(show()):
        raise typer.Exit(code)


def resolve(
    transaction: DecidedTransaction = None,
    kind: DecisionKind = None,
    reason: Reason = "",
    merchant: Merchant = None,
    psp_id: PspId = None,
    amount: Amount = None,
    unmatched: Unmatched = None,
    by: OperatorName = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Decide an outcome that the PSP does not report, or acknowledge the attention."""
    if not reason.strip():
        raise typer.BadParameter("a decision needs a --reason")
    if (unmatched is None) is (transaction is None) or (unmatched is None) is (kind is None):
        raise typer.BadParameter("name a transaction and a decision, or a --stray")
    if unmatched is not None and merchant is None:
        raise typer.BadParameter("--stray needs --merchant")
    if as_json and not yes:
        raise typer.BadParameter("--json cannot ask for confirmation: add --yes")

    async def apply() -> int:
        from integrator.operations.decisions import build_request

        request = build_request(kind or "acknowledge", _operator_name(by), reason, psp_id, amount)
        result = await _decide(request, transaction, merchant, unmatched, yes=yes)
        _print_result(result, as_json=as_json)
        return 1 if result.refusal else 0

    command_runner.run_and_exit(apply)


async def _decide(
    request: "DecisionRequest",
    transaction: str | None,
    merchant: str | None,
    unmatched: str | None,
    *,
    yes: bool,
) -> "DecisionResult":
    """Apply a decision to an unmatched movement of a merchant, or to a transaction."""
    from integrator.operations import decisions as decision_commands
    from integrator.operations.connections import open_operator_context
    from integrator.operations.transaction_lookup import find_merchant, find_transaction

    async with open_operator_context(command_runner.load_settings()) as context:
        if unmatched is not None and merchant is not None:
            merchant_row = await find_merchant(context.store, merchant)
            _confirm(f"unmatched movement {unmatched} of {merchant}", request, yes=yes)
            return await decision_commands.resolve_unmatched(
                context.store, merchant_row, unmatched, request
            )
        row = await find_transaction(context.store, transaction or "", merchant)
        _confirm(decision_commands.describe_transaction(row), request, yes=yes)
        with context.temporal_errors():
            return await decision_commands.resolve(
                context.store, context.transaction_client, row, request
            )


def decisions(merchant: Merchant = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Show operators' decisions, newest first."""

    async def show() -> None:
        async with command_runner.open_store() as store:
            rows = await store.decisions.list_newest(merchant, limit=limit)
        if as_json:
            output.print_json({"decisions": rows})
            return
        from integrator.operations import decisions as decision_commands

        output.print_table(decision_commands.COLUMNS, map(decision_commands.table_row, rows))

    command_runner.run(show())


def _operator_name(by: str | None) -> str:
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        raise typer.BadParameter("this user has no name: add --by") from None


def _confirm(what: str, request: "DecisionRequest", *, yes: bool) -> None:
    from integrator.operations import decisions as decision_commands

    if not yes:
        typer.echo(f"{what}\n{decision_commands.describe_consequence(request)}", err=True)
        typer.confirm("Apply this decision?", abort=True, err=True)


def _print_result(result: "DecisionResult", *, as_json: bool) -> None:
    if as_json:
        output.print_json(result)
    elif result.refusal:
        typer.echo(f"Refused: {result.refusal}", err=True)
    else:
        change = f" It is {result.status_after} now." if result.status_after else ""
        typer.echo(f"Done; recorded as decision {result.decision_id}.{change}")
