"""The pure state machines of transactions: a fold over the facts a PSP vouches for.

No Temporal, no I/O, no clock: every function is told the time. The three states share one base;
what differs is which facts count and what they mean. Facts are keyed by the PSP's own ids, so
their order and repetition cannot matter. A state is at once what a query answers, what the store
keeps as its snapshot and what a continued or reopened workflow starts from.
"""

from workflows.state.adoption import Adoption, Standing, adopted_by
from workflows.state.common import (
    TRANSITIONS,
    Change,
    Failure,
    Kind,
    Refusal,
)
from workflows.state.decision import Decision, DecisionKind
from workflows.state.evidence import Evidence, EvidenceKind
from workflows.state.owner import Admission
from workflows.state.payment import BookedRefund, PaymentState
from workflows.state.preauth import AdoptedCapture, PreauthState
from workflows.state.refund import RefundState
from workflows.state.transaction import TransactionState

AnyState = PreauthState | PaymentState | RefundState

__all__ = [
    "TRANSITIONS",
    "Admission",
    "AdoptedCapture",
    "Adoption",
    "AnyState",
    "BookedRefund",
    "Change",
    "Decision",
    "DecisionKind",
    "Evidence",
    "EvidenceKind",
    "Failure",
    "Kind",
    "PaymentState",
    "PreauthState",
    "RefundState",
    "Refusal",
    "Standing",
    "TransactionState",
    "adopted_by",
]
