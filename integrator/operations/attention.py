"""Transactions and unmatched movements that need an operator, and the commands to resolve them."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from integrator.operations.output import Progress, printable_lines
from integrator.operations.quarantine import lines_of
from integrator.store.backlog import UNDECIDED_REASONS
from integrator.store.database import Store
from integrator.store.models import (
    QuarantineEntry,
    TransactionRow,
    UnmatchedMovement,
    UnreadableEvents,
)
from integrator.transactions.workflow_inputs import read_state


@dataclass(frozen=True)
class AttentionItem:
    """A transaction or an unmatched movement that needs an operator.

    `lines` are the reasons; `commands` are the possible commands, ready to be typed.
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


@dataclass(frozen=True)
class UndecidedGroup:
    """Transactions that are undecided for one reason, with the creation of the oldest."""

    reason: str
    count: int
    oldest_since: datetime
    meaning: str


async def list_undecided(store: Store, merchant: str | None) -> list[UndecidedGroup]:
    """Return how many transactions are undecided and why, those with the oldest first."""
    return [
        UndecidedGroup(group.group[0], group.count, group.since, UNDECIDED_REASONS[group.group[0]])
        for group in await store.backlog.list_undecided_reasons(merchant)
    ]


async def list_items(store: Store, merchant: str | None, limit: int) -> list[AttentionItem]:
    """Return transactions and unmatched movements that need attention, oldest first."""
    accounts = {m.psp_settings_id: m.id for m in await store.merchants.list_all()}
    items = [
        _transaction_item(row)
        for row in await store.transaction_search.list_needing_attention(merchant, limit)
    ]
    items += [
        _movement_item(row, accounts[row.psp_settings_id])
        for row in await store.unmatched_movements.list_open(merchant, limit)
    ]
    return sorted(items, key=lambda item: item.since)[:limit]


def render(
    items: list[AttentionItem],
    undecided: Sequence[UndecidedGroup] = (),
    unreadable: Sequence[UnreadableEvents] = (),
    quarantined: Sequence[QuarantineEntry] = (),
) -> str:
    """Render the items, then what cannot be read or processed and what is undecided, as text."""
    lines = [line for item in items for line in _render_item(item)]
    if not items and not quarantined:
        lines = ["Nothing needs attention.", ""]
    if quarantined:
        lines += ["Rows at which a sweep fails:"]
        lines += [f"    {line}" for entry in quarantined for line in lines_of(entry)] + [""]
    if unreadable:
        lines += ["Events of the PSP that cannot be read:"]
        lines += [line for group in unreadable for line in _render_unreadable(group)] + [""]
    if undecided:
        lines += ["Undecided:", *map(_render_undecided, undecided)]
    return printable_lines("\n".join(lines).rstrip())


def _render_unreadable(group: UnreadableEvents) -> Iterator[str]:
    since = f"{group.since:%Y-%m-%d %H:%M}"
    yield f"    {group.count} of {group.merchant_id}, the oldest since {since}: its adapter lacks"
    yield "    this form; reconciliation finds what they report"
    yield f"      $ integrator reconcile --merchant {group.merchant_id}"


def _render_undecided(group: UndecidedGroup) -> str:
    since = f"{group.oldest_since:%Y-%m-%d %H:%M}"
    return f"    {group.count}, the oldest since {since}: {group.meaning}"


def _render_item(item: AttentionItem) -> Iterator[str]:
    since = f"{item.since:%Y-%m-%d %H:%M}"
    what = f"unmatched {item.kind}" if item.stray else item.kind
    yield f"{since}  {item.merchant_id}  {what} {item.id}: {item.status}, {item.amount}"
    yield from (f"    {line}" for line in item.lines)
    yield from (f"      $ {command}" for command in item.commands)
    yield ""


async def correct_marks(store: Store, total: int, progress: Progress) -> int:
    """Read every state and correct its attention mark; return how many marks were wrong."""
    after, corrected, seen = None, 0, 0
    while rows := await store.transaction_search.list_page(after):
        for row in rows:
            needed = read_state(row.kind, row.snapshot).attention is not None
            if needed is not row.needs_attention:
                await store.transactions.set_attention(row, needed=needed)
                corrected += 1
        after = rows[-1].cursor
        seen += len(rows)
        progress(seen, max(total, seen))
    return corrected


def _transaction_item(row: TransactionRow) -> AttentionItem:
    state = read_state(row.kind, row.snapshot)
    name = f"{shlex.quote(row.transaction_id)} --merchant {row.merchant_id}"
    resolve = f"integrator resolve {shlex.quote(row.transaction_id)}"
    options = f"--merchant {row.merchant_id} --reason '...'"
    commands = [
        f"integrator explain {name}",
        f"integrator reconcile {name}",
        f"{resolve} acknowledge {options}",
    ]
    if state.undecided:
        commands.append(f"{resolve} failed {options}")
        if row.kind != "preauth":
            commands.append(
                f"{resolve} succeeded {options} --psp-id ID --amount {_format_amount(row)}"
            )
    return AttentionItem(
        merchant_id=row.merchant_id,
        id=row.transaction_id,
        kind=row.kind,
        status=row.status,
        amount=f"{row.requested_amount} {row.currency}",
        since=row.created_at,
        lines=tuple(state.attention_lines),
        commands=tuple(commands),
    )


def _format_amount(row: TransactionRow) -> str:
    return format(row.requested_amount, "f")


def _movement_item(row: UnmatchedMovement, merchant: str) -> AttentionItem:
    parent = f"on {row.owner_id}" if row.owner_id else "on no known transaction"
    reference = f", reference {row.reference!r}" if row.reference else ""
    booked = f"{row.booked_at:%Y-%m-%d %H:%M}"
    commands = [
        f"integrator reconcile --merchant {merchant}",
        f"integrator resolve --stray {shlex.quote(row.psp_id)} --merchant {merchant} "
        "--reason '...'",
    ]
    if row.owner_id:
        parent_id = shlex.quote(row.owner_id)
        commands.insert(0, f"integrator explain {parent_id} --merchant {merchant}")
    return AttentionItem(
        merchant_id=merchant,
        id=row.psp_id,
        kind=row.kind,
        status="stray",
        amount=f"{row.amount} {row.currency}",
        since=row.seen_at,
        lines=(f"The PSP booked it on {booked} {parent}{reference}; no transaction requested it.",),
        commands=tuple(commands),
        stray=True,
    )
