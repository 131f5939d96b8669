"""What goes into the store and what comes out of it: plain values, already decrypted.

Amounts are `Decimal` in major units, times are aware and in UTC, `snapshot` is JSON text that the
caller owns, and every `dict` must be plain JSON (text, numbers, booleans, lists, dicts, None).
"""

from store.rows.agreements import Agreement, Holdings, NewAgreement
from store.rows.decisions import DecisionKind, DecisionOutcome, DecisionRow, NewDecision
from store.rows.deliveries import DeliveryRow, DeliveryStanding
from store.rows.keys import KeyUsage, Opened, Resealed
from store.rows.merchants import ApiToken, Merchant, OAuthClient
from store.rows.notifications import (
    NewNotification,
    NotificationRow,
    NotificationSource,
    NotificationState,
)
from store.rows.operators import Backlog, Filter, Listed, Received
from store.rows.reconciliation import NewStray, Progress, Stray
from store.rows.transactions import (
    FINAL_STATUSES,
    Asked,
    Caller,
    Known,
    NewTransaction,
    Order,
    Place,
    RecordUpdate,
    TransactionKind,
    TransactionRow,
)

__all__ = [
    "FINAL_STATUSES",
    "Agreement",
    "ApiToken",
    "Asked",
    "Backlog",
    "Caller",
    "DecisionKind",
    "DecisionOutcome",
    "DecisionRow",
    "DeliveryRow",
    "DeliveryStanding",
    "Filter",
    "Holdings",
    "KeyUsage",
    "Known",
    "Listed",
    "Merchant",
    "NewAgreement",
    "NewDecision",
    "NewNotification",
    "NewStray",
    "NewTransaction",
    "NotificationRow",
    "NotificationSource",
    "NotificationState",
    "OAuthClient",
    "Opened",
    "Order",
    "Place",
    "Progress",
    "Received",
    "RecordUpdate",
    "Resealed",
    "Stray",
    "TransactionKind",
    "TransactionRow",
]
