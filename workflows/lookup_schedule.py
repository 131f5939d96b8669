"""When to ask a transaction's PSP next, and about which ids. Pure."""

from datetime import datetime

from workflows import timeouts


class LookupSchedule:
    """Schedule of look-ups: at growing intervals while the outcome is open, at once on request.

    `next_at` is when the next look-up is due; `extra_ids` are PSP ids to ask about beside the
    transaction's own.
    """

    def __init__(self) -> None:
        self.requested = False
        self.next_at: datetime | None = None
        self.extra_ids: list[str] = []
        self._attempts = 0

    def request(self, now: datetime) -> None:
        """Request a look-up now, repeated until the PSP answers."""
        self.requested = True
        self._attempts = -1  # this look-up comes before the first interval
        self.next_at = now

    def add_id(self, psp_id: str) -> None:
        """Ask about this PSP id, too."""
        if psp_id not in self.extra_ids:
            self.extra_ids.append(psp_id)

    def schedule_next(self, now: datetime, *, outcome_open: bool) -> None:
        """Set the time of the next look-up, or clear it if none is needed."""
        if not outcome_open and not self.requested:
            self.next_at = None
        elif self.next_at is None:
            index = min(self._attempts, len(timeouts.LOOKUP_INTERVALS) - 1)
            self.next_at = now + timeouts.LOOKUP_INTERVALS[index]

    def pop_due(self, now: datetime) -> bool:
        """Return whether a look-up is due, and count it as started."""
        if self.next_at is None or self.next_at > now:
            return False
        self._attempts += 1
        self.next_at = None
        return True

    def remove_id(self, psp_id: str) -> None:
        """Stop asking about this PSP id."""
        self.extra_ids = [other for other in self.extra_ids if other != psp_id]

    def record_answer(self, *, inconclusive: bool) -> None:
        """Record an answer; an `inconclusive` one may lag behind the event that asked for it."""
        may_repeat = self._attempts < len(timeouts.LOOKUP_INTERVALS)
        self.requested = bool(self.extra_ids) or (self.requested and inconclusive and may_repeat)
