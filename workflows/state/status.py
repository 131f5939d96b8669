"""Types shared by all states, and the allowed transitions."""

from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from integrator.contract.enums import PaymentErrorCode, PaymentTransactionStatus

Status = PaymentTransactionStatus
ZERO = Decimal(0)
TICK = timedelta(microseconds=1)
ENDED = frozenset({Status.Failed, Status.Cancelled, Status.Expired})
TERMINAL = ENDED | {Status.Succeeded}


class TransactionKind(StrEnum):
    """The three kinds of transaction, as they appear in workflow ids and in the store."""

    PREAUTH = "preauth"
    PAYMENT = "payment"
    REFUND = "refund"


class Failure(BaseModel):
    """Why a transaction failed, with the contract's error code."""

    model_config = ConfigDict(frozen=True)

    code: PaymentErrorCode
    psp_code: str | None
    message: str | None
    received_at: datetime


class Refusal(BaseModel):
    """Why a state does not allow an operation."""

    model_config = ConfigDict(frozen=True)

    code: PaymentErrorCode
    message: str


class Change(StrEnum):
    """What a fold changed: nothing, internal data only, or data that Billwerk+ can see."""

    NONE = "none"
    INTERNAL = "internal"
    VISIBLE = "visible"


TRANSITIONS: dict[TransactionKind, dict[Status, frozenset[Status]]] = {
    TransactionKind.PREAUTH: {
        Status.Initiated: frozenset({Status.Pending, *TERMINAL}),
        Status.Pending: frozenset({Status.Pending, *TERMINAL}),
        Status.Succeeded: frozenset({Status.Succeeded, Status.Cancelled, Status.Expired}),
    },
    TransactionKind.PAYMENT: {
        Status.Initiated: frozenset({Status.Pending, *TERMINAL}),
        Status.Pending: frozenset({Status.Pending, *TERMINAL}),
        Status.Succeeded: frozenset({Status.Succeeded}),
    },
    TransactionKind.REFUND: {
        Status.Initiated: frozenset(
            {Status.Pending, Status.Succeeded, Status.Failed, Status.Cancelled}
        ),
        Status.Pending: frozenset(
            {Status.Pending, Status.Succeeded, Status.Failed, Status.Cancelled}
        ),
        Status.Succeeded: frozenset({Status.Succeeded}),
    },
}
"""The contract's table of transitions; anything else is left to an operator."""


def contradiction_text(reported: Status, ours: Status) -> str:
    """Return the attention text for evidence that contradicts the status."""
    return f"The PSP reports {reported.name} for a transaction that is {ours.name}."


def precondition_refusal(message: str) -> Refusal:
    """Return a refusal because the state does not allow the operation."""
    return Refusal(code=PaymentErrorCode.InvalidPreconditions, message=message)
