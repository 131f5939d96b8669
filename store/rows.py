"""What goes into the store and what comes out of it: plain values, already decrypted.

Amounts are `Decimal` in major units, times are aware and in UTC, `snapshot` is JSON text that the
caller owns, and every `dict` must be plain JSON (text, numbers, booleans, lists, dicts, None).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

TransactionKind = Literal["preauth", "payment", "refund"]
NotificationState = Literal["stored", "signalled", "applied", "known", "parked", "ignored"]
NotificationSource = Literal["notification", "listed"]
DeliveryStanding = Literal["delivering", "delivered", "undelivered"]
DecisionKind = Literal["acknowledge", "failed", "succeeded"]
DecisionOutcome = Literal["asked", "done", "refused"]

FINAL_STATUSES = ("Succeeded", "Failed", "Cancelled", "Expired")


@dataclass(frozen=True)
class Merchant:
    """`id` is the slug used in workflow ids; `psp` names the adapter.

    `webhook_hosts`: where its change webhooks may go; empty: wherever those of all may.
    """

    id: str
    psp: str
    psp_settings_id: str
    created_at: datetime
    webhook_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiToken:
    """What is known of a bearer token; the token itself is not kept."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class OAuthClient:
    """What is known of an OAuth 2.0 client; its secret is not kept."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


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
    def place(self) -> "Place":
        """Its place in a list ordered by creation."""
        return Place(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class Known:
    """What the store knows when a request comes in.

    `transaction`: of a request that came before; only without one are `settings` and `agreement`
    read, which are None where there are none.
    """

    transaction: TransactionRow | None
    settings: dict[str, str] | None = field(default=None, repr=False)
    agreement: Agreement | None = None


@dataclass(frozen=True)
class Order:
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


@dataclass(frozen=True)
class NewNotification:
    """A PSP's message as it arrived, before anything was done with it.

    `event_id` identifies it within its PSP settings; `psp_ids` are the PSP objects it speaks of.
    `source` says whether the PSP sent it or we found it in the PSP's list of events. It is sealed
    as data of the agreement of its transaction, `agreement_id`, if that is known.
    """

    psp_settings_id: str
    event_id: str
    merchant_id: str
    raw: bytes = field(repr=False)
    psp_ids: tuple[str, ...] = ()
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    transaction_id: str | None = None
    received_at: datetime | None = None
    source: NotificationSource = "notification"
    agreement_id: str | None = None


@dataclass(frozen=True)
class NotificationRow:
    """A stored notification; `attempts` counts how often its state was set.

    Of an `erased` one `raw` is empty.
    """

    id: int
    psp_settings_id: str
    event_id: str
    merchant_id: str
    transaction_id: str | None
    psp_ids: tuple[str, ...]
    raw: bytes = field(repr=False)
    headers: dict[str, str] | None = field(repr=False)
    received_at: datetime
    state: NotificationState
    outcome: str | None
    attempts: int
    updated_at: datetime
    source: NotificationSource = "notification"
    agreement_id: str | None = None
    erased: bool = False


@dataclass(frozen=True)
class Progress:
    """How far the reconciliation of one account has come.

    `cursor` is the place in the PSP's event list, `checked_until` the end of the last time window
    in which movements were compared; both None before the first time.
    """

    cursor: str | None = None
    checked_until: datetime | None = None


@dataclass(frozen=True)
class NewStray:
    """A movement at the PSP that none of our transactions asked for.

    `owner_id` is our transaction that it was made on, if there is one.
    """

    psp_settings_id: str
    psp_id: str
    kind: str
    amount: Decimal
    currency: str
    reference: str | None
    parent_psp_id: str | None
    owner_id: str | None
    booked_at: datetime


@dataclass(frozen=True)
class Stray(NewStray):
    """A stray as kept; `resolved_at` is when it was found to belong somewhere after all, or when
    a person had dealt with it.
    """

    seen_at: datetime
    checked_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True)
class Holdings:
    """What is kept of an agreement: how many transactions, `undecided` ones among them, and how
    many notifications that are not erased, `unread` ones among them.
    """

    transactions: int
    undecided: int
    notifications: int
    unread: int
    erased_at: datetime | None


@dataclass(frozen=True)
class KeyUsage:
    """How many blobs of a column the keys of the ring have sealed, by key id, and data keys.

    `column` is "table.column"; `erased` counts the blobs that are empty.
    """

    column: str
    by_key: dict[str, int]
    data_key: int
    erased: int


@dataclass(frozen=True)
class Resealed:
    """What became of a batch of blobs; `skipped` are those that somebody else was writing."""

    column: str
    resealed: int
    skipped: int
    unreadable: int


@dataclass(frozen=True)
class DeliveryRow:
    """The last round of announcing one version of a transaction's state.

    `attempts` counts those of the round that began at `began_at`. `delivered_at` stays from an
    earlier round. `last_status` is the HTTP status of the last answer, None when there was none;
    `last_error` holds neither addresses nor secrets.
    """

    merchant_id: str
    transaction_id: str
    version: int
    state: DeliveryStanding
    attempts: int
    began_at: datetime
    last_attempt_at: datetime
    delivered_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True)
class NewDecision:
    """What a person decided on a transaction, or on a stray at `psp_settings_id`.

    With a transaction `psp_id` and `amount` (in its currency) are the movement the decision names.
    """

    merchant_id: str
    kind: DecisionKind
    decided_by: str
    reason: str = field(repr=False)
    transaction_id: str | None = None
    psp_settings_id: str | None = None
    psp_id: str | None = None
    amount: Decimal | None = None
    status_before: str | None = None


@dataclass(frozen=True)
class DecisionRow:
    """A decision as kept; `reason` is None once it was erased.

    `outcome` is "asked" until it is known what became of it; `refusal` says why it was refused.
    """

    id: str
    merchant_id: str
    transaction_id: str | None
    psp_settings_id: str | None
    psp_id: str | None
    amount: Decimal | None
    agreement_id: str | None
    kind: DecisionKind
    decided_by: str
    decided_at: datetime
    reason: str | None = field(repr=False)
    outcome: DecisionOutcome
    refusal: str | None
    status_before: str | None
    status_after: str | None


@dataclass(frozen=True)
class Filter:
    """Which transactions to list; what is None or empty does not restrict.

    `since` and `until` (exclusive) are about their creation; `webhook` is the standing of the last
    version that was announced; `attempted_since` and `attempted_until` (exclusive) are about the
    last attempt to announce any.
    """

    merchant_id: str | None = None
    kind: TransactionKind | None = None
    statuses: tuple[str, ...] = ()
    agreement_id: str | None = None
    psp_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    attention: bool = False
    webhook: DeliveryStanding | None = None
    attempted_since: datetime | None = None
    attempted_until: datetime | None = None


@dataclass(frozen=True)
class Listed:
    """A transaction in a list: nothing sealed. `webhook` as in `Filter`; None: never announced."""

    merchant_id: str
    transaction_id: str
    kind: TransactionKind
    status: str
    currency: str
    requested_amount: Decimal
    psp: str
    external_id: str | None
    agreement_id: str | None
    related_id: str | None
    psp_transaction_id: str | None
    needs_attention: bool
    version: int
    created_at: datetime
    updated_at: datetime
    webhook: DeliveryStanding | None

    @property
    def place(self) -> "Place":
        """Where the next page begins."""
        return Place(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class Place:
    """A place in a list of transactions that is ordered by creation."""

    created_at: datetime
    transaction_id: str
    merchant_id: str


@dataclass(frozen=True)
class Received:
    """A notification without its content."""

    event_id: str
    source: NotificationSource
    state: NotificationState
    outcome: str | None
    attempts: int
    received_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Backlog:
    """What waits: transactions without a decision of the PSP or that ask for a person, movements
    nobody asked for, and change notifications on their way or given up; with the oldest of each.
    """

    undecided: int
    undecided_since: datetime | None
    attention: int
    attention_since: datetime | None
    strays: int
    strays_since: datetime | None
    delivering: int
    delivering_since: datetime | None
    undelivered: int
    undelivered_since: datetime | None


@dataclass(frozen=True)
class Opened:
    """How many blobs of a column's sample opened with the key ring and the data keys."""

    column: str
    read: int
    unreadable: int
