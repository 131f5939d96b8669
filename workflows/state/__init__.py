"""The pure state machines of transactions: a fold over the facts a PSP vouches for.

No Temporal, no I/O, no clock: every function is told the time. The three states share one base;
what differs is which facts count and what they mean. Facts are keyed by the PSP's own ids, so
their order and repetition cannot matter. A state is at once what a query answers, what the store
keeps as its snapshot and what a continued or reopened workflow starts from.
"""

from workflows.state.evidence import Evidence, EvidenceKind
from workflows.state.external_movement import ExternalMovement, MovementStatus, adopted_by
from workflows.state.operator_decision import Decision, DecisionKind
from workflows.state.payment import BookedRefund, PaymentState
from workflows.state.preauth import AdoptedCapture, PreauthState
from workflows.state.refund import RefundState
from workflows.state.reservations import AttemptCheck
from workflows.state.status import TRANSITIONS, Change, Failure, Refusal, TransactionKind
from workflows.state.transaction import TransactionState

AnyState = PreauthState | PaymentState | RefundState

__all__ = [
    "TRANSITIONS",
    "AttemptCheck",
    "AdoptedCapture",
    "ExternalMovement",
    "AnyState",
    "BookedRefund",
    "Change",
    "Decision",
    "DecisionKind",
    "Evidence",
    "EvidenceKind",
    "Failure",
    "TransactionKind",
    "PaymentState",
    "PreauthState",
    "RefundState",
    "Refusal",
    "MovementStatus",
    "TransactionState",
    "adopted_by",
]
