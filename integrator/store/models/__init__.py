"""Input and output values of the store, in plain text.

Amounts are `Decimal` in major units, times are aware and in UTC, `snapshot` is JSON text defined by
the caller, and every `dict` must be plain JSON (text, numbers, booleans, lists, dicts, None).
"""

from integrator.store.models.agreements import Agreement, ErasureScope, NewAgreement
from integrator.store.models.decisions import (
    DecisionKind,
    DecisionOutcome,
    DecisionRow,
    NewDecision,
)
from integrator.store.models.deliveries import DeliveryRow, DeliveryState
from integrator.store.models.keys import KeyCheck, KeyUsage, ReencryptedBatch
from integrator.store.models.merchants import ApiToken, Merchant, OAuthClient
from integrator.store.models.notifications import (
    NewNotification,
    NotificationRow,
    NotificationSource,
    NotificationState,
)
from integrator.store.models.operators import (
    Backlog,
    NotificationSummary,
    TransactionFilter,
    TransactionSummary,
)
from integrator.store.models.reconciliation import (
    NewUnmatchedMovement,
    ReconciliationProgress,
    UnmatchedMovement,
)
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
    "Backlog",
    "Caller",
    "DecisionKind",
    "DecisionOutcome",
    "DecisionRow",
    "DeliveryRow",
    "DeliveryState",
    "ErasureScope",
    "KeyCheck",
    "KeyUsage",
    "Merchant",
    "NewAgreement",
    "NewDecision",
    "NewNotification",
    "NewTransaction",
    "NewUnmatchedMovement",
    "NotificationRow",
    "NotificationSource",
    "NotificationState",
    "NotificationSummary",
    "OAuthClient",
    "PageCursor",
    "PspCallData",
    "ReconciliationProgress",
    "RecordUpdate",
    "ReencryptedBatch",
    "RequestLookup",
    "RequestedTransaction",
    "TransactionFilter",
    "TransactionKind",
    "TransactionRow",
    "TransactionSummary",
    "UnmatchedMovement",
]
