"""What waits for a person, and what a person can do about it."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from integrator.operations.output import Progress, printable_lines
from integrator.store.database import Store
from integrator.store.models import TransactionRow, UnmatchedMovement
from integrator.transactions.workflow_inputs import read_state


@dataclass(frozen=True)
class Waiting:
    """A transaction, or a stray, that somebody has to look at.

    `lines` say why; `commands` are what can be done, ready to be typed.
    """

    merchant_id: str
    id: str
    kind: str
    status: str
    amount: str
    since: datetime
    lines: tuple[str, ...]
    commands: tuple[str, ...]
    stray: bool = False


async def waiting(store: Store, merchant: str | None, limit: int) -> list[Waiting]:
    """Oldest first, strays and transactions together."""
    accounts = {m.psp_settings_id: m.id for m in await store.merchants()}
    found = [_transaction(row) for row in await store.needing_attention(merchant, limit)]
    found += [
        _stray(row, accounts[row.psp_settings_id]) for row in await store.unplaced(merchant, limit)
    ]
    return sorted(found, key=lambda one: one.since)[:limit]


def screen(found: list[Waiting]) -> str:
    """For people."""
    if not found:
        return "Nothing waits for a person."
    return printable_lines("\n".join(line for one in found for line in _lines(one)).rstrip())


def _lines(one: Waiting) -> Iterator[str]:
    since = f"{one.since:%Y-%m-%d %H:%M}"
    what = f"stray {one.kind}" if one.stray else one.kind
    yield f"{since}  {one.merchant_id}  {what} {one.id}: {one.status}, {one.amount}"
    yield from (f"    {line}" for line in one.lines)
    yield from (f"      $ {command}" for command in one.commands)
    yield ""


async def scan(store: Store, total: int, progress: Progress) -> int:
    """Read every state and mark those that ask for a person; returns how many marks were wrong."""
    after, corrected, seen = None, 0, 0
    while rows := await store.page(after):
        for row in rows:
            needed = read_state(row.kind, row.snapshot).attention is not None
            if needed is not row.needs_attention:
                await store.set_attention(row, needed=needed)
                corrected += 1
        after = rows[-1].place
        seen += len(rows)
        progress(seen, max(total, seen))
    return corrected


def _transaction(row: TransactionRow) -> Waiting:
    state = read_state(row.kind, row.snapshot)
    name = f"{shlex.quote(row.transaction_id)} --merchant {row.merchant_id}"
    resolve = f"integrator resolve {shlex.quote(row.transaction_id)}"
    why = f"--merchant {row.merchant_id} --reason '...'"
    commands = [
        f"integrator explain {name}",
        f"integrator reconcile {name}",
        f"{resolve} acknowledge {why}",
    ]
    if state.undecided:
        commands.append(f"{resolve} failed {why}")
        if row.kind != "preauth":
            commands.append(f"{resolve} succeeded {why} --psp-id ID --amount {_value(row)}")
    return Waiting(
        merchant_id=row.merchant_id,
        id=row.transaction_id,
        kind=row.kind,
        status=row.status,
        amount=f"{row.requested_amount} {row.currency}",
        since=row.created_at,
        lines=tuple(state.attention_lines),
        commands=tuple(commands),
    )


def _value(row: TransactionRow) -> str:
    return format(row.requested_amount, "f")


def _stray(row: UnmatchedMovement, merchant: str) -> Waiting:
    made_on = f"on {row.owner_id}" if row.owner_id else "on no transaction of ours"
    reference = f", reference {row.reference!r}" if row.reference else ""
    booked = f"{row.booked_at:%Y-%m-%d %H:%M}"
    commands = [
        f"integrator reconcile --merchant {merchant}",
        f"integrator resolve --stray {shlex.quote(row.psp_id)} --merchant {merchant} "
        "--reason '...'",
    ]
    if row.owner_id:
        owner = shlex.quote(row.owner_id)
        commands.insert(0, f"integrator explain {owner} --merchant {merchant}")
    return Waiting(
        merchant_id=merchant,
        id=row.psp_id,
        kind=row.kind,
        status="stray",
        amount=f"{row.amount} {row.currency}",
        since=row.seen_at,
        lines=(f"The PSP booked it on {booked} {made_on}{reference}; nobody here asked for it.",),
        commands=tuple(commands),
        stray=True,
    )
