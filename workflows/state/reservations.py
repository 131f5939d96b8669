"""What preauths and payments share: other transactions take their money, attempt by attempt.

An attempt of a capture or a refund may be given up (its time was over, its worker died) while its
request is still on the way. When that request arrives after a later attempt has ended the matter,
holding money for it would hold it for ever. Attempts are therefore ordered by their time.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from workflows.state.transaction import TransactionState


class AttemptCheck(StrEnum):
    """What becomes of an attempt that asks for money."""

    GRANTED = "granted"
    UNDECIDED = "undecided"  # too early to say
    OVERTAKEN = "overtaken"  # it has ended itself, or a later one is known


class ReservingState(TransactionState):
    """`attempts` holds the time of the last attempt known of each transaction that asked."""

    attempts: dict[str, datetime] = Field(default_factory=dict)

    def check_attempt(self, by: str, at: datetime | None) -> AttemptCheck:
        """Whether this attempt of `by` may ask for money now; one that may is remembered.

        Its caller has seen the owner succeed, so an open question is one of order only.
        """
        if self.undecided:
            return AttemptCheck.UNDECIDED
        ended = at is not None and at == self.attempts.get(by) and not self._holds_for(by)
        if ended or self._superseded(by, at):
            return AttemptCheck.OVERTAKEN
        self._attempted(by, at)
        return AttemptCheck.GRANTED

    def accepts_result(self, by: str, at: datetime | None, *, booked: bool) -> bool:
        """Whether this end of an attempt of `by` counts; one that does is remembered.

        Only the latest attempt may give anything back; money that was booked always counts.
        """
        if not booked and self._superseded(by, at):
            return False
        self._attempted(by, at)
        return True

    def _superseded(self, by: str, at: datetime | None) -> bool:
        last = self.attempts.get(by)
        return at is not None and last is not None and at < last

    def _attempted(self, by: str, at: datetime | None) -> None:
        if at is not None and not self._superseded(by, at):
            self.attempts[by] = at

    def _holds_for(self, by: str) -> bool:
        """Whether money is held for `by`, or was taken by it."""
        raise NotImplementedError
