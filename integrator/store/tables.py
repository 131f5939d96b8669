"""Table definitions. Columns of type `LargeBinary` are encrypted; all others are plain text.

The agreement's data key (`data_keys.wrapped`) encrypts what belongs to the agreement: a
transaction's `request` and `private`, the agreement's `instrument`, a notification's `raw` and
`headers` when its transaction is known, a decision's `reason`. The key ring encrypts everything
else, and rows older than data keys. Erased columns are empty.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from integrator.store.types import ExactDecimal, UtcDateTime

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

UNDECIDED = "status IN ('Initiated', 'Pending')"
"""Text of the partial index; a query has to repeat it exactly to use the index."""

OPEN_DELIVERY = "state <> 'delivered'"
"""Like `UNDECIDED`."""

LOOKUP_FAILED = "lookup_failed_at IS NOT NULL"
"""Like `UNDECIDED`."""

UNREADABLE_EVENT = "outcome = 'unreadable'"
"""Like `UNDECIDED`."""

WORK_DUE = "announce_version IS NOT NULL OR due_steps IS NOT NULL"
"""Like `UNDECIDED`."""


def _partial(name: str, *columns: str, where: str) -> Index:
    return Index(name, *columns, sqlite_where=text(where), postgresql_where=text(where))


merchants = Table(
    "merchants",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("psp", String(64), nullable=False),
    Column("psp_settings_id", String(24), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
    # Host names, separated by commas.
    Column("webhook_hosts", Text),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("merchant_id", ForeignKey("merchants.id"), nullable=False, index=True),
    Column("token_sha256", String(64), nullable=False, unique=True),
    Column("label", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

oauth_clients = Table(
    "oauth_clients",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("merchant_id", ForeignKey("merchants.id"), nullable=False, index=True),
    Column("secret_sha256", String(64), nullable=False),
    Column("label", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    Column("last_used_at", UtcDateTime),
)

psp_settings = Table(
    "psp_settings",
    metadata,
    Column("psp_settings_id", ForeignKey("merchants.psp_settings_id"), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("merchant_id", ForeignKey("merchants.id"), nullable=False, index=True),
    # The PSP's id of the account that these settings give access to.
    Column("account", Text),
    Column("sealed_values", LargeBinary, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)

agreements = Table(
    "agreements",
    metadata,
    Column("merchant_id", ForeignKey("merchants.id"), primary_key=True),
    Column("agreement_id", Text, primary_key=True),
    Column("role", String(32), nullable=False),
    Column("instrument", LargeBinary),
    Column("usable", Boolean, nullable=False, server_default=false()),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("transaction_id", Text, nullable=False),
)

data_keys = Table(
    "data_keys",
    metadata,
    Column("merchant_id", ForeignKey("merchants.id"), primary_key=True),
    Column("agreement_id", Text, primary_key=True),
    # None once the agreement's data was erased; then no other key is ever created for it.
    Column("wrapped", LargeBinary),
    Column("created_at", UtcDateTime, nullable=False),
    Column("erased_at", UtcDateTime),
    CheckConstraint("(wrapped IS NULL) = (erased_at IS NOT NULL)", name="erased_or_wrapped"),
    _partial("ix_data_keys_erased", "erased_at", where="erased_at IS NOT NULL"),
)

transactions = Table(
    "transactions",
    metadata,
    Column("merchant_id", ForeignKey("merchants.id"), primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("external_id", Text),
    Column("agreement_id", Text),
    Column("related_id", Text),
    Column("psp", String(64), nullable=False),
    Column("psp_settings_id", String(24), nullable=False),
    Column("role", String(32), nullable=False),
    Column("currency", String(3), nullable=False),
    Column("requested_amount", ExactDecimal, nullable=False),
    Column("request", LargeBinary, nullable=False),
    Column("private", LargeBinary),
    Column("psp_transaction_id", Text),
    Column("psp_session_id", Text),
    Column("status", String(16), nullable=False),
    Column("version", Integer, nullable=False),
    # The state in rows older than `sealed_snapshot`; otherwise empty.
    Column("snapshot", Text, nullable=False),
    Column("sealed_snapshot", LargeBinary),
    Column("evidence", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    # When the caller was sent the response to its request.
    Column("told_at", UtcDateTime),
    # When it was last compared with the PSP; its creation counts as the first time.
    Column("checked_at", UtcDateTime),
    # A part of the request that is kept after an erasure; None in rows older than data keys.
    Column("webhook_target", LargeBinary),
    # Whether the state needs the attention of an operator.
    Column("needs_attention", Boolean, nullable=False, server_default=false()),
    # What attempts have left: `sending:<attempt>`, `not_sent` or `unknown`; see `SendMark`.
    Column("send_mark", String(64)),
    # The version whose change notification is not delivered yet.
    Column("announce_version", Integer),
    # What else is to be done, `parent` or `void` or both, separated by a comma.
    Column("due_steps", String(32)),
    # When a debit that waits for its day is sent; None for one that does not wait.
    Column("send_at", UtcDateTime),
    # When the first attempt began that may have reached the PSP; None: counted from the creation.
    Column("sending_since", UtcDateTime),
    # When the PSP last left a look-up without an answer; None once it has answered one.
    Column("lookup_failed_at", UtcDateTime),
    CheckConstraint("kind IN ('preauth', 'payment', 'refund')", name="kind"),
    CheckConstraint(
        "status NOT IN ('Succeeded', 'Failed', 'Cancelled', 'Expired') OR evidence IS NOT NULL",
        name="final_needs_evidence",
    ),
    Index(None, "merchant_id", "agreement_id"),
    Index(None, "merchant_id", "related_id"),
    Index(None, "merchant_id", "psp_transaction_id"),
    Index(None, "merchant_id", "psp_session_id"),
    Index(None, "created_at"),
    Index(None, "version", "created_at"),
    Index(None, "merchant_id", "checked_at"),
    Index(None, "external_id"),
    _partial("ix_transactions_untold", "created_at", where="told_at IS NULL"),
    _partial("ix_transactions_undecided", "created_at", where=UNDECIDED),
    _partial("ix_transactions_work_due", "created_at", where=WORK_DUE),
    _partial("ix_transactions_waiting", "send_at", where="send_at IS NOT NULL"),
    _partial(
        "ix_transactions_lookup_failed",
        *("psp_settings_id", "lookup_failed_at"),
        where=LOOKUP_FAILED,
    ),
    Index(
        "ix_transactions_attention",
        "created_at",
        sqlite_where=text("needs_attention = 1"),
        postgresql_where=text("needs_attention"),
    ),
)

notifications = Table(
    "notifications",
    metadata,
    # SQLite numbers rows by itself only when the type is spelled INTEGER.
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("psp_settings_id", String(24), nullable=False),
    Column("event_id", Text, nullable=False),
    Column("merchant_id", ForeignKey("merchants.id"), nullable=False),
    Column("transaction_id", Text),
    Column("psp_ids", Text, nullable=False),
    Column("raw", LargeBinary, nullable=False),
    Column("headers", LargeBinary),
    Column("received_at", UtcDateTime, nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", Text),
    Column("attempts", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("source", String(16), nullable=False, server_default="notification"),
    # The transaction's agreement, once the transaction is known.
    Column("agreement_id", Text),
    # The message that brought the event; None if it was listed, or is older than messages.
    Column("message_id", BigInteger),
    UniqueConstraint("psp_settings_id", "event_id"),
    CheckConstraint(
        "state IN ('stored', 'signalled', 'applied', 'known', 'parked', 'ignored')", name="state"
    ),
    Index(None, "state", "updated_at"),
    Index(None, "merchant_id", "agreement_id"),
    Index(None, "merchant_id", "transaction_id"),
    _partial("ix_notifications_unreadable", "received_at", where=UNREADABLE_EVENT),
)

notification_messages = Table(
    "notification_messages",
    metadata,
    Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True),
    Column("psp_settings_id", String(24), nullable=False),
    # The SHA-256 of the body in hex; the content is in the rows of its events.
    Column("digest", String(64), nullable=False),
    Column("merchant_id", ForeignKey("merchants.id"), nullable=False),
    Column("size", Integer, nullable=False),
    Column("events", Integer, nullable=False),
    Column("unreadable", Integer, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("headers", LargeBinary, nullable=False),
    UniqueConstraint("psp_settings_id", "digest"),
)

reconciliation = Table(
    "reconciliation",
    metadata,
    Column("psp_settings_id", ForeignKey("merchants.psp_settings_id"), primary_key=True),
    Column("cursor", Text),
    Column("checked_until", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False),
)

unmatched_movements = Table(
    "strays",
    metadata,
    Column("psp_settings_id", ForeignKey("merchants.psp_settings_id"), primary_key=True),
    Column("psp_id", Text, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("amount", ExactDecimal, nullable=False),
    Column("currency", String(3), nullable=False),
    Column("reference", Text),
    Column("parent_psp_id", Text),
    Column("owner_id", Text),
    Column("booked_at", UtcDateTime, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("checked_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Index(None, "psp_settings_id", "resolved_at", "checked_at"),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("merchant_id", ForeignKey("merchants.id"), primary_key=True),
    Column("transaction_id", Text, primary_key=True),
    # The version of the transaction's state.
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("state", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("last_attempt_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    # The HTTP status of the last response; None without a response.
    Column("last_status", Integer),
    Column("last_error", Text),
    CheckConstraint("state IN ('delivering', 'delivered', 'undelivered')", name="state"),
    _partial("ix_deliveries_open", "began_at", where=OPEN_DELIVERY),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", String(24), primary_key=True),
    Column("merchant_id", ForeignKey("merchants.id"), nullable=False),
    # The subject: a transaction, or the unmatched movement `psp_id` at `psp_settings_id`.
    Column("transaction_id", Text),
    Column("psp_settings_id", String(24)),
    # For a transaction: the movement that the decision names.
    Column("psp_id", Text),
    Column("amount", ExactDecimal),
    # The agreement whose data key encrypts the reason.
    Column("agreement_id", Text),
    Column("kind", String(16), nullable=False),
    Column("decided_by", Text, nullable=False),
    Column("decided_at", UtcDateTime, nullable=False),
    Column("reason", LargeBinary, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("refusal", Text),
    Column("status_before", String(16)),
    Column("status_after", String(16)),
    CheckConstraint("kind IN ('acknowledge', 'failed', 'succeeded')", name="kind"),
    CheckConstraint("outcome IN ('asked', 'done', 'refused')", name="outcome"),
    CheckConstraint("(transaction_id IS NULL) = (psp_settings_id IS NOT NULL)", name="on_one"),
    Index(None, "merchant_id", "transaction_id"),
    Index(None, "merchant_id", "agreement_id"),
    Index(None, "decided_at"),
)

key_ids = Table(
    "key_ids",
    metadata,
    Column("key_id", String(32), primary_key=True),
    # Changes with the key; None until a process has the key in its ring.
    Column("fingerprint", String(64)),
    # Never changes; 1970 for the keys from before this table.
    Column("known_since", UtcDateTime, nullable=False),
    # Set when a process that lacks the key found no value encrypted with it.
    Column("unused_since", UtcDateTime),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("sweep", String(32), primary_key=True),
    Column("merchant_id", ForeignKey("merchants.id"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("reason", Text, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", UtcDateTime, nullable=False),
    Column("failed_at", UtcDateTime, nullable=False),
    # None once an operator has dropped the row.
    Column("next_at", UtcDateTime),
)
