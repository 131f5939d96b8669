"""The database: merchants, agreements, transactions and notifications, secrets encrypted."""

from store.database import Store
from store.errors import AlreadyExists, ConstraintViolated, NotFound, StoreError, StoreUnavailable
from store.rows import (
    FINAL_STATUSES,
    Agreement,
    ApiToken,
    Merchant,
    NewAgreement,
    NewNotification,
    NewTransaction,
    NotificationRow,
    NotificationState,
    RecordUpdate,
    TransactionKind,
    TransactionRow,
)
from store.sealing import Cipher

__all__ = [
    "FINAL_STATUSES",
    "Agreement",
    "AlreadyExists",
    "ApiToken",
    "Cipher",
    "ConstraintViolated",
    "Merchant",
    "NewAgreement",
    "NewNotification",
    "NewTransaction",
    "NotFound",
    "NotificationRow",
    "NotificationState",
    "RecordUpdate",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "TransactionKind",
    "TransactionRow",
]
