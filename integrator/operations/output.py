"""Output of commands: tables, JSON documents and progress on the standard error."""

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
"""Called with how much is done and the total."""

_PIPE_WIDTH = 200


def print_json(content: object) -> None:
    """Print one JSON document: times in ISO 8601, amounts as text, dataclasses by their fields."""
    typer.echo(json.dumps(content, indent=2, default=_serialize, ensure_ascii=False))


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table; without a terminal it is as wide as necessary, for `grep` and the like."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    rendered = Table(*columns)
    for row in rows:
        rendered.add_row(*(escape(printable(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=max(console.width, _PIPE_WIDTH))
    console.print(rendered)


def format_minute(at: datetime | None) -> str:
    """Format a time as `2026-01-15 09:00`, None as a dash."""
    return f"{at:%Y-%m-%d %H:%M}" if at is not None else "-"


def format_second(at: datetime | None) -> str:
    """Format a time as `2026-01-15 09:00:00`, None as a dash."""
    return f"{at:%Y-%m-%d %H:%M:%S}" if at is not None else "-"


def printable(text: str) -> str:
    """Replace control characters: a PSP's texts could use them against a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def printable_lines(text: str) -> str:
    """Apply `printable` line by line."""
    return "\n".join(map(printable, text.split("\n")))


@contextmanager
def progress_bar(what: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Show a progress bar on the standard error; none if `quiet` or without a terminal."""
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
def status_line(what: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show a status line for work of unknown length; none if `quiet` or without a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda doing: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as status:
        yield lambda doing: status.update(f"{what}: {doing}")


def _serialize(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Enum):
        return value.value
    raise TypeError(f"{type(value).__name__} cannot be serialized to JSON")
