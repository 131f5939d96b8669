"""When a transaction's PSP is to be asked next, and under which ids. Pure."""

from datetime import datetime

from workflows import timeouts


class LookupSchedule:
    """Open questions are asked at growing intervals, for ever; owed look-ups at once.

    `next_at` is when the next one is due; `ids` are further ids to ask under.
    """

    def __init__(self) -> None:
        self.requested = False
        self.next_at: datetime | None = None
        self.ids: list[str] = []
        self._made = 0

    def request(self, now: datetime) -> None:
        """Something happened at the PSP: ask now, and again until it answers."""
        self.requested = True
        self._made = -1  # this one comes before the schedule's first step
        self.next_at = now

    def also_under(self, psp_id: str) -> None:
        """Ask under this id, too."""
        if psp_id not in self.ids:
            self.ids.append(psp_id)

    def plan(self, now: datetime, *, open_question: bool) -> None:
        """See to it that the next one has a time, if there is anything to ask."""
        if not open_question and not self.requested:
            self.next_at = None
        elif self.next_at is None:
            step = min(self._made, len(timeouts.RECONCILE_STEPS) - 1)
            self.next_at = now + timeouts.RECONCILE_STEPS[step]

    def pop_due(self, now: datetime) -> bool:
        """Whether one is due; it counts as made."""
        if self.next_at is None or self.next_at > now:
            return False
        self._made += 1
        self.next_at = None
        return True

    def answered_under(self, psp_id: str) -> None:
        """Nothing more to ask under this id."""
        self.ids = [other for other in self.ids if other != psp_id]

    def answered(self, *, lags: bool) -> None:
        """An answer came; one that `lags` behind the event that asked for it is no answer yet."""
        patient = self._made < len(timeouts.RECONCILE_STEPS)
        self.requested = bool(self.ids) or (self.requested and lags and patient)
