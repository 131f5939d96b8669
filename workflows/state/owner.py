"""What preauths and payments share: other transactions take their money, attempt by attempt.

An attempt of a capture or a refund may be given up (its time was over, its worker died) while its
request is still on the way. When that request arrives after a later attempt has ended the matter,
holding money for it would hold it for ever. Attempts are therefore ordered by their time.
"""

from datetime import datetime

from pydantic import Field

from workflows.state.transaction import TransactionState


class OwnerState(TransactionState):
    """`attempts` holds the time of the last attempt known of each transaction that asked."""

    attempts: dict[str, datetime] = Field(default_factory=dict)

    def overtaken(self, by: str, at: datetime | None) -> bool:
        """Whether this attempt of `by` asks after it has ended itself, or after a later one."""
        last = self.attempts.get(by)
        if at is None or last is None:
            return False
        return at < last or (at == last and not self._holds_for(by))

    def superseded(self, by: str, at: datetime | None) -> bool:
        """Whether a later attempt of `by` is known; only that one may give anything back."""
        last = self.attempts.get(by)
        return at is not None and last is not None and at < last

    def attempted(self, by: str, at: datetime | None) -> None:
        """Remember an attempt of `by`, unless a later one is known."""
        if at is not None and not self.superseded(by, at):
            self.attempts[by] = at

    def _holds_for(self, by: str) -> bool:
        """Whether money is held for `by`, or was taken by it."""
        raise NotImplementedError
