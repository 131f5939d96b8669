"""`attention`, `resolve` and `decisions`."""

import getpass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from integrator.cli.options import AsJson, Limit, Merchant, Yes
from integrator.operations import command_runner, output

if TYPE_CHECKING:
    from integrator.operations.decisions import DecisionRequest, Resolved

KINDS = ("acknowledge", "failed", "succeeded")


def _amount(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter("an amount such as 49.90") from None
    if not value.is_finite() or value <= 0:
        raise typer.BadParameter("an amount above zero")
    return value


def _kind(text: str) -> str:
    if text not in KINDS:
        raise typer.BadParameter(f"one of {', '.join(KINDS)}")
    return text


def attention(
    merchant: Merchant = None,
    limit: Limit = 100,
    scan: Annotated[
        bool,
        typer.Option("--scan", help="First read every state: for databases older than the marks."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what waits for a person, oldest first, and what can be done; exit code 1 if anything."""

    async def show() -> int:
        from integrator.operations import attention as waiting
        from integrator.store.models import Filter

        async with command_runner.store() as store:
            if scan:
                with output.bar("reading states", quiet=as_json) as progress:
                    corrected = await waiting.scan(store, await store.count(Filter()), progress)
                typer.echo(f"{corrected} marks were corrected.", err=True)
            found = await waiting.waiting(store, merchant, limit)
        if as_json:
            output.document({"waiting": found})
        else:
            typer.echo(waiting.screen(found))
        return 1 if found else 0

    if code := command_runner.do(show()):
        raise typer.Exit(code)


def resolve(
    transaction: Annotated[
        str | None, typer.Argument(metavar="[TRANSACTION]", help="Its id.")
    ] = None,
    kind: Annotated[
        str | None,
        typer.Argument(parser=_kind, metavar="[acknowledge|failed|succeeded]", help="What holds."),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why. It is kept for ever: nothing personal in it.")
    ] = "",
    merchant: Merchant = None,
    psp_id: Annotated[str | None, typer.Option(help="The PSP's movement, if succeeded.")] = None,
    amount: Annotated[
        Decimal | None,
        typer.Option(parser=_amount, metavar="AMOUNT", help="Its amount, if succeeded."),
    ] = None,
    stray: Annotated[
        str | None, typer.Option(help="The PSP's id of a movement nobody asked for, instead.")
    ] = None,
    by: Annotated[str | None, typer.Option(help="Who decides; else the user's name here.")] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Decide what the PSP does not say, after looking there; or note that it was looked at."""
    if not reason.strip():
        raise typer.BadParameter("a decision needs a --reason")
    if (stray is None) is (transaction is None) or (stray is None) is (kind is None):
        raise typer.BadParameter("name a transaction and what holds, or a --stray")
    if stray is not None and merchant is None:
        raise typer.BadParameter("a stray needs its --merchant")
    if as_json and not yes:
        raise typer.BadParameter("--json cannot ask: add --yes")

    async def carry_out() -> int:
        from integrator.operations import decisions as deciding
        from integrator.operations.connections import open_operator_context
        from integrator.operations.transaction_lookup import known_merchant, the_one

        wish = deciding.build_request(kind or "acknowledge", _who(by), reason, psp_id, amount)
        async with open_operator_context(command_runner.settings()) as desk:
            if stray is not None and merchant is not None:
                owner = await known_merchant(desk.store, merchant)
                _confirm(f"stray {stray} of {merchant}", wish, yes=yes)
                done = await deciding.settle_stray(desk.store, owner, stray, wish)
            else:
                row = await the_one(desk.store, transaction or "", merchant)
                _confirm(deciding.subject(row), wish, yes=yes)
                with desk.temporal_answers():
                    done = await deciding.resolve(desk.store, desk.gateway, row, wish)
        _show(done, as_json=as_json)
        return 1 if done.refusal else 0

    command_runner.leave_after(carry_out)


def decisions(merchant: Merchant = None, limit: Limit = 50, as_json: AsJson = False) -> None:
    """Show what was decided by hand, newest first."""

    async def show() -> None:
        async with command_runner.store() as store:
            rows = await store.decisions(merchant, limit=limit)
        if as_json:
            output.document({"decisions": rows})
            return
        from integrator.operations import decisions as deciding

        output.table(deciding.COLUMNS, map(deciding.cells, rows))

    command_runner.do(show())


def _who(by: str | None) -> str:
    try:
        return by or getpass.getuser()
    except (KeyError, OSError):
        raise typer.BadParameter("this user has no name: say --by") from None


def _confirm(what: str, wish: "DecisionRequest", *, yes: bool) -> None:
    from integrator.operations import decisions as deciding

    if not yes:
        typer.echo(f"{what}\n{deciding.consequence(wish)}", err=True)
        typer.confirm("Decide it so?", abort=True, err=True)


def _show(done: "Resolved", *, as_json: bool) -> None:
    if as_json:
        output.document(done)
    elif done.refusal:
        typer.echo(f"Refused: {done.refusal}", err=True)
    else:
        change = f" It is {done.status_after} now." if done.status_after else ""
        typer.echo(f"Done and kept as decision {done.decision_id}.{change}")
