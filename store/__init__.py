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
    NewStray,
    NewTransaction,
    NotificationRow,
    NotificationSource,
    NotificationState,
    Progress,
    RecordUpdate,
    Stray,
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
    "NewStray",
    "NewTransaction",
    "NotFound",
    "NotificationRow",
    "NotificationSource",
    "NotificationState",
    "Progress",
    "RecordUpdate",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "Stray",
    "TransactionKind",
    "TransactionRow",
]
