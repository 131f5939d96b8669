"""A transaction: as it is opened, as it is recorded, and with what its steps need along."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from integrator.store.models.agreements import Agreement, NewAgreement
from integrator.store.models.merchants import Merchant

TransactionKind = Literal["preauth", "payment", "refund"]

FINAL_STATUSES = ("Succeeded", "Failed", "Cancelled", "Expired")


@dataclass(frozen=True)
class NewTransaction:
    """A preauth, payment or refund seen for the first time.

    `related_id` is the preauth a payment captures or the payment a refund returns, whose agreement
    it belongs to unless `agreement_id` names one. `agreement` is given by an initial preauth only,
    and then names the same agreement as `agreement_id`.
    """

    merchant_id: str
    transaction_id: str
    kind: TransactionKind
    fingerprint: str
    psp: str
    psp_settings_id: str
    role: str
    currency: str
    requested_amount: Decimal
    request: Mapping[str, Any] = field(repr=False)
    external_id: str | None = None
    agreement_id: str | None = None
    related_id: str | None = None
    status: str = "Initiated"
    snapshot: str = "{}"
    agreement: NewAgreement | None = None


@dataclass(frozen=True)
class PageCursor:
    """A place in a list of transactions that is ordered by creation."""

    created_at: datetime
    transaction_id: str
    merchant_id: str


@dataclass(frozen=True)
class TransactionRow:
    """A transaction as last recorded.

    `private` holds the keys "instrument" and "redirect", each present once it was saved, and none
    once the data of its agreement was `erased`.
    `told_at` is when its caller was sent an answer, `checked_at` when it was last compared with
    the PSP, at first its creation. `needs_attention` says whether a person is asked to look.
    """

    merchant_id: str
    transaction_id: str
    kind: TransactionKind
    fingerprint: str
    external_id: str | None
    agreement_id: str | None
    related_id: str | None
    psp: str
    psp_settings_id: str
    role: str
    currency: str
    requested_amount: Decimal
    private: dict[str, Any] | None = field(repr=False)
    psp_transaction_id: str | None
    psp_session_id: str | None
    status: str
    version: int
    snapshot: str
    evidence: str | None
    created_at: datetime
    updated_at: datetime
    told_at: datetime | None
    checked_at: datetime | None = None
    needs_attention: bool = False
    erased: bool = False

    @property
    def place(self) -> PageCursor:
        """Its place in a list ordered by creation."""
        return PageCursor(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class RequestedTransaction:
    """A transaction that a caller asks about, with its agreement's instrument."""

    transaction: TransactionRow
    instrument: dict[str, Any] | None = field(repr=False)


@dataclass(frozen=True)
class Caller:
    """A merchant, the `proof` it came with (the id of a token or of an OAuth client), and the
    transaction of its own it asks about."""

    merchant: Merchant
    proof: str
    asked: RequestedTransaction | None = None


@dataclass(frozen=True)
class RequestLookup:
    """What the store knows when a request comes in.

    `transaction`: of a request that came before; only without one are `settings` and `agreement`
    read, which are None where there are none.
    """

    transaction: TransactionRow | None
    settings: dict[str, str] | None = field(default=None, repr=False)
    agreement: Agreement | None = None


@dataclass(frozen=True)
class PspCallData:
    """What a call to the PSP is made of.

    `request` and `instrument`, the one of the transaction's agreement, are None once they were
    erased. `settings` are those for the account that was in use when the transaction began.
    """

    transaction: TransactionRow
    request: dict[str, Any] | None = field(repr=False)
    settings: dict[str, str] | None = field(repr=False)
    instrument: dict[str, Any] | None = field(repr=False)


@dataclass(frozen=True)
class RecordUpdate:
    """The state of a transaction after a change.

    `version` grows with each change of the transaction. A PSP id of None keeps the stored one.
    `evidence` says where a final status was learned and is required with one.
    """

    merchant_id: str
    transaction_id: str
    status: str
    version: int
    snapshot: str
    evidence: str | None = None
    psp_transaction_id: str | None = None
    psp_session_id: str | None = None
    activate_agreement: bool = False
    needs_attention: bool = False
