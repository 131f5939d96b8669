"""Reservations that captures make at preauths and refunds at payments, ordered by attempt.

An attempt of a capture or a refund may be given up (it timed out, its worker died) while its
request is still on the way. If that request arrives after a later attempt has closed the
reservation, money reserved for it would never be released. So attempts are ordered by their time.
"""

from datetime import datetime
from enum import StrEnum

from pydantic import Field

from workflows.state.transaction import TransactionState


class AttemptCheck(StrEnum):
    """Result of checking an attempt to reserve money."""

    GRANTED = "granted"
    UNDECIDED = "undecided"  # the parent transaction has no outcome yet
    SUPERSEDED = "overtaken"  # it has ended, or a later attempt is known


class ReservingState(TransactionState):
    """State that grants reservations; `attempts` is the time of the last attempt by transaction."""

    attempts: dict[str, datetime] = Field(default_factory=dict)

    def check_attempt(self, by: str, at: datetime | None) -> AttemptCheck:
        """Return whether this attempt of `by` may reserve money; a granted one is recorded.

        The caller has seen the parent transaction succeed, so if it is undecided here, its news
        has only not arrived yet.
        """
        if self.undecided:
            return AttemptCheck.UNDECIDED
        ended = at is not None and at == self.attempts.get(by) and not self._has_reservation_for(by)
        if ended or self._superseded(by, at):
            return AttemptCheck.SUPERSEDED
        self._record_attempt(by, at)
        return AttemptCheck.GRANTED

    def accepts_result(self, by: str, at: datetime | None, *, booked: bool) -> bool:
        """Return whether this result of an attempt of `by` counts; one that does is recorded.

        Only the latest attempt may release money; booked money always counts.
        """
        if not booked and self._superseded(by, at):
            return False
        self._record_attempt(by, at)
        return True

    def knows_attempt(self, by: str) -> bool:
        """Return whether an attempt of `by` has reserved here, or was refused or ended."""
        return by in self.attempts or self._has_reservation_for(by)

    def has_later_attempt(self, by: str, other: "ReservingState") -> bool:
        """Return whether this state knows a later attempt of `by` than the other one."""
        own, theirs = self.attempts.get(by), other.attempts.get(by)
        return own is not None and (theirs is None or own > theirs)

    def has_ended_attempt(self, by: str, other: "ReservingState") -> bool:
        """Return whether the reservation of `by`, open in the other state, has ended here."""
        own, theirs = self.attempts.get(by), other.attempts.get(by)
        if own is None or self._has_reservation_for(by):
            return False
        return theirs is None or own >= theirs

    def _unite_attempts(self, own: "ReservingState") -> None:
        for by, at in own.attempts.items():
            self._record_attempt(by, at)

    def _superseded(self, by: str, at: datetime | None) -> bool:
        last = self.attempts.get(by)
        return at is not None and last is not None and at < last

    def _record_attempt(self, by: str, at: datetime | None) -> None:
        if at is not None and not self._superseded(by, at):
            self.attempts[by] = at

    def _has_reservation_for(self, by: str) -> bool:
        """Return whether money is reserved for `by`, or was taken by it."""
        raise NotImplementedError
