"""The table of Temporal operations: workflow x phase x operation x the PSP's keys.

Combinations without a meaning are listed with the reason (`why_meaningless`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What the transaction is; a payment is a charge, a debit or a capture."""

    PREAUTH = "preauth"
    CHARGE = "charge"
    DEBIT = "debit"
    CAPTURE = "capture"
    REFUND = "refund"


class Phase(StrEnum):
    """Where the transaction is when the operation comes."""

    BEFORE_SEND = "before send"  # started, and no worker has taken it yet
    THROTTLED = "throttled"  # every attempt was rejected without effect
    IN_FLIGHT = "in flight"
    UNKNOWN_BOOKED = "unknown, booked"  # the answer was lost, and so were notifications
    UNKNOWN_UNBOOKED = "unknown, not booked"
    SETTLED = "settled"
    RECORDED = "recorded, not announced"  # the target is unreachable
    ANNOUNCING = "announcing"  # the target holds its answer back
    PARENT_OPEN = "parent not informed"
    VOID_BOOKED = "void under way, booked"
    VOID_UNBOOKED = "void under way, not booked"
    DATED = "dated and waiting"
    REFUNDED = "refunded"
    CHILD_UNKNOWN = "capture or refund unknown"  # the operation hits the parent


class Operation(StrEnum):
    """What the operator does."""

    RESET_FIRST = "reset first"
    RESET_FIRST_NO_MESSAGES = "reset first, exclude all"
    RESET_FIRST_NO_SIGNALS = "reset first, exclude signals"
    RESET_FIRST_NO_UPDATES = "reset first, exclude updates"
    RESET_LAST = "reset last"
    RESET_LAST_NO_MESSAGES = "reset last, exclude all"
    RESET_EVENT_2 = "reset to task 2, exclude all"
    RESET_EVENT_3 = "reset to task 3, exclude all"
    RESET_EVENT_4 = "reset to task 4, exclude all"
    TERMINATE = "terminate"
    CANCEL = "cancel"
    DELETE = "delete"
    PAUSE = "pause, unpause"
    ACTIVITY_PAUSE = "activity pause, unpause"
    ACTIVITY_RESET = "activity reset"
    ACTIVITY_COMPLETE = "activity complete, forged"
    ACTIVITY_COMPLETE_UNREADABLE = "activity complete, unreadable"
    ACTIVITY_FAIL = "activity fail"


@dataclass(frozen=True)
class Case:
    """One cell of the table."""

    kind: Kind
    phase: Phase
    operation: Operation
    keys_forgotten: bool

    @property
    def name(self) -> str:
        """Return the case's name for reports and selections."""
        keys = "forgotten" if self.keys_forgotten else "remembered"
        return f"{self.kind}/{self.phase}/{self.operation}/keys {keys}"


RESETS_TO_A_TASK = {
    Operation.RESET_EVENT_2: 2,
    Operation.RESET_EVENT_3: 3,
    Operation.RESET_EVENT_4: 4,
}
"""Resets to a later workflow task than the first: which one, from 1."""

RESETS = frozenset(operation for operation in Operation if operation.startswith("reset"))
ACTIVITY_OPERATIONS = frozenset(
    operation for operation in Operation if operation.startswith("activity")
)
HARMLESS = frozenset(
    {Operation.CANCEL, Operation.PAUSE, Operation.ACTIVITY_PAUSE, Operation.ACTIVITY_RESET}
)
"""Operations that end no run and answer for no activity: the first run goes on sending."""

SETTLED_PHASES = frozenset({Phase.SETTLED, Phase.REFUNDED, Phase.RECORDED, Phase.ANNOUNCING})
QUIET_PHASES = frozenset({Phase.SETTLED, Phase.REFUNDED, Phase.DATED})
UNBOOKED_PHASES = frozenset(
    {Phase.BEFORE_SEND, Phase.THROTTLED, Phase.IN_FLIGHT, Phase.UNKNOWN_UNBOOKED}
)
VOID_PHASES = frozenset({Phase.VOID_BOOKED, Phase.VOID_UNBOOKED})


def why_meaningless(case: Case) -> str | None:
    """Return why the combination cannot occur or says nothing new; None for a meaningful one."""
    return _wrong_kind(case.kind, case.phase) or _wrong_operation(case)


def _wrong_kind(kind: Kind, phase: Phase) -> str | None:
    if phase is Phase.DATED and kind is not Kind.DEBIT:
        return "only a debit has a day of execution"
    if kind is Kind.DEBIT and phase is not Phase.DATED:
        return "a debit differs from a charge in its day of execution only"
    if phase in VOID_PHASES and kind is not Kind.PREAUTH:
        return "only a preauth is voided"
    if phase is Phase.PARENT_OPEN and kind not in (Kind.CAPTURE, Kind.REFUND):
        return "only a capture or a refund has a parent"
    if phase is Phase.REFUNDED and kind not in (Kind.CHARGE, Kind.CAPTURE):
        return "only a payment is refunded"
    if phase is Phase.CHILD_UNKNOWN and kind not in (Kind.PREAUTH, Kind.CHARGE):
        return "only a preauth and a payment are parents, and all payments are alike as such"
    return None


def _wrong_operation(case: Case) -> str | None:
    operation, phase = case.operation, case.phase
    if operation in ACTIVITY_OPERATIONS and phase in QUIET_PHASES | {Phase.CHILD_UNKNOWN}:
        return "no activity is pending in this phase"
    if phase is Phase.BEFORE_SEND and operation in ACTIVITY_OPERATIONS | RESETS:
        return "nothing to act on: without a first workflow task there is no activity and no reset"
    if operation in RESETS_TO_A_TASK and phase not in SETTLED_PHASES:
        return "the history has no workflow task between the first and the last one"
    if case.keys_forgotten and phase is Phase.IN_FLIGHT:
        return "nothing is sent any more when the PSP may forget its key, so no call is in flight"
    if case.keys_forgotten and operation in HARMLESS and phase in SETTLED_PHASES:
        return "nothing is sent after a harmless operation on a decided transaction"
    return None


def all_combinations() -> Iterator[Case]:
    """Yield every combination, meaningful or not."""
    for kind in Kind:
        for phase in Phase:
            for operation in Operation:
                for keys_forgotten in (False, True):
                    yield Case(kind, phase, operation, keys_forgotten)


def all_cases() -> list[Case]:
    """Return every meaningful combination."""
    return [case for case in all_combinations() if why_meaningless(case) is None]


SAMPLE = frozenset(
    {
        (Kind.CHARGE, Phase.SETTLED, Operation.RESET_FIRST, True),
        (Kind.CHARGE, Phase.SETTLED, Operation.RESET_FIRST_NO_MESSAGES, True),
        (Kind.CHARGE, Phase.UNKNOWN_BOOKED, Operation.ACTIVITY_RESET, False),
        (Kind.CHARGE, Phase.UNKNOWN_BOOKED, Operation.ACTIVITY_COMPLETE, False),
        (Kind.CHARGE, Phase.IN_FLIGHT, Operation.ACTIVITY_FAIL, False),
        (Kind.CHARGE, Phase.THROTTLED, Operation.ACTIVITY_PAUSE, False),
        (Kind.CHARGE, Phase.RECORDED, Operation.TERMINATE, False),
        (Kind.CHARGE, Phase.REFUNDED, Operation.RESET_FIRST_NO_SIGNALS, False),
        (Kind.CHARGE, Phase.BEFORE_SEND, Operation.DELETE, False),
        (Kind.CAPTURE, Phase.IN_FLIGHT, Operation.CANCEL, False),
        (Kind.REFUND, Phase.SETTLED, Operation.RESET_FIRST, True),
        (Kind.REFUND, Phase.PARENT_OPEN, Operation.DELETE, False),
        (Kind.PREAUTH, Phase.VOID_BOOKED, Operation.TERMINATE, False),
        (Kind.PREAUTH, Phase.ANNOUNCING, Operation.PAUSE, False),
        (Kind.DEBIT, Phase.DATED, Operation.RESET_LAST, False),
    }
)
"""Cells of the normal test run: each phase and each operation at least once."""


def sample_cases() -> list[Case]:
    """Return the cells of the normal test run."""
    return [
        case
        for case in all_cases()
        if (case.kind, case.phase, case.operation, case.keys_forgotten) in SAMPLE
    ]
