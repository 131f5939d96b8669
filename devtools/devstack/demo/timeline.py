"""The story on the terminal, line by line as it happens."""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.text import Text

_NAMES = 28
_SHOWN = ("requestedAmount", "authorizedAmount", "refundedAmount", "refundableAmount")


class Timeline:
    """Prints what happens with the time since the beginning."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._start = time.monotonic()

    def chapter(self, title: str) -> None:
        """Begin a new part of the story."""
        self._console.print()
        self._write(Text(title, style="bold"))

    def exchange(
        self, sender: str, receiver: str, request: str, result: str, *, good: bool
    ) -> None:
        """One request and what came of it."""
        line = self._line(sender, receiver)
        line.append(f"{request:<52} ", style="cyan")
        line.append(result, style="green" if good else "yellow")
        self._write(line)

    def note(self, text: str) -> None:
        """A remark on the line before."""
        self._write(Text(" " * (_NAMES + 11) + text, style="dim"))

    def _line(self, sender: str, receiver: str) -> Text:
        offset = time.monotonic() - self._start
        names = f"{sender} → {receiver}"
        return Text(f"{offset:7.2f} s  {names:<{_NAMES}}  ")

    def _write(self, line: Text) -> None:
        # One line each, so that what is copied or kept in a file is whole.
        self._console.print(line, soft_wrap=True, highlight=False)


def summary(body: Mapping[str, Any]) -> str:
    """The essence of an answer of the API."""
    parts = [str(body[key]) for key in ("status", "errorCode", "pspErrorCode") if body.get(key)]
    amounts = [f"{_label(key)} {_amount(body[key])}" for key in _SHOWN if body.get(key)]
    chargebacks = [
        f"charged back {_amount(item['amount'])}" for item in body.get("chargebacks", ())
    ]
    return " · ".join(parts + amounts + chargebacks)


def _label(key: str) -> str:
    return key.removesuffix("Amount")


def _amount(value: Any) -> str:
    return format(value, "f") if isinstance(value, Decimal) else str(value)
