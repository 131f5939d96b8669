"""Agreements that payments charge, and the amount of data stored for one."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class NewAgreement:
    """Agreement that an initial preauth opens."""

    agreement_id: str
    role: str


@dataclass(frozen=True)
class Agreement:
    """Agreement that later payments charge; `transaction_id` is the preauth that last changed it.

    An `erased` agreement has no instrument and can never be used again.
    """

    merchant_id: str
    agreement_id: str
    role: str
    instrument: dict[str, Any] | None = field(repr=False)
    usable: bool
    updated_at: datetime
    transaction_id: str
    erased: bool = False


@dataclass(frozen=True)
class ErasureScope:
    """Data stored for an agreement: its transactions and its notifications that are not erased.

    `undecided` is the number of transactions without a final status, `unread` the number of
    notifications that were not applied yet.
    """

    transactions: int
    undecided: int
    notifications: int
    unread: int
    erased_at: datetime | None
