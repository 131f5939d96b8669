"""Time limit of one reconciliation step."""

import time
from datetime import timedelta

from workflows import activity_plans


class TimeSlice:
    """A span of time that starts with the object's creation."""

    def __init__(self, span: timedelta = activity_plans.RECONCILE_TIME_SLICE) -> None:
        self._ends = time.monotonic() + span.total_seconds()

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._ends
