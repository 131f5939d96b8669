"""Texts, tables and JSON of the commands for keys and erasure."""

import json
from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from integrator.admin.keys import KeyUsageReport, RotationResult, describe_inactive_keys
from integrator.store import ErasureScope

HISTORIES_STAY = (
    "Histories are never re-encrypted: a key is needed until every workflow whose history uses it "
    "has closed and its retention has passed."
)


def describe_erasure(merchant: str, agreement: str, scope: ErasureScope) -> str:
    """Describe what is going to be erased."""
    lines = [
        f"Agreement {agreement} of {merchant}: {scope.transactions} transactions "
        f"({scope.undecided} undecided), {scope.notifications} stored notifications."
    ]
    if scope.erased_at is not None:
        lines.append(f"Its data was already erased on {scope.erased_at:%Y-%m-%d %H:%M} UTC.")
    if scope.undecided:
        lines.append(
            "Undecided transactions can only be looked up at the PSP afterwards, not sent again."
        )
    if scope.unread:
        lines.append(
            f"{scope.unread} notifications are not applied yet, which usually takes seconds; "
            "after the erasure the PSP is asked instead, if it supports that."
        )
    return "\n".join(lines)


def describe_erased(merchant: str, agreement: str, scope: ErasureScope, *, clean: bool) -> str:
    """Describe what was erased."""
    lines = [
        f"The data of agreement {agreement} of {merchant} is erased: its data key is destroyed,",
        f"{scope.transactions} requests and {scope.notifications} notifications are overwritten.",
        "Amounts, states, ids, evidence and webhook addresses stay. The agreement takes no money "
        "any more; refunds and cancellations still work.",
        "Temporal's histories hold ids, amounts and states only, nothing personal, encrypted as a "
        "whole; they end with their retention.",
        "Backups made before now still hold the key, wrapped: they open for as long as the key "
        "ring's key of then exists (docs/security.md).",
    ]
    if not clean:
        lines.append(
            "The database's file is in use and could not be compacted; until it is, a holder of "
            "the keys may find traces in it. Run the command again."
        )
    return "\n".join(lines)


def describe_rotation(result: RotationResult) -> str:
    """Describe what was re-encrypted and what is left."""
    if not result.left:
        return (
            f"{result.reencrypted} values re-encrypted; everything in the store is encrypted with "
            f"{result.active}.\n{HISTORIES_STAY}"
        )
    return (
        f"{result.reencrypted} values re-encrypted with {result.active}; {result.left} are left: "
        "written meanwhile by processes whose first key is another one, or not readable with "
        "these keys. `integrator keys usage` shows them; fix that and run this command again."
    )


def usage_as_json(usage: KeyUsageReport) -> str:
    """Return the report as JSON; `histories` is null while Temporal is unreachable."""
    histories = usage.histories
    document = histories and {
        "total": histories.total,
        "read": histories.read,
        "workflows": dict(histories.workflows),
        "payloads": dict(histories.payloads),
        "schedules": dict(histories.schedules),
    }
    store = {
        column.column: {
            "keys": column.by_key,
            "data_keys": column.data_key,
            "erased": column.erased,
        }
        for column in usage.store
    }
    content = {"active": usage.active, "ids": usage.ids, "store": store, "histories": document}
    return json.dumps(content, indent=2)


def print_usage(usage: KeyUsageReport, console: Console) -> None:
    """Print the report as a table."""
    ids = (usage.active, *usage.others)
    table = Table("Where", *(f"{id} (active)" if id == usage.active else id for id in ids))
    table.add_column("data keys")
    table.add_column("erased")
    for column in usage.store:
        counts = _cells(column.by_key, ids)
        table.add_row(column.column, *counts, str(column.data_key), str(column.erased))
    if usage.histories is not None:
        histories = usage.histories
        name = f"histories ({histories.read} of {histories.total} read)"
        table.add_row(name, *_cells(histories.payloads, ids), "", "")
        table.add_row("schedules", *_cells(histories.schedules, ids), "", "")
    console.print(table)
    if usage.histories is None:
        console.print("Temporal is unreachable: histories were not read.")
    for verdict in describe_inactive_keys(usage):
        console.print(verdict, markup=False)
    console.print(HISTORIES_STAY, markup=False)


def _cells(counts: Mapping[str, int], ids: tuple[str, ...]) -> list[str]:
    return [str(counts.get(id, 0)) for id in ids]
