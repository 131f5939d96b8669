"""Decisions of operators and their outcomes."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

DecisionKind = Literal["acknowledge", "failed", "succeeded"]
DecisionOutcome = Literal["asked", "done", "refused"]


@dataclass(frozen=True)
class NewDecision:
    """Decision on a transaction, or on an unmatched movement at `psp_settings_id`.

    For a transaction, `psp_id` and `amount` (in its currency) are the movement the decision names.
    """

    merchant_id: str
    kind: DecisionKind
    decided_by: str
    reason: str = field(repr=False)
    transaction_id: str | None = None
    psp_settings_id: str | None = None
    psp_id: str | None = None
    amount: Decimal | None = None
    status_before: str | None = None


@dataclass(frozen=True)
class DecisionRow:
    """Stored decision; `reason` is None once it was erased.

    `outcome` is "asked" until the result is known; `refusal` says why it was refused.
    """

    id: str
    merchant_id: str
    transaction_id: str | None
    psp_settings_id: str | None
    psp_id: str | None
    amount: Decimal | None
    agreement_id: str | None
    kind: DecisionKind
    decided_by: str
    decided_at: datetime
    reason: str | None = field(repr=False)
    outcome: DecisionOutcome
    refusal: str | None
    status_before: str | None
    status_after: str | None
