"""Transactions: as inserted, as stored, and with the data that requests and PSP calls need."""

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
    """New preauth, payment or refund.

    `related_id` is the preauth a payment captures or the payment a refund returns; the transaction
    belongs to its agreement unless `agreement_id` names one. Only an initial preauth has
    `agreement`, which then names the same agreement as `agreement_id`.
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
    """Position in a list of transactions that is ordered by creation."""

    created_at: datetime
    transaction_id: str
    merchant_id: str


@dataclass(frozen=True)
class TransactionRow:
    """Transaction as last recorded.

    `private` holds the keys "instrument" and "redirect", each present once it was saved, and none
    once the data of its agreement was `erased`.
    `told_at` is when its caller got a response, `checked_at` when it was last compared with the
    PSP, initially its creation. `needs_attention` says whether an operator has to look at it.
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
    def cursor(self) -> PageCursor:
        """Return the position in a list ordered by creation."""
        return PageCursor(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class RequestedTransaction:
    """Transaction that a caller requests, with its agreement's instrument."""

    transaction: TransactionRow
    instrument: dict[str, Any] | None = field(repr=False)


@dataclass(frozen=True)
class Caller:
    """Authenticated merchant, with the transaction of the merchant that it requests, if any.

    `credential_id` is the id of the token or of the OAuth client.
    """

    merchant: Merchant
    credential_id: str
    requested: RequestedTransaction | None = None


@dataclass(frozen=True)
class RequestLookup:
    """Stored data that a new request is validated against.

    `transaction` is set for a repeated request. `settings` and `agreement` are read only without
    one, and are None if there are none.
    """

    transaction: TransactionRow | None
    settings: dict[str, str] | None = field(default=None, repr=False)
    agreement: Agreement | None = None


@dataclass(frozen=True)
class PspCallData:
    """Data of a call to the PSP.

    `request` and `instrument` (of the transaction's agreement) are None once they were erased.
    `settings` are those for the account that was in use when the transaction was created.
    """

    transaction: TransactionRow
    request: dict[str, Any] | None = field(repr=False)
    settings: dict[str, str] | None = field(repr=False)
    instrument: dict[str, Any] | None = field(repr=False)


@dataclass(frozen=True)
class RecordUpdate:
    """State of a transaction after a change.

    `version` increases with each change of the transaction. A PSP id of None keeps the stored one.
    `evidence` is the source of a final status and is required with one.
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
