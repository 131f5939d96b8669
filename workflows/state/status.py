"""The words all states share, and what may follow what."""

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
    """Why a transaction failed, in the contract's words."""

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
    """What a fold did: nothing, something only we see, or something Billwerk+ must hear of."""

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
"""The contract's table of transitions; what it does not name is left for an operator to judge."""


def contradiction(reported: Status, ours: Status) -> str:
    """What an operator reads when two proofs stand against each other."""
    return f"The PSP reports {reported.name} for a transaction that is {ours.name}."


def precondition(message: str) -> Refusal:
    """The state does not allow it."""
    return Refusal(code=PaymentErrorCode.InvalidPreconditions, message=message)
