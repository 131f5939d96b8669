"""The log of a process: every line says on whose behalf it was written."""

import logging
from collections.abc import Callable

FORMAT = "%(asctime)s %(levelname)s %(name)s [%(on_behalf_of)s] %(message)s"


class OnBehalfOf(logging.Filter):
    """Adds `on_behalf_of` to records, whichever package wrote them; `-` for nobody's."""

    def __init__(self, current: Callable[[], str | None]) -> None:
        super().__init__()
        self._current = current

    def filter(self, record: logging.LogRecord) -> bool:
        """Always true: nothing is left out."""
        record.on_behalf_of = self._current() or "-"
        return True


def set_up(current: Callable[[], str | None]) -> None:
    """Log to stderr. `current` names the request or transaction being worked on, if any."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(OnBehalfOf(current))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("httpx").setLevel(logging.WARNING)  # its lines show whole URLs
