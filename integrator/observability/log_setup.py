"""Logging of a process: every line has a time, a logger and the subject it is about."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(on_behalf_of)s] %(message)s"

Subject = Mapping[str, str]
"""Fields of the current request or activity: any of `request_id`, `workflow_id`, `merchant`,
`kind`, `transaction_id`, `psp` and `trace_id`."""

_bound_fields: ContextVar[dict[str, str] | None] = ContextVar("known", default=None)


@contextmanager
def log_context(**fields: str) -> Iterator[None]:
    """Add fields to all lines logged inside; `bind` adds more of them later."""
    token = _bound_fields.set(dict(fields))
    try:
        yield
    finally:
        _bound_fields.reset(token)


def bind(**fields: str) -> None:
    """Add fields to all lines logged in the current context from now on.

    Outside of any context, they apply to this task and the tasks it starts.
    """
    current = _bound_fields.get()
    if current is None:
        _bound_fields.set(dict(fields))
    else:
        current.update(fields)


def bound() -> Subject:
    """Return the fields of the current context."""
    return _bound_fields.get() or {}


class SubjectFilter(logging.Filter):
    """Logging filter that adds `subject` and `on_behalf_of` to the records of all packages.

    `on_behalf_of` is the id of the request or workflow, `-` without one.
    """

    def __init__(self, current: Callable[[], Subject]) -> None:
        super().__init__()
        self._current = current

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the attributes; always true, so that no record is dropped."""
        subject = self._current()
        record.subject = subject
        record.on_behalf_of = subject.get("request_id") or subject.get("workflow_id") or "-"
        return True


class JsonLines(JsonFormatter):
    """Formatter of JSON lines with `time` (UTC), `level`, `logger`, `message` and the subject."""

    def __init__(self) -> None:
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            json_ensure_ascii=False,
            reserved_attrs=(*_RESERVED, "on_behalf_of", "subject"),
        )

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        """Put `time` first, for readers."""
        return {"time": log_data.pop("time"), **log_data}

    def add_fields(
        self,
        log_data: dict[str, object],
        record: logging.LogRecord,
        message_dict: dict[str, object],
    ) -> None:
        """Add the record's own fields, then those of its subject."""
        super().add_fields(log_data, record, message_dict)
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        log_data.update(getattr(record, "subject", {}))


_RESERVED = (
    *vars(logging.makeLogRecord({})),
    *("message", "asctime", "temporal_log", "color_message"),
)
"""Attributes of a record that are not fields of a JSON line."""


def set_up(current: Callable[[], Subject], form: Literal["json", "text"] = "text") -> None:
    """Log to stderr; `current` returns the fields of the current request or activity."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter(FORMAT))
    handler.addFilter(SubjectFilter(current))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show whole URLs
