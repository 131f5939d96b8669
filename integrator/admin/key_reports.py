"""How the commands about keys and erasure show what they found."""

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from integrator.admin.keys import Rotated, Usage, verdicts
from integrator.store import ErasureScope

HISTORIES_STAY = (
    "Histories are never encrypted anew: a key stays needed until every workflow whose history "
    "holds it has ended and its retention has passed."
)


def announced(merchant: str, agreement: str, found: ErasureScope) -> str:
    """What is going to be erased."""
    lines = [
        f"Agreement {agreement} of {merchant}: {found.transactions} transactions "
        f"({found.undecided} undecided), {found.notifications} stored notifications."
    ]
    if found.erased_at is not None:
        lines.append(f"Its data was erased on {found.erased_at:%Y-%m-%d %H:%M} UTC already.")
    if found.undecided:
        lines.append(
            "What is undecided can only be looked up at the PSP afterwards, not sent again."
        )
    if found.unread:
        lines.append(
            f"{found.unread} notifications were not applied yet; the PSP is asked instead, if it "
            "can be. They usually are within seconds."
        )
    return "\n".join(lines)


def erased(merchant: str, agreement: str, found: ErasureScope, *, clean: bool) -> str:
    """What was done."""
    lines = [
        f"The data of agreement {agreement} of {merchant} is erased: its data key is destroyed,",
        f"{found.transactions} requests and {found.notifications} notifications are overwritten.",
        "Amounts, states, ids, evidence and webhook addresses stay. The agreement takes no money "
        "any more; refunds and cancellations work.",
        "Temporal's histories hold ids, amounts and states only, nothing personal, encrypted as a "
        "whole; they end with their retention.",
        "Backups made before now still hold the key, wrapped: they open for as long as the key "
        "ring's key of then exists (docs/security.md).",
    ]
    if not clean:
        lines.append(
            "The database's file is in use and could not be compacted; until it is, whoever has "
            "the keys may find traces in it. Run the command again."
        )
    return "\n".join(lines)


def rotated(result: Rotated) -> str:
    """What was sealed anew and what is left."""
    if not result.left:
        return (
            f"{result.resealed} sealed anew; everything in the store is sealed with "
            f"{result.active}.\n{HISTORIES_STAY}"
        )
    return (
        f"{result.resealed} sealed anew with {result.active}; {result.left} are left: written "
        "meanwhile by processes that do not have this key first, or not to be opened with these "
        "keys. `integrator keys usage` shows them; run this again when that is mended."
    )


def as_json(usage: Usage) -> str:
    """For programs; `histories` is null while Temporal cannot be reached."""
    found = usage.histories
    histories = found and {
        "total": found.total,
        "read": found.read,
        "workflows": dict(found.workflows),
        "payloads": dict(found.payloads),
        "schedules": dict(found.schedules),
    }
    store = {
        column.column: {
            "keys": column.by_key,
            "data_keys": column.data_key,
            "erased": column.erased,
        }
        for column in usage.store
    }
    content = {"active": usage.active, "ids": usage.ids, "store": store, "histories": histories}
    return json.dumps(content, indent=2)


def show(usage: Usage, console: Console) -> None:
    """For people."""
    ids = (usage.active, *usage.others)
    table = Table("Where", *(f"{id} (active)" if id == usage.active else id for id in ids))
    table.add_column("data keys")
    table.add_column("erased")
    for column in usage.store:
        counts = _cells(column.by_key, ids)
        table.add_row(column.column, *counts, str(column.data_key), str(column.erased))
    if usage.histories is not None:
        found = usage.histories
        name = f"histories ({found.read} of {found.total} read)"
        table.add_row(name, *_cells(found.payloads, ids), "", "")
        table.add_row("schedules", *_cells(found.schedules, ids), "", "")
    console.print(table)
    if usage.histories is None:
        console.print("Temporal cannot be reached: histories were not read.")
    for verdict in verdicts(usage):
        console.print(verdict, markup=False)
    console.print(HISTORIES_STAY, markup=False)


def _cells(counts: Mapping[str, int], ids: tuple[str, ...]) -> list[str]:
    return [str(counts.get(id, 0)) for id in ids]
