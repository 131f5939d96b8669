"""How long a step of reconciliation may work before it reports back."""

import time
from datetime import timedelta

from workflows import activity_plans


class Share:
    """A span of time that began when this was made."""

    def __init__(self, span: timedelta = activity_plans.RECONCILE_SHARE) -> None:
        self._ends = time.monotonic() + span.total_seconds()

    @property
    def used_up(self) -> bool:
        """Whether it is over."""
        return time.monotonic() >= self._ends
