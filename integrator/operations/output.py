"""Tables for people, one JSON document for programs, and progress that disturbs neither."""

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

import typer

Progress = Callable[[int, int], None]
"""Is told how much is done and how much there is to do."""

_WITHOUT_TERMINAL = 200


def document(content: object) -> None:
    """Print one JSON document: times in ISO 8601, amounts as text, dataclasses by their fields."""
    typer.echo(json.dumps(content, indent=2, default=_plain, ensure_ascii=False))


def table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table; where nobody looks it is as wide as it has to be, for `grep` and the like."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    shown = Table(*columns)
    for row in rows:
        shown.add_row(*(escape(printable(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _WITHOUT_TERMINAL))
    console.print(shown)


def minute(at: datetime | None) -> str:
    """`2026-01-15 09:00`, or a dash."""
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else "-"


def second(at: datetime | None) -> str:
    """`2026-01-15 09:00:00`, or a dash."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at is not None else "-"


def printable(text: str) -> str:
    """Without control characters, which a PSP's words could use against a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def printable_lines(text: str) -> str:
    """As `printable`, line by line."""
    return "\n".join(map(printable, text.split("\n")))


@contextmanager
def bar(what: str, *, quiet: bool = False) -> Iterator[Progress]:
    """A progress bar on the standard error; none when `quiet` or without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def working(what: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Like `bar`, for work of unknown length: is told what is being done."""
    if quiet or not sys.stderr.isatty():
        yield lambda doing: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda doing: status.update(f"{what}: {doing}")


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} has no place in a document")
