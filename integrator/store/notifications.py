"""Stored PSP notifications: stored before they are acknowledged, so that none is lost."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    Select,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    text,
    update,
)

from integrator.crypto.data_keys import is_encrypted_by_data_key
from integrator.store.column_encryption import ERASED, ColumnCipher
from integrator.store.data_keys import KEY_COLUMNS, DataKeys, data_key_join
from integrator.store.errors import NotFound
from integrator.store.models import (
    NewNotification,
    NewNotificationMessage,
    NotificationRow,
    NotificationState,
    NotificationSummary,
    UnreadableEvents,
)
from integrator.store.notification_intake import NotificationIntake, notification_context
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import UNREADABLE_EVENT, data_keys, notifications, transactions

_MANY_ATTEMPTS = 60
_SIGNALLED_TIMEOUT = timedelta(minutes=10)
_LONG_RETRY_INTERVAL = timedelta(hours=1)
UNREADABLE_KEPT = timedelta(days=30)
"""How long the content of an event that cannot be read is kept, for the adapter's author."""
_PENDING: tuple[NotificationState, ...] = ("stored", "parked")
_NOT_IN_MODEL = ("wrapped", "erased_at", "message_id")
_SELECT_NOTIFICATION = select(notifications, *KEY_COLUMNS).select_from(
    notifications.outerjoin(data_keys, data_key_join(notifications))
)


class Notifications(Repository):
    """One row per event a PSP sent; event ids are unique within PSP settings."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._data_keys = DataKeys(session)
        self._intake = NotificationIntake(session)

    async def add(self, new: NewNotification) -> tuple[int, bool]:
        """Store a notification in state `stored`; return its id and whether it is new.

        For an event id already stored for these PSP settings, return the existing row's id and
        False.
        """
        [result] = await self._intake.add_all([new])
        return result

    async def add_all(
        self, new: Sequence[NewNotification], message: NewNotificationMessage
    ) -> list[tuple[int, bool]]:
        """Store the events of a message like `add`, all of them or, after an error, none."""
        return await self._intake.add_all(new, message)

    @shielded_write
    async def park_all(self, ids: Sequence[int]) -> None:
        """Set stored or parked notifications about no known transaction to `parked`."""
        statement = (
            update(notifications)
            .where(notifications.c.id.in_(ids), notifications.c.state.in_(_PENDING))
            .values(state="parked", attempts=notifications.c.attempts + 1, updated_at=_now())
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(statement)

    async def list_unreadable(
        self, since: datetime | None = None, merchant_id: str | None = None
    ) -> list[UnreadableEvents]:
        """Count the entries per merchant that were received since then and could not be read.

        By default those whose content is still kept.
        """
        table = notifications
        statement = (
            select(table.c.merchant_id, func.count(), func.min(table.c.received_at))
            .where(text(UNREADABLE_EVENT))
            .where(table.c.received_at >= (since or _now() - UNREADABLE_KEPT))
            .group_by(table.c.merchant_id)
            .order_by(table.c.merchant_id)
        )
        if merchant_id is not None:
            statement = statement.where(table.c.merchant_id == merchant_id)
        async with self._session.read_connection() as connection:
            return [UnreadableEvents(*row) for row in await connection.execute(statement)]

    async def list_event_ids(self, psp_settings_id: str, event_ids: Collection[str]) -> set[str]:
        """Return those of the event ids that are stored already, in any state."""
        statement = select(notifications.c.event_id).where(
            notifications.c.psp_settings_id == psp_settings_id,
            notifications.c.event_id.in_(event_ids),
        )
        async with self._session.read_connection() as connection:
            return set((await connection.execute(statement)).scalars())

    async def get(self, id: int) -> NotificationRow | None:
        """Return a notification."""
        rows = await self._rows(_SELECT_NOTIFICATION.where(notifications.c.id == id))
        return rows[0] if rows else None

    @shielded_write
    async def set_state(
        self,
        id: int,
        state: NotificationState,
        outcome: str | None = None,
        transaction_id: str | None = None,
    ) -> None:
        """Set the state of a notification and count the attempt; raises `NotFound`.

        `outcome` replaces the stored one; a `transaction_id` of None keeps the stored one. State
        `applied` is not replaced by `signalled`: the transaction may apply a notification before
        the sender of the signal has recorded it.
        """
        already_applied = and_(notifications.c.state == "applied", literal(state) == "signalled")
        values: dict[str, Any] = {
            "state": case((already_applied, notifications.c.state), else_=state),
            "outcome": outcome,
            "attempts": notifications.c.attempts + 1,
            "updated_at": _now(),
        }
        if transaction_id is not None:
            values |= {
                "transaction_id": transaction_id,
                "agreement_id": _agreement_id(transaction_id),
            }
        statement = update(notifications).where(notifications.c.id == id).values(values)
        async with self._session.write_transaction() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(f"no notification {id}")

    async def list_pending(self, older_than: datetime, limit: int = 100) -> list[NotificationRow]:
        """List stored or parked notifications last updated before `older_than`, oldest first.

        Includes notifications that were signalled some time ago and never applied: their workflow
        was terminated, or Temporal was restored from a backup.

        Setting a notification's state, even to the same one, moves it to the end of the list. After
        many attempts the interval is longer: other users of the same PSP account cause
        notifications that never match.
        """
        return await self._rows(
            _SELECT_NOTIFICATION.where(
                or_(
                    notifications.c.state.in_(_PENDING),
                    and_(
                        notifications.c.state == "signalled",
                        notifications.c.updated_at < older_than - _SIGNALLED_TIMEOUT,
                    ),
                ),
                notifications.c.updated_at < older_than,
                or_(
                    notifications.c.attempts < _MANY_ATTEMPTS,
                    notifications.c.updated_at < older_than - _LONG_RETRY_INTERVAL,
                ),
            )
            .order_by(notifications.c.updated_at, notifications.c.id)
            .limit(limit)
        )

    async def list_parked(
        self, merchant_id: str, psp_ids: Sequence[str], *, transaction_id: str | None = None
    ) -> list[NotificationRow]:
        """List the merchant's parked notifications about any of the PSP ids, oldest first.

        With `transaction_id` also those that refer to that transaction of ours.
        """
        mentions = [
            notifications.c.psp_ids.contains(json.dumps(id), autoescape=True) for id in psp_ids
        ]
        if transaction_id is not None:
            mentions.append(notifications.c.transaction_id == transaction_id)
        if not mentions:
            return []
        candidates = await self._rows(
            _SELECT_NOTIFICATION.where(
                notifications.c.state == "parked",
                notifications.c.merchant_id == merchant_id,
                or_(*mentions),
            ).order_by(notifications.c.id)
        )
        # The text search ignores case on SQLite and may match inside an id; this is the exact test.
        exact_ids = set(psp_ids)
        return [
            row
            for row in candidates
            if exact_ids.intersection(row.psp_ids)
            or (transaction_id is not None and row.transaction_id == transaction_id)
        ]

    async def list_summaries(
        self, merchant_id: str, transaction_id: str, limit: int = 100
    ) -> list[NotificationSummary]:
        """List the PSP's notifications about a transaction, newest first."""
        columns = [notifications.c[name] for name in NotificationSummary.__dataclass_fields__]
        statement = (
            select(*columns)
            .where(
                notifications.c.merchant_id == merchant_id,
                notifications.c.transaction_id == transaction_id,
            )
            .order_by(notifications.c.received_at.desc(), notifications.c.id.desc())
            .limit(limit)
        )
        async with self._session.read_connection() as connection:
            return [
                NotificationSummary(**row)
                for row in (await connection.execute(statement)).mappings()
            ]

    async def _rows(self, statement: Select[Any]) -> list[NotificationRow]:
        async with self._session.read_connection() as connection:
            return [self._decode(row) for row in (await connection.execute(statement)).mappings()]

    def _decode(self, row: RowMapping) -> NotificationRow:
        key = (row["psp_settings_id"], row["event_id"])
        cipher = self._cipher_for(row)
        headers = row["headers"]
        values = {name: row[name] for name in row if name not in _NOT_IN_MODEL}
        decrypted = {
            "raw": cipher.decrypt(row["raw"], *notification_context("raw", *key))
            if cipher
            else ERASED,
            "headers": (
                cipher.decrypt_json(headers, *notification_context("headers", *key))
                if cipher and headers
                else None
            ),
            "psp_ids": tuple(json.loads(row["psp_ids"])),
            "erased": cipher is None,
        }
        return NotificationRow(**values | decrypted)

    def _cipher_for(self, row: RowMapping) -> ColumnCipher | None:
        """Return the cipher of a row, None once it was erased.

        The key ring encrypts notifications that arrive after the erasure of their agreement.
        """
        if row["raw"] == ERASED:
            return None
        return (
            self._data_keys.cipher_for_row(row)
            if is_encrypted_by_data_key(row["raw"])
            else self._cipher
        )


def _agreement_id(transaction_id: str) -> ColumnElement[str | None]:
    """Return the stored agreement id, else that of the transaction."""
    of_transaction = (
        select(transactions.c.agreement_id)
        .where(
            transactions.c.merchant_id == notifications.c.merchant_id,
            transactions.c.transaction_id == transaction_id,
        )
        .scalar_subquery()
    )
    return func.coalesce(notifications.c.agreement_id, of_transaction)


def _now() -> datetime:
    return datetime.now(UTC)
