"""Live timeline on the terminal."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.text import Text

_NAMES_WIDTH = 28
_AMOUNT_KEYS = ("requestedAmount", "authorizedAmount", "refundedAmount", "refundableAmount")


class Timeline:
    """Prints requests and notes with the time since the start."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()

    def start_section(self, title: str) -> None:
        """Print the title of a new section."""
        self._console.print()
        self._write(Text(title, style="bold"))

    def add_exchange(
        self, sender: str, receiver: str, request: str, result: str, *, good: bool
    ) -> None:
        """Print one request and its result."""
        line = self._line(sender, receiver)
        line.append(f"{request:<52} ", style="cyan")
        line.append(result, style="green" if good else "yellow")
        self._write(line)

    def add_note(self, text: str) -> None:
        """Print a note on the line before."""
        self._write(Text(" " * (_NAMES_WIDTH + 11) + text, style="dim"))

    def _line(self, sender: str, receiver: str) -> Text:
        offset = time.monotonic() - self._start
        names = f"{sender} → {receiver}"
        return Text(f"{offset:7.2f} s  {names:<{_NAMES_WIDTH}}  ")

    def _write(self, line: Text) -> None:
        # No hard wrapping: a line stays whole when it is copied or written to a file.
        self._console.print(line, soft_wrap=True, highlight=False)


def summarize(body: Mapping[str, Any]) -> str:
    """Return status, error codes and amounts of a response body in one line."""
    parts = [str(body[key]) for key in ("status", "errorCode", "pspErrorCode") if body.get(key)]
    amounts = [
        f"{_amount_label(key)} {_format_amount(body[key])}" for key in _AMOUNT_KEYS if body.get(key)
    ]
    chargebacks = [
        f"charged back {_format_amount(item['amount'])}" for item in body.get("chargebacks", ())
    ]
    return " · ".join(parts + amounts + chargebacks)


def _amount_label(key: str) -> str:
    return key.removesuffix("Amount")


def _format_amount(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)
