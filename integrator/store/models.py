"""Input and output values of the store, in plain text.

Amounts are `Decimal` in major units, times are aware and in UTC, `snapshot` is JSON text defined by
the caller, and every `dict` must be plain JSON (text, numbers, booleans, lists, dicts, None).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

TransactionKind = Literal["preauth", "payment", "refund"]
FINAL_STATUSES = ("Succeeded", "Failed", "Cancelled", "Expired")
NotificationState = Literal["stored", "signalled", "applied", "known", "parked", "ignored"]
NotificationSource = Literal["notification", "listed"]
UNREADABLE = "unreadable"
"""Outcome of an ignored notification: the PSP has signed it, and it cannot be read."""
DeliveryState = Literal["delivering", "delivered", "undelivered"]
DecisionKind = Literal["acknowledge", "failed", "succeeded"]
DecisionOutcome = Literal["asked", "done", "refused"]


@dataclass(frozen=True)
class Merchant:
    """Merchant; `id` is the slug used in workflow ids, `psp` the name of the adapter.

    `webhook_hosts`: hosts its change webhooks may be sent to; empty: the hosts allowed for all.
    """

    id: str
    psp: str
    psp_settings_id: str
    created_at: datetime
    webhook_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiToken:
    """Metadata of a bearer token; the token itself is not stored."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class OAuthClient:
    """Metadata of an OAuth 2.0 client; its secret is not stored."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None


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


@dataclass(frozen=True)
class NewTransaction:
    """New preauth, payment or refund.

    `related_id` is the preauth a payment captures or the payment a refund returns; the transaction
    belongs to its agreement unless `agreement_id` names one. Only an initial preauth has
    `agreement`, which then names the same agreement as `agreement_id`. `send_at` is that of
    `TransactionRow`.
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
    send_at: datetime | None = None


@dataclass(frozen=True)
class PageCursor:
    """Position in a list of transactions that is ordered by creation."""

    created_at: datetime
    transaction_id: str
    merchant_id: str


NOT_SENT = "not_sent"
"""Mark of a transaction of which certainly no attempt has reached the PSP."""

UNKNOWN = "unknown"
"""Mark of a transaction that may have reached the PSP."""

DUE_PARENT = "parent"
"""The parent transaction has not been informed of the result."""

DUE_VOID = "void"
"""A void is under way."""


@dataclass(frozen=True)
class TransactionRow:
    """Transaction as last recorded.

    `private` holds the keys "instrument" and "redirect", each present once it was saved, and none
    once the data of its agreement was `erased`.
    `told_at` is when its caller got a response, `checked_at` when it was last compared with the
    PSP, initially its creation. `needs_attention` says whether an operator has to look at it.
    `send_mark` is what the attempts to send it have left (`NOT_SENT`, `UNKNOWN` or `sending:...`,
    None for none), `announce_version` the version whose change notification is not delivered yet,
    `due_steps` what else is to be done (`DUE_PARENT`, `DUE_VOID`).
    `send_at` is when a debit is sent that waits for its day, None once it has an outcome.
    `sending_since` is when the first attempt began that may have reached the PSP; None if that is
    counted from the creation.
    `lookup_failed_at` is when the PSP last left a look-up without an answer, None once it answered.
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
    send_mark: str | None = None
    announce_version: int | None = None
    due_steps: str | None = None
    send_at: datetime | None = None
    sending_since: datetime | None = None
    lookup_failed_at: datetime | None = None

    @property
    def parent_due(self) -> bool:
        """Whether the parent transaction is still to be informed of the result."""
        return self.due_steps is not None and DUE_PARENT in self.due_steps.split(",")

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
    `evidence` is the source of a final status and is required with one. `announce_version` and
    `due_steps` are those of `TransactionRow`; without an `announce_version` the stored one is
    kept, until a delivery removes it, or what was decided (`decided_at`) only after the caller got
    its response is to be announced. `send_at` is that of `TransactionRow`.
    """

    merchant_id: str
    transaction_id: str
    status: str
    version: int
    snapshot: str
    evidence: str | None = None
    decided_at: datetime | None = None
    psp_transaction_id: str | None = None
    psp_session_id: str | None = None
    activate_agreement: bool = False
    needs_attention: bool = False
    announce_version: int | None = None
    due_steps: str | None = None
    send_at: datetime | None = None


@dataclass(frozen=True)
class NewNotification:
    """Notification as received, before processing.

    `event_id` identifies it within its PSP settings; `psp_ids` are the PSP objects it refers to.
    `source` says whether the PSP sent it or it was read from the PSP's list of events. The data
    key of its transaction's agreement, `agreement_id`, encrypts it, if that is known. `raw` is the
    event's own JSON; with `headers` it is the signed body of a whole message. An `unreadable` one
    is never delivered.
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
    unreadable: bool = False


@dataclass(frozen=True)
class NewNotificationMessage:
    """Message of a PSP without its content, which its events keep.

    `digest` is the SHA-256 of its body in hex, `size` the body's length in bytes.
    """

    psp_settings_id: str
    merchant_id: str
    digest: str
    size: int
    events: int
    unreadable: int
    headers: Mapping[str, str] = field(repr=False)
    received_at: datetime | None = None


@dataclass(frozen=True)
class UnreadableEvents:
    """Number of a merchant's events that could not be read, with the time of the oldest."""

    merchant_id: str
    count: int
    since: datetime


@dataclass(frozen=True)
class NotificationRow:
    """Stored notification; `attempts` counts how often its state was set.

    `raw` of an `erased` notification is empty. It is the event's own JSON, unless there are
    `headers`: then it is a whole message that they sign.
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
class DeliveryRow:
    """Last round of delivery of one version of a transaction's state.

    `attempts` counts the attempts of the round that began at `began_at`. `delivered_at` is kept
    from an earlier round. `last_status` is the HTTP status of the last response, None without a
    response; `last_error` contains neither addresses nor secrets.
    """

    merchant_id: str
    transaction_id: str
    version: int
    state: DeliveryState
    attempts: int
    began_at: datetime
    last_attempt_at: datetime
    delivered_at: datetime | None = None
    last_status: int | None = None
    last_error: str | None = None


@dataclass(frozen=True)
class NewDecision:
    """Decision on a transaction, or on an unmatched movement at `psp_settings_id`.

    For a transaction, `psp_id` and `amount` (in its currency) are the movement the decision names.
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
    """Stored decision; `reason` is None once it was erased.

    `outcome` is "asked" until the result is known; `refusal` says why it was refused.
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
class ReconciliationProgress:
    """Progress of the reconciliation of one account.

    `cursor` is the position in the PSP's event list, `checked_until` the end of the last time
    window in which movements were compared; both are None before the first run.
    """

    cursor: str | None = None
    checked_until: datetime | None = None


@dataclass(frozen=True)
class NewUnmatchedMovement:
    """Movement at the PSP that none of our transactions requested.

    `owner_id` is our parent transaction of the movement, if there is one.
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
class UnmatchedMovement(NewUnmatchedMovement):
    """Stored movement; `resolved_at` is when it was matched, or resolved by an operator."""

    seen_at: datetime
    checked_at: datetime
    resolved_at: datetime | None


@dataclass(frozen=True)
class TransactionFilter:
    """Conditions on transactions; None or empty means no restriction.

    `since` and `until` (exclusive) apply to the creation; `waiting` selects the debits that wait
    for their day; `webhook` applies to the delivery state of the last announced version;
    `attempted_since` and `attempted_until` (exclusive) to the last attempt
    to deliver any version.
    """

    merchant_id: str | None = None
    kind: TransactionKind | None = None
    statuses: tuple[str, ...] = ()
    agreement_id: str | None = None
    psp_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    attention: bool = False
    webhook: DeliveryState | None = None
    attempted_since: datetime | None = None
    attempted_until: datetime | None = None
    waiting: bool = False


@dataclass(frozen=True)
class TransactionSummary:
    """Transaction in a list, without encrypted columns; `webhook` is None if never announced.

    `send_at` is when a debit is sent that waits for its day. `due_date` is that day, which the
    reader of a list adds from the encrypted state.
    """

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
    webhook: DeliveryState | None
    send_at: datetime | None = None
    due_date: date | None = None

    @property
    def cursor(self) -> PageCursor:
        """Return the cursor of the page after this transaction."""
        return PageCursor(self.created_at, self.transaction_id, self.merchant_id)


@dataclass(frozen=True)
class NotificationSummary:
    """Notification without its content."""

    event_id: str
    source: NotificationSource
    state: NotificationState
    outcome: str | None
    attempts: int
    received_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class BacklogTotals:
    """Numbers of open items, each with the time of the oldest.

    Transactions without a final status or that need attention, unmatched movements (`strays`), and
    change notifications that are being delivered or were given up.
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
class BacklogGroup:
    """Number of open items in a group, and the time of the oldest."""

    group: tuple[str, ...]
    count: int
    since: datetime


@dataclass(frozen=True)
class ComparisonProgress:
    """Time until which a merchant's transactions were compared with the PSP's."""

    merchant: str
    psp: str
    until: datetime


@dataclass(frozen=True)
class BacklogCounts:
    """Open items by group; groups without any are left out.

    `undecided` by kind and role, `undecided_reasons` by reason (`integrator.store.backlog`),
    `attention` by kind since the last change, `webhooks` by state of
    the last delivery, `notifications` by state, `unmatched_movements` by merchant.
    """

    undecided: list[BacklogGroup]
    attention: list[BacklogGroup]
    webhooks: list[BacklogGroup]
    notifications: list[BacklogGroup]
    unmatched_movements: list[BacklogGroup]
    comparisons: list[ComparisonProgress]
    undecided_reasons: list[BacklogGroup] = field(default_factory=list)


@dataclass(frozen=True)
class KeyUsage:
    """Numbers of blobs of a column that each key of the ring, or a data key, has encrypted.

    `column` is "table.column"; `by_key` is by key id; `erased` counts the empty blobs.
    """

    column: str
    by_key: dict[str, int]
    data_key: int
    erased: int


@dataclass(frozen=True)
class ReencryptedBatch:
    """Result of re-encrypting a batch of blobs; `skipped` were locked by another writer."""

    column: str
    reencrypted: int
    skipped: int
    unreadable: int


@dataclass(frozen=True)
class KnownKey:
    """Key that a process has, or had, in its ring.

    `fingerprint` is None for a key that was in use before keys were registered; `unused_since` is
    set when no value of the store needed it.
    """

    key_id: str
    fingerprint: str | None
    known_since: datetime
    unused_since: datetime | None


@dataclass(frozen=True)
class KeyCheck:
    """Numbers of blobs that were sampled from a column, and that the keys cannot decrypt."""

    column: str
    read: int
    unreadable: int


@dataclass(frozen=True)
class UnreadableRow:
    """Row that cannot be decrypted or parsed; `reason` is the kind of the error."""

    merchant_id: str
    key: str
    reason: str


@dataclass(frozen=True)
class QuarantineEntry:
    """Row at which a sweep fails since `since`; `next_at` is when it is tried again."""

    sweep: str
    merchant_id: str
    key: str
    reason: str
    tries: int
    since: datetime
    failed_at: datetime
    next_at: datetime | None
