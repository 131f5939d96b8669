"""What payments are charged to, and how much is kept of it."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class NewAgreement:
    """The agreement an initial preauth opens."""

    agreement_id: str
    role: str


@dataclass(frozen=True)
class Agreement:
    """What later payments charge; `transaction_id` is the preauth that last changed it.

    One whose data was `erased` has no instrument and is never usable again.
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
    """What is kept of an agreement: how many transactions, `undecided` ones among them, and how
    many notifications that are not erased, `unread` ones among them.
    """

    transactions: int
    undecided: int
    notifications: int
    unread: int
    erased_at: datetime | None
