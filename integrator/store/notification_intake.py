"""Insertion of a message's events: few statements and one database transaction for all of them."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.column_encryption import ColumnCipher
from integrator.store.data_keys import DataKeys
from integrator.store.models import UNREADABLE, NewNotification, NewNotificationMessage
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import notification_messages, notifications

_ROWS_PER_STATEMENT = 500
"""SQLite takes 32,766 parameters in a statement, PostgreSQL 32,767; a row has fewer than 20."""


class NotificationIntake(Repository):
    """Stores what a PSP has sent, before it is acknowledged."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._data_keys = DataKeys(session)

    @shielded_write
    async def add_all(
        self, new: Sequence[NewNotification], message: NewNotificationMessage | None = None
    ) -> list[tuple[int, bool]]:
        """Store the events of one merchant; return for each its id and whether it is new.

        An event that is stored already stays unchanged. The `message` that brought the events is
        stored too, once for all its repetitions.
        """
        async with self._session.write_transaction() as connection:
            message_id = await self._add_message(connection, message) if message else None
            # The same order in all processes: two that insert the same events cannot deadlock.
            ordered = sorted(new, key=lambda one: one.event_id)
            rows = await self._new_rows(connection, ordered, message_id)
            created: dict[str, int] = {}
            for start in range(0, len(rows), _ROWS_PER_STATEMENT):
                created |= await self._insert(connection, rows[start : start + _ROWS_PER_STATEMENT])
            existing = await _existing_ids(
                connection, [one for one in ordered if one.event_id not in created]
            )
        return _results(new, created, existing)

    async def _add_message(
        self, connection: AsyncConnection, message: NewNotificationMessage
    ) -> int:
        key = (message.psp_settings_id, message.digest)
        row = {
            "psp_settings_id": message.psp_settings_id,
            "digest": message.digest,
            "merchant_id": message.merchant_id,
            "size": message.size,
            "events": message.events,
            "unreadable": message.unreadable,
            "received_at": message.received_at or datetime.now(UTC),
            "headers": self._cipher.encrypt_json(
                message.headers, "notification_messages", "headers", *key
            ),
        }
        table = notification_messages
        statement = self._session.insert(table).values(row).on_conflict_do_nothing()
        id: int | None = await connection.scalar(statement.returning(table.c.id))
        if id is not None:
            return id
        known = select(table.c.id).where(
            table.c.psp_settings_id == message.psp_settings_id, table.c.digest == message.digest
        )
        existing: int = (await connection.execute(known)).scalar_one()
        return existing

    async def _new_rows(
        self, connection: AsyncConnection, new: Sequence[NewNotification], message_id: int | None
    ) -> list[dict[str, Any]]:
        """Return the rows, each encrypted with the data key of its agreement.

        A notification after the erasure has to be applied first; until then the key ring encrypts
        it.
        """
        agreements = {(one.merchant_id, one.agreement_id) for one in new if one.agreement_id}
        ciphers = {
            agreement: await self._data_keys.cipher_for_agreement(connection, *agreement)
            for agreement in sorted(agreements)
        }
        own = {agreement: cipher for agreement, cipher in ciphers.items() if cipher is not None}
        return [
            _new_row(one, own.get((one.merchant_id, one.agreement_id or ""), self._cipher))
            | {"message_id": message_id}
            for one in new
        ]

    async def _insert(
        self, connection: AsyncConnection, rows: Sequence[Mapping[str, Any]]
    ) -> dict[str, int]:
        """Insert the rows that are new; return their ids by event id."""
        statement = (
            self._session.insert(notifications)
            .values(rows)
            .on_conflict_do_nothing()
            .returning(notifications.c.event_id, notifications.c.id)
        )
        return {row.event_id: row.id for row in await connection.execute(statement)}


async def _existing_ids(
    connection: AsyncConnection, known: Sequence[NewNotification]
) -> dict[str, int]:
    """Return the ids of events that are stored already, by event id."""
    ids: dict[str, int] = {}
    for start in range(0, len(known), _ROWS_PER_STATEMENT):
        part = known[start : start + _ROWS_PER_STATEMENT]
        statement = select(notifications.c.event_id, notifications.c.id).where(
            notifications.c.psp_settings_id == part[0].psp_settings_id,
            notifications.c.event_id.in_([one.event_id for one in part]),
        )
        ids |= {row.event_id: row.id for row in await connection.execute(statement)}
    return ids


def _results(
    new: Sequence[NewNotification], created: Mapping[str, int], existing: Mapping[str, int]
) -> list[tuple[int, bool]]:
    """Return id and whether it is new for each event; of two with the same id the first is new."""
    seen: set[str] = set()
    results = []
    for one in new:
        is_new = one.event_id in created and one.event_id not in seen
        seen.add(one.event_id)
        id = created.get(one.event_id)
        results.append((existing[one.event_id] if id is None else id, is_new))
    return results


def notification_context(column: str, psp_settings_id: str, event_id: str) -> tuple[str, ...]:
    """Return the encryption context of a notification's column.

    The row's id is only known after the insert; its unique key is known before.
    """
    return ("notifications", column, psp_settings_id, event_id)


def _new_row(new: NewNotification, cipher: ColumnCipher) -> dict[str, Any]:
    key = (new.psp_settings_id, new.event_id)
    now = datetime.now(UTC)
    headers = new.headers
    return {
        "psp_settings_id": new.psp_settings_id,
        "event_id": new.event_id,
        "merchant_id": new.merchant_id,
        "transaction_id": new.transaction_id,
        "agreement_id": new.agreement_id,
        "psp_ids": json.dumps(new.psp_ids),
        "raw": cipher.encrypt(new.raw, *notification_context("raw", *key)),
        "headers": (
            cipher.encrypt_json(headers, *notification_context("headers", *key))
            if headers is not None
            else None
        ),
        "received_at": new.received_at or now,
        "state": "ignored" if new.unreadable else "stored",
        "outcome": UNREADABLE if new.unreadable else None,
        "source": new.source,
        "attempts": 0,
        "updated_at": now,
    }
