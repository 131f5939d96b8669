"""What a person decides about a transaction, and how it is kept."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class DecisionKind(StrEnum):
    """What can be decided."""

    ACKNOWLEDGE = "acknowledge"  # what asked for attention was looked at
    FAILED = "failed"  # no money moved, and none will
    SUCCEEDED = "succeeded"  # the money moved, as the PSP's movement `psp_id`


class Decision(BaseModel):
    """One decision: by whom, why, when; `psp_id` and `amount` belong to `succeeded` alone.

    `amount` is in major units of the transaction's currency. `acknowledged` holds the lines that
    asked for attention; the state fills it in. `reason` is kept for ever: nothing personal in it.
    """

    model_config = ConfigDict(frozen=True)

    kind: DecisionKind
    by: str
    reason: str
    at: datetime
    psp_id: str | None = None
    amount: Decimal | None = None
    acknowledged: tuple[str, ...] = ()

    def repeats(self, earlier: "Decision") -> bool:
        """Whether this is `earlier` once more; the time does not matter."""
        return self._content() == earlier._content()

    def _content(self) -> tuple[object, ...]:
        return self.kind, self.by, self.reason, self.psp_id, self.amount
