"""Permanent erasure of an agreement's personal data; what the ledger needs is kept."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, text, update

from integrator.crypto.data_keys import is_encrypted_by_data_key
from integrator.store.column_encryption import ERASED
from integrator.store.data_keys import data_key_join, is_data_key_of
from integrator.store.models import ErasureScope
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import (
    UNREADABLE_EVENT,
    agreements,
    data_keys,
    decisions,
    notifications,
    transactions,
)
from integrator.store.transaction_decoder import is_transaction

_UNDECIDED = ("Initiated", "Pending")
_UNREAD = ("stored", "signalled", "parked")
_PROCESSED = ("applied", "known", "ignored")
_BATCH_SIZE = 500
_CHECKPOINT_ATTEMPTS = 50
_CHECKPOINT_PAUSE_S = 0.1


class Erasure(Repository):
    """Destroys an agreement's data key and overwrites what the key and the key ring encrypted."""

    async def get_scope(self, merchant_id: str, agreement_id: str) -> ErasureScope | None:
        """Return what is stored of an agreement; None when the merchant has no such agreement."""
        of_agreement = _belongs_to_agreement(merchant_id, agreement_id)
        counts = select(
            func.count(), func.count().filter(transactions.c.status.in_(_UNDECIDED))
        ).where(of_agreement)
        agreement = select(agreements.c.agreement_id).where(
            agreements.c.merchant_id == merchant_id, agreements.c.agreement_id == agreement_id
        )
        key = select(data_keys.c.erased_at).where(is_data_key_of(merchant_id, agreement_id))
        async with self._session.read_connection() as connection:
            total, undecided = (await connection.execute(counts)).one()
            exists = await connection.scalar(agreement) is not None
            erased_at = await connection.scalar(key)
        if not total and not exists:
            return None
        rows = [row async for row in self._agreement_notifications(merchant_id, agreement_id)]
        return ErasureScope(
            transactions=total,
            undecided=undecided,
            notifications=len(rows),
            unread=sum(1 for _, state in rows if state in _UNREAD),
            erased_at=erased_at,
        )

    async def erase_agreement(self, merchant_id: str, agreement_id: str) -> None:
        """Erase all personal data; may be repeated, and must be when it was interrupted.

        Once the key is destroyed, the agreement can no longer be charged. Webhook targets, which
        are not personal data, stay readable. When an old row cannot be decrypted, raises the
        cipher's error before anything is destroyed.
        """
        for id in await self._transaction_ids(
            merchant_id, agreement_id, transactions.c.webhook_target.is_(None)
        ):
            await self._preserve_webhook_target(merchant_id, id)
        await self._destroy_key(merchant_id, agreement_id)
        not_erased = or_(transactions.c.request != ERASED, transactions.c.private.is_not(None))
        for id in await self._transaction_ids(merchant_id, agreement_id, not_erased):
            await self._erase_transaction(merchant_id, id)
        ids = [id async for id, _ in self._agreement_notifications(merchant_id, agreement_id)]
        await self._erase_notifications(ids)
        await self._erase_reasons(merchant_id, agreement_id)

    async def erase_late_notifications(self, older_than: datetime) -> int:
        """Erase notifications that arrived after the erasure of their agreement.

        Only those that were processed before `older_than`: until then they may be about money.
        Returns their number.
        """
        statement = (
            select(notifications.c.id)
            .select_from(data_keys.join(notifications, data_key_join(notifications)))
            .where(
                data_keys.c.erased_at.is_not(None),
                notifications.c.raw != ERASED,
                notifications.c.state.in_(_PROCESSED),
                notifications.c.updated_at < older_than,
            )
        )
        async with self._session.read_connection() as connection:
            ids = (await connection.execute(statement)).scalars().all()
        await self._erase_notifications(ids)
        return len(ids)

    async def erase_unreadable_notifications(self, older_than: datetime) -> int:
        """Erase the content of events that cannot be read and arrived before `older_than`.

        They belong to no known agreement, so that no erasure finds them. Returns their number.
        """
        statement = select(notifications.c.id).where(
            text(UNREADABLE_EVENT),
            notifications.c.raw != ERASED,
            notifications.c.received_at < older_than,
        )
        async with self._session.read_connection() as connection:
            ids = (await connection.execute(statement)).scalars().all()
        await self._erase_notifications(ids)
        return len(ids)

    @shielded_write
    async def compact(self) -> bool:
        """Rewrite the SQLite file without deleted content; return False while others read it.

        Writers wait until it is done. PostgreSQL needs no such step.
        """
        if not self._session.sqlite:
            return True
        async with self._session.read_connection() as connection:
            await connection.exec_driver_sql("VACUUM")
            for _ in range(_CHECKPOINT_ATTEMPTS):
                result = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                if result.one()[0] == 0:
                    return True
                await asyncio.sleep(_CHECKPOINT_PAUSE_S)
        return False

    async def _transaction_ids(
        self, merchant_id: str, agreement_id: str, condition: ColumnElement[bool]
    ) -> Sequence[str]:
        of_agreement = _belongs_to_agreement(merchant_id, agreement_id)
        statement = select(transactions.c.transaction_id).where(of_agreement, condition)
        async with self._session.read_connection() as connection:
            return (await connection.execute(statement)).scalars().all()

    @shielded_write
    async def _preserve_webhook_target(self, merchant_id: str, transaction_id: str) -> None:
        """Copy the webhook target of a row older than data keys out of its request."""
        row = is_transaction(merchant_id, transaction_id)
        context = ("transactions", "webhook_target", merchant_id, transaction_id)
        async with self._session.write_transaction() as connection:
            statement = select(transactions.c.request).where(row).with_for_update()
            request: bytes = (await connection.execute(statement)).scalar_one()
            if request == ERASED or is_encrypted_by_data_key(request):
                return  # there is no target to keep
            content = self._cipher.decrypt_json(
                request, "transactions", "request", merchant_id, transaction_id
            )
            if (target := content.get("webhookTarget")) is not None:
                encrypted = self._cipher.encrypt(target.encode(), *context)
                await connection.execute(
                    update(transactions).where(row).values(webhook_target=encrypted)
                )

    @shielded_write
    async def _destroy_key(self, merchant_id: str, agreement_id: str) -> None:
        now = datetime.now(UTC)
        key = is_data_key_of(merchant_id, agreement_id)
        tombstone = {
            "merchant_id": merchant_id,
            "agreement_id": agreement_id,
            "created_at": now,
            "erased_at": now,
        }
        async with self._session.write_transaction() as connection:
            await connection.execute(
                self._session.insert(data_keys).values(tombstone).on_conflict_do_nothing()
            )
            # Waits for the writers that use the key.
            await connection.execute(select(data_keys.c.erased_at).where(key).with_for_update())
            await connection.execute(
                update(data_keys)
                .where(key, data_keys.c.erased_at.is_(None))
                .values(wrapped=None, erased_at=now)
            )
            await connection.execute(
                update(agreements)
                .where(
                    agreements.c.merchant_id == merchant_id,
                    agreements.c.agreement_id == agreement_id,
                )
                .values(usable=False, instrument=None, updated_at=now)
            )

    @shielded_write
    async def _erase_transaction(self, merchant_id: str, transaction_id: str) -> None:
        # One at a time: locking several rows could deadlock with writers that lock them in another
        # order.
        statement = (
            update(transactions)
            .where(is_transaction(merchant_id, transaction_id))
            .values(request=ERASED, private=None)
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(statement)

    @shielded_write
    async def _erase_notifications(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), _BATCH_SIZE):
            batch = ids[start : start + _BATCH_SIZE]
            statement = (
                update(notifications)
                .where(notifications.c.id.in_(batch))
                .values(raw=ERASED, headers=None)
            )
            async with self._session.write_transaction() as connection:
                await connection.execute(statement)

    @shielded_write
    async def _erase_reasons(self, merchant_id: str, agreement_id: str) -> None:
        transaction_ids = select(transactions.c.transaction_id).where(
            _belongs_to_agreement(merchant_id, agreement_id)
        )
        statement = (
            update(decisions)
            .where(
                decisions.c.merchant_id == merchant_id,
                or_(
                    decisions.c.agreement_id == agreement_id,
                    and_(
                        decisions.c.agreement_id.is_(None),
                        decisions.c.transaction_id.in_(transaction_ids),
                    ),
                ),
            )
            .values(reason=ERASED)
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(statement)

    async def _agreement_notifications(
        self, merchant_id: str, agreement_id: str
    ) -> AsyncIterator[tuple[int, str]]:
        """Yield id and state of the notifications that are not erased yet.

        These are encrypted with the agreement's key, or refer to the ids of its transactions.
        """
        transaction_ids, psp_ids = await self._agreement_transaction_ids(merchant_id, agreement_id)
        table = notifications
        statement = (
            select(*(table.c[name] for name in ("id", "state", "agreement_id")))
            .add_columns(table.c.transaction_id, table.c.psp_ids)
            .where(
                table.c.merchant_id == merchant_id,
                or_(table.c.agreement_id == agreement_id, table.c.agreement_id.is_(None)),
                table.c.raw != ERASED,
            )
            .order_by(table.c.id)
            .limit(_BATCH_SIZE)
        )
        last = 0
        while True:
            async with self._session.read_connection() as connection:
                rows = (await connection.execute(statement.where(table.c.id > last))).all()
            for row in rows:
                refers_to_agreement = row.transaction_id in transaction_ids or (
                    psp_ids.intersection(json.loads(row.psp_ids))
                )
                if row.agreement_id is not None or refers_to_agreement:
                    yield row.id, row.state
            if len(rows) < _BATCH_SIZE:
                return
            last = rows[-1].id

    async def _agreement_transaction_ids(
        self, merchant_id: str, agreement_id: str
    ) -> tuple[set[str], set[str]]:
        """Return the ids of the agreement's transactions: ours, and the PSP's."""
        statement = select(
            transactions.c.transaction_id,
            transactions.c.psp_transaction_id,
            transactions.c.psp_session_id,
        ).where(_belongs_to_agreement(merchant_id, agreement_id))
        async with self._session.read_connection() as connection:
            rows = (await connection.execute(statement)).all()
        psp_ids = {id for row in rows for id in row[1:] if id is not None}
        return {row.transaction_id for row in rows}, psp_ids


def _belongs_to_agreement(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    """Match the agreement's transactions; old refunds only refer to their payment."""
    payments = transactions.alias()
    payment_ids = select(payments.c.transaction_id).where(
        payments.c.merchant_id == merchant_id, payments.c.agreement_id == agreement_id
    )
    return and_(
        transactions.c.merchant_id == merchant_id,
        or_(
            transactions.c.agreement_id == agreement_id,
            and_(transactions.c.agreement_id.is_(None), transactions.c.related_id.in_(payment_ids)),
        ),
    )
