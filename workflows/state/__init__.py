"""Pure state machines of transactions: a fold over the facts that a PSP reports.

No Temporal, no I/O, no clock: functions receive the time as an argument. The three states share
one base; they differ in which facts count and what they mean. Facts are keyed by the PSP's own
ids, so their order and repetition do not matter. A state is the result of the state query, the
snapshot in the store, and the input that a continued or reopened workflow resumes from.
"""

from workflows.state.evidence import Evidence, EvidenceKind
from workflows.state.external_movement import (
    ExternalMovement,
    MovementStatus,
    external_movement_key,
)
from workflows.state.operator_decision import Decision, DecisionKind
from workflows.state.payment import BookedRefund, PaymentState
from workflows.state.preauth import ExternalCapture, PreauthState
from workflows.state.refund import RefundState
from workflows.state.reservations import AttemptCheck
from workflows.state.status import TRANSITIONS, Change, Failure, Refusal, TransactionKind
from workflows.state.transaction import TransactionState

AnyState = PreauthState | PaymentState | RefundState

__all__ = [
    "TRANSITIONS",
    "AnyState",
    "AttemptCheck",
    "BookedRefund",
    "Change",
    "Decision",
    "DecisionKind",
    "Evidence",
    "EvidenceKind",
    "ExternalCapture",
    "ExternalMovement",
    "Failure",
    "MovementStatus",
    "PaymentState",
    "PreauthState",
    "RefundState",
    "Refusal",
    "TransactionKind",
    "TransactionState",
    "external_movement_key",
]
