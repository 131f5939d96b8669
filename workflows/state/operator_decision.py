"""Operators' decisions about a transaction."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from integrator.contract.money import BoundedAmount


class DecisionKind(StrEnum):
    """Kinds of decision."""

    ACKNOWLEDGE = "acknowledge"  # the attention lines were looked at
    FAILED = "failed"  # no money moved, and none will
    SUCCEEDED = "succeeded"  # the money moved, as the PSP's movement `psp_id`


class Decision(BaseModel):
    """One decision: by whom, why, when; only `succeeded` has `psp_id` and `amount`.

    `amount` is in major units of the transaction's currency. `acknowledged` holds the attention
    lines; the state sets it. `reason` is kept for ever: it must not contain personal data.
    """

    model_config = ConfigDict(frozen=True)

    kind: DecisionKind
    by: str
    reason: str
    at: datetime
    psp_id: str | None = None
    amount: BoundedAmount | None = None
    acknowledged: tuple[str, ...] = ()

    def repeats(self, earlier: "Decision") -> bool:
        """Return whether this repeats `earlier`; the time does not matter."""
        return self._content() == earlier._content()

    def _content(self) -> tuple[object, ...]:
        return self.kind, self.by, self.reason, self.psp_id, self.amount
