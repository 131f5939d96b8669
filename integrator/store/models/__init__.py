"""What goes into the store and what comes out of it: plain values, already decrypted.

Amounts are `Decimal` in major units, times are aware and in UTC, `snapshot` is JSON text that the
caller owns, and every `dict` must be plain JSON (text, numbers, booleans, lists, dicts, None).
"""

from integrator.store.models.agreements import Agreement, ErasureScope, NewAgreement
from integrator.store.models.decisions import (
    DecisionKind,
    DecisionOutcome,
    DecisionRow,
    NewDecision,
)
from integrator.store.models.deliveries import DeliveryRow, DeliveryStanding
from integrator.store.models.keys import KeyCheck, KeyUsage, Resealed
from integrator.store.models.merchants import ApiToken, Merchant, OAuthClient
from integrator.store.models.notifications import (
    NewNotification,
    NotificationRow,
    NotificationSource,
    NotificationState,
)
from integrator.store.models.operators import (
    Backlog,
    Filter,
    NotificationSummary,
    TransactionSummary,
)
from integrator.store.models.reconciliation import NewUnmatchedMovement, Progress, UnmatchedMovement
from integrator.store.models.transactions import (
    FINAL_STATUSES,
    Caller,
    NewTransaction,
    PageCursor,
    PspCallData,
    RecordUpdate,
    RequestedTransaction,
    RequestLookup,
    TransactionKind,
    TransactionRow,
)

__all__ = [
    "FINAL_STATUSES",
    "Agreement",
    "ApiToken",
    "RequestedTransaction",
    "Backlog",
    "Caller",
    "DecisionKind",
    "DecisionOutcome",
    "DecisionRow",
    "DeliveryRow",
    "DeliveryStanding",
    "Filter",
    "ErasureScope",
    "KeyUsage",
    "RequestLookup",
    "TransactionSummary",
    "Merchant",
    "NewAgreement",
    "NewDecision",
    "NewNotification",
    "NewUnmatchedMovement",
    "NewTransaction",
    "NotificationRow",
    "NotificationSource",
    "NotificationState",
    "OAuthClient",
    "KeyCheck",
    "PspCallData",
    "PageCursor",
    "Progress",
    "NotificationSummary",
    "RecordUpdate",
    "Resealed",
    "UnmatchedMovement",
    "TransactionKind",
    "TransactionRow",
]
