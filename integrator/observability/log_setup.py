"""The log of a process: every line says when, who wrote it and on whose behalf."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(on_behalf_of)s] %(message)s"

Subject = Mapping[str, str]
"""What is worked on: any of `request_id`, `workflow_id`, `merchant`, `kind`, `transaction_id`,
`psp` and `trace_id`."""

_known: ContextVar[dict[str, str] | None] = ContextVar("known", default=None)


@contextmanager
def log_context(**known: str) -> Iterator[None]:
    """A piece of work; `tell` adds what is learned of it on the way, for all who log inside."""
    token = _known.set(dict(known))
    try:
        yield
    finally:
        _known.reset(token)


def bind(**learned: str) -> None:
    """Whatever is logged for the present piece of work from now on says this as well.

    Outside of any, this task and those it starts are one.
    """
    known = _known.get()
    if known is None:
        _known.set(dict(learned))
    else:
        known.update(learned)


def bound() -> Subject:
    """What is known of the present piece of work."""
    return _known.get() or {}


class OnBehalfOf(logging.Filter):
    """Adds `subject` and `on_behalf_of` to records, whichever package wrote them.

    `on_behalf_of` is the id of the request or workflow, `-` for nobody's.
    """

    def __init__(self, current: Callable[[], Subject]) -> None:
        super().__init__()
        self._current = current

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: nothing is left out."""
        subject = self._current()
        record.subject = subject
        record.on_behalf_of = subject.get("request_id") or subject.get("workflow_id") or "-"
        return True


class JsonLines(JsonFormatter):
    """One JSON object per line: `time` (UTC), `level`, `logger`, `message`, and its subject."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            json_ensure_ascii=False,
            reserved_attrs=(*_RESERVED, "on_behalf_of", "subject"),
        )

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        """Time first: it is what a line is found by."""
        return {"time": log_data.pop("time"), **log_data}

    def add_fields(
        self,
        log_data: dict[str, object],
        record: logging.LogRecord,
        message_dict: dict[str, object],
    ) -> None:
        """The record's own fields, then its subject's."""
        super().add_fields(log_data, record, message_dict)
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        log_data.update(getattr(record, "subject", {}))


_RESERVED = (
    *vars(logging.makeLogRecord({})),
    *("message", "asctime", "temporal_log", "color_message"),
)
"""Members of a record that are no field of a line of their own."""


def set_up(current: Callable[[], Subject], form: Literal["json", "text"] = "text") -> None:
    """Log to stderr. `current` says what the process is working on, if anything."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(FORMAT))
    handler.addFilter(OnBehalfOf(current))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show whole URLs
