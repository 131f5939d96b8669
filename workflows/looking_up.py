"""When a transaction's PSP is to be asked next, and under which ids. Pure."""

from datetime import datetime

from workflows import timers


class LookUps:
    """Open questions are asked at growing intervals, for ever; owed look-ups at once.

    `next_at` is when the next one is due; `ids` are further ids to ask under.
    """

    def __init__(self) -> None:
        self.owed = False
        self.next_at: datetime | None = None
        self.ids: list[str] = []
        self._made = 0

    def owe(self, now: datetime) -> None:
        """Something happened at the PSP: ask now, and again until it answers."""
        self.owed = True
        self._made = -1  # this one comes before the schedule's first step
        self.next_at = now

    def also_under(self, psp_id: str) -> None:
        """Ask under this id, too."""
        if psp_id not in self.ids:
            self.ids.append(psp_id)

    def plan(self, now: datetime, *, open_question: bool) -> None:
        """See to it that the next one has a time, if there is anything to ask."""
        if not open_question and not self.owed:
            self.next_at = None
        elif self.next_at is None:
            step = min(self._made, len(timers.RECONCILE_STEPS) - 1)
            self.next_at = now + timers.RECONCILE_STEPS[step]

    def take_due(self, now: datetime) -> bool:
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
        patient = self._made < len(timers.RECONCILE_STEPS)
        self.owed = bool(self.ids) or (self.owed and lags and patient)
