"""The inbox of PSP notifications: stored before they are acknowledged, never lost after."""

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
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import is_sealed_by_data_key
from integrator.store.column_encryption import ERASED, ColumnCipher
from integrator.store.data_keys import KEY_COLUMNS, DataKeys, its_key
from integrator.store.errors import NotFound
from integrator.store.models import NewNotification, NotificationRow, NotificationState
from integrator.store.session import shielded_write
from integrator.store.tables import data_keys, notifications, transactions

_OFTEN = 60
_UNREAD = timedelta(minutes=10)
_LONG_PAUSE = timedelta(hours=1)
_UNDELIVERED: tuple[NotificationState, ...] = ("stored", "parked")
_STORED = select(notifications, *KEY_COLUMNS).select_from(
    notifications.outerjoin(data_keys, its_key(notifications))
)


class Notifications(DataKeys):
    """One row per event a PSP sent; event ids are unique within PSP settings."""

    @shielded_write
    async def store_notification(self, new: NewNotification) -> tuple[int, bool]:
        """Keep a notification in state `stored`; return its id and whether it is new.

        An event id already known for these PSP settings gives the existing row's id and False.
        """
        async with self._writing() as connection:
            vault = await self._vault_for(connection, new.merchant_id, new.agreement_id)
            # What comes after the erasure has to be applied; then it is erased as well.
            values = self._new_notification_row(new, vault or self._vault)
            statement = self._insert(notifications).values(values)
            created = await connection.scalar(
                statement.on_conflict_do_nothing().returning(notifications.c.id)
            )
            id = created if created is not None else await _existing(connection, new)
        return id, created is not None

    async def known_events(self, psp_settings_id: str, event_ids: Collection[str]) -> set[str]:
        """Those of the event ids that are in the inbox already, whatever became of them."""
        statement = select(notifications.c.event_id).where(
            notifications.c.psp_settings_id == psp_settings_id,
            notifications.c.event_id.in_(event_ids),
        )
        async with self._reading() as connection:
            return set((await connection.execute(statement)).scalars())

    async def notification(self, id: int) -> NotificationRow | None:
        found = await self._list_notifications(_STORED.where(notifications.c.id == id))
        return found[0] if found else None

    @shielded_write
    async def set_notification(
        self,
        id: int,
        state: NotificationState,
        outcome: str | None = None,
        transaction_id: str | None = None,
    ) -> None:
        """Set what became of a notification and count the attempt; raises `NotFound`.

        `outcome` replaces the stored one; a `transaction_id` of None keeps the stored one. One
        that was applied stays so: its transaction may be faster than who signalled it.
        """
        kept = and_(notifications.c.state == "applied", literal(state) == "signalled")
        values: dict[str, Any] = {
            "state": case((kept, notifications.c.state), else_=state),
            "outcome": outcome,
            "attempts": notifications.c.attempts + 1,
            "updated_at": _now(),
        }
        if transaction_id is not None:
            values |= {"transaction_id": transaction_id, "agreement_id": _agreement(transaction_id)}
        statement = update(notifications).where(notifications.c.id == id).values(values)
        async with self._writing() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(f"no notification {id}")

    async def undelivered_notifications(
        self, older_than: datetime, limit: int = 100
    ) -> list[NotificationRow]:
        """Stored or parked notifications last touched before `older_than`, longest waiting first.

        So are those that were signalled a while ago and never read: their workflow was ended by
        force, or the engine came back from a backup.

        Setting a notification's state, even to the same one, puts it at the end of the line. One
        that was tried often waits longer: what others do on the same account is never ours.
        """
        return await self._list_notifications(
            _STORED.where(
                or_(
                    notifications.c.state.in_(_UNDELIVERED),
                    and_(
                        notifications.c.state == "signalled",
                        notifications.c.updated_at < older_than - _UNREAD,
                    ),
                ),
                notifications.c.updated_at < older_than,
                or_(
                    notifications.c.attempts < _OFTEN,
                    notifications.c.updated_at < older_than - _LONG_PAUSE,
                ),
            )
            .order_by(notifications.c.updated_at, notifications.c.id)
            .limit(limit)
        )

    async def parked_for(
        self, merchant_id: str, psp_ids: Sequence[str], *, transaction_id: str | None = None
    ) -> list[NotificationRow]:
        """The merchant's parked notifications about any of these PSP ids, oldest first.

        With `transaction_id` also those that named that transaction of ours.
        """
        mentions = [
            notifications.c.psp_ids.contains(json.dumps(id), autoescape=True) for id in psp_ids
        ]
        if transaction_id is not None:
            mentions.append(notifications.c.transaction_id == transaction_id)
        if not mentions:
            return []
        candidates = await self._list_notifications(
            _STORED.where(
                notifications.c.state == "parked",
                notifications.c.merchant_id == merchant_id,
                or_(*mentions),
            ).order_by(notifications.c.id)
        )
        # The text search ignores case on SQLite and may match inside an id; this is the exact test.
        wanted = set(psp_ids)
        return [
            row
            for row in candidates
            if wanted.intersection(row.psp_ids)
            or (transaction_id is not None and row.transaction_id == transaction_id)
        ]

    async def _list_notifications(self, statement: Select[Any]) -> list[NotificationRow]:
        async with self._reading() as connection:
            return [
                self._notification_row(row)
                for row in (await connection.execute(statement)).mappings()
            ]

    def _notification_row(self, row: RowMapping) -> NotificationRow:
        key = (row["psp_settings_id"], row["event_id"])
        vault = self._notification_vault(row)
        headers = row["headers"]
        values = {name: row[name] for name in row if name not in ("wrapped", "erased_at")}
        opened = {
            "raw": vault.open(row["raw"], *_place("raw", *key)) if vault is not None else ERASED,
            "headers": (
                vault.open_json(headers, *_place("headers", *key)) if vault and headers else None
            ),
            "psp_ids": tuple(json.loads(row["psp_ids"])),
            "erased": vault is None,
        }
        return NotificationRow(**values | opened)

    def _notification_vault(self, row: RowMapping) -> ColumnCipher | None:
        """None for one that was erased; what came later is sealed by the key ring."""
        if row["raw"] == ERASED:
            return None
        return self._vault_of(row) if is_sealed_by_data_key(row["raw"]) else self._vault

    def _new_notification_row(self, new: NewNotification, vault: ColumnCipher) -> dict[str, Any]:
        key = (new.psp_settings_id, new.event_id)
        sealed = new.headers
        now = _now()
        return {
            "psp_settings_id": new.psp_settings_id,
            "event_id": new.event_id,
            "merchant_id": new.merchant_id,
            "transaction_id": new.transaction_id,
            "agreement_id": new.agreement_id,
            "psp_ids": json.dumps(new.psp_ids),
            "raw": vault.seal(new.raw, *_place("raw", *key)),
            "headers": (
                vault.seal_json(sealed, *_place("headers", *key)) if sealed is not None else None
            ),
            "received_at": new.received_at or now,
            "state": "stored",
            "source": new.source,
            "attempts": 0,
            "updated_at": now,
        }


def _agreement(transaction_id: str) -> ColumnElement[str | None]:
    """A notification's agreement, learned with its transaction; the one it has stays."""
    known = (
        select(transactions.c.agreement_id)
        .where(
            transactions.c.merchant_id == notifications.c.merchant_id,
            transactions.c.transaction_id == transaction_id,
        )
        .scalar_subquery()
    )
    return func.coalesce(notifications.c.agreement_id, known)


async def _existing(connection: AsyncConnection, new: NewNotification) -> int:
    found: int = (
        await connection.execute(
            select(notifications.c.id).where(
                notifications.c.psp_settings_id == new.psp_settings_id,
                notifications.c.event_id == new.event_id,
            )
        )
    ).scalar_one()
    return found


def _place(column: str, psp_settings_id: str, event_id: str) -> tuple[str, ...]:
    # The row's id is not known before it is inserted; its unique key is.
    return ("notifications", column, psp_settings_id, event_id)


def _now() -> datetime:
    return datetime.now(UTC)
