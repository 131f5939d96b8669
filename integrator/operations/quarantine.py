"""Rows at which sweeps fail, as text."""

import shlex
from collections.abc import Iterator, Sequence

from integrator.operations.output import format_minute, printable_lines
from integrator.store.models import QuarantineEntry

WORK = {
    "orphans": "to be started, or its outcome to be announced",
    "recovery": "its workflow to be started again, or to do what is due",
    "sample": "to be compared with the PSP",
}
"""What each sweep would do with the row."""


def render(entries: Sequence[QuarantineEntry]) -> str:
    """Return the entries with the commands to act on them."""
    if not entries:
        return "No row is in quarantine."
    return printable_lines("\n".join(line for entry in entries for line in lines_of(entry)))


def lines_of(entry: QuarantineEntry) -> Iterator[str]:
    """Yield the lines of one entry."""
    yield f"{entry.key} of {entry.merchant_id}, since {format_minute(entry.since)}"
    yield f"    {WORK.get(entry.sweep, entry.sweep)}; failed {entry.tries} times: {entry.reason}"
    if entry.next_at is not None:
        yield f"    next try {format_minute(entry.next_at)}"
    target = f"{shlex.quote(entry.key)} --merchant {shlex.quote(entry.merchant_id)}"
    yield f"      $ integrator quarantine retry {target}"
    yield f"      $ integrator quarantine drop {target}"
