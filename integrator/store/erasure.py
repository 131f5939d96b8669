"""Erasing what is personal of an agreement, for good; what the books need stays."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from integrator.crypto.data_keys import is_sealed_by_data_key
from integrator.store.column_encryption import ERASED
from integrator.store.data_keys import DataKeys, is_key_of, its_key
from integrator.store.models import ErasureScope
from integrator.store.session import shielded_write
from integrator.store.tables import agreements, data_keys, decisions, notifications, transactions

_UNDECIDED = ("Initiated", "Pending")
_UNREAD = ("stored", "signalled", "parked")
_DONE_WITH = ("applied", "known", "ignored")
_AT_ONCE = 500
_COMPACTING_TRIES = 50
_COMPACTING_PAUSE_S = 0.1


class Erasure(DataKeys):
    """Destroys an agreement's data key and overwrites what it and the key ring have sealed."""

    async def holdings(self, merchant_id: str, agreement_id: str) -> ErasureScope | None:
        """What is kept of an agreement; None when the merchant has none such."""
        own = _of_agreement(merchant_id, agreement_id)
        counts = select(
            func.count(), func.count().filter(transactions.c.status.in_(_UNDECIDED))
        ).where(own)
        agreement = select(agreements.c.agreement_id).where(
            agreements.c.merchant_id == merchant_id, agreements.c.agreement_id == agreement_id
        )
        key = select(data_keys.c.erased_at).where(is_key_of(merchant_id, agreement_id))
        async with self._reading() as connection:
            found, undecided = (await connection.execute(counts)).one()
            known = await connection.scalar(agreement) is not None
            erased_at = await connection.scalar(key)
        if not found and not known:
            return None
        messages = [row async for row in self._notifications_of(merchant_id, agreement_id)]
        return ErasureScope(
            transactions=found,
            undecided=undecided,
            notifications=len(messages),
            unread=sum(1 for _, state in messages if state in _UNREAD),
            erased_at=erased_at,
        )

    async def erase_agreement(self, merchant_id: str, agreement_id: str) -> None:
        """Erase everything personal; may be repeated, and has to be when it was interrupted.

        From the destruction of the key on the agreement takes no more money. Webhook targets,
        which are no personal data, stay readable. Raises the cipher's error before anything is
        destroyed, when an old row does not open.
        """
        for id in await self._ids(
            merchant_id, agreement_id, transactions.c.webhook_target.is_(None)
        ):
            await self._keep_target(merchant_id, id)
        await self._destroy_key(merchant_id, agreement_id)
        left = or_(transactions.c.request != ERASED, transactions.c.private.is_not(None))
        for id in await self._ids(merchant_id, agreement_id, left):
            await self._erase_transaction(merchant_id, id)
        ids = [id async for id, _ in self._notifications_of(merchant_id, agreement_id)]
        await self._erase_notifications(ids)
        await self._erase_reasons(merchant_id, agreement_id)

    async def erase_late_notifications(self, older_than: datetime) -> int:
        """Erase what came after the erasure of its agreement and was dealt with before then.

        Returns how many that were. It had to be kept until then: what it says may be money.
        """
        statement = (
            select(notifications.c.id)
            .select_from(data_keys.join(notifications, its_key(notifications)))
            .where(
                data_keys.c.erased_at.is_not(None),
                notifications.c.raw != ERASED,
                notifications.c.state.in_(_DONE_WITH),
                notifications.c.updated_at < older_than,
            )
        )
        async with self._reading() as connection:
            ids = (await connection.execute(statement)).scalars().all()
        await self._erase_notifications(ids)
        return len(ids)

    @shielded_write
    async def compact(self) -> bool:
        """Have SQLite rewrite its file without what was deleted; False while others read it.

        Writers wait for as long as that takes. PostgreSQL cleans up by itself.
        """
        if not self._sqlite:
            return True
        async with self._reading() as connection:
            await connection.exec_driver_sql("VACUUM")
            for _ in range(_COMPACTING_TRIES):
                found = await connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
                if found.one()[0] == 0:
                    return True
                await asyncio.sleep(_COMPACTING_PAUSE_S)
        return False

    async def _ids(
        self, merchant_id: str, agreement_id: str, condition: ColumnElement[bool]
    ) -> Sequence[str]:
        own = _of_agreement(merchant_id, agreement_id)
        statement = select(transactions.c.transaction_id).where(own, condition)
        async with self._reading() as connection:
            return (await connection.execute(statement)).scalars().all()

    @shielded_write
    async def _keep_target(self, merchant_id: str, transaction_id: str) -> None:
        """Of a row older than data keys."""
        row = (transactions.c.merchant_id == merchant_id) & (
            transactions.c.transaction_id == transaction_id
        )
        place = ("transactions", "webhook_target", merchant_id, transaction_id)
        async with self._writing() as connection:
            statement = select(transactions.c.request).where(row).with_for_update()
            request: bytes = (await connection.execute(statement)).scalar_one()
            if request == ERASED or is_sealed_by_data_key(request):
                return  # it never had one
            opened = self._vault.open_json(
                request, "transactions", "request", merchant_id, transaction_id
            )
            if (target := opened.get("webhookTarget")) is not None:
                sealed = self._vault.seal(target.encode(), *place)
                await connection.execute(
                    update(transactions).where(row).values(webhook_target=sealed)
                )

    @shielded_write
    async def _destroy_key(self, merchant_id: str, agreement_id: str) -> None:
        now = datetime.now(UTC)
        key = is_key_of(merchant_id, agreement_id)
        tombstone = {
            "merchant_id": merchant_id,
            "agreement_id": agreement_id,
            "created_at": now,
            "erased_at": now,
        }
        async with self._writing() as connection:
            await connection.execute(
                self._insert(data_keys).values(tombstone).on_conflict_do_nothing()
            )
            # Waits for those who are about to use it.
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
        # One at a time: holding several rows could block those who need them in another order.
        statement = (
            update(transactions)
            .where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.transaction_id == transaction_id,
            )
            .values(request=ERASED, private=None)
        )
        async with self._writing() as connection:
            await connection.execute(statement)

    @shielded_write
    async def _erase_notifications(self, ids: Sequence[int]) -> None:
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            statement = (
                update(notifications)
                .where(notifications.c.id.in_(some))
                .values(raw=ERASED, headers=None)
            )
            async with self._writing() as connection:
                await connection.execute(statement)

    @shielded_write
    async def _erase_reasons(self, merchant_id: str, agreement_id: str) -> None:
        own = select(transactions.c.transaction_id).where(_of_agreement(merchant_id, agreement_id))
        statement = (
            update(decisions)
            .where(
                decisions.c.merchant_id == merchant_id,
                or_(
                    decisions.c.agreement_id == agreement_id,
                    and_(decisions.c.agreement_id.is_(None), decisions.c.transaction_id.in_(own)),
                ),
            )
            .values(reason=ERASED)
        )
        async with self._writing() as connection:
            await connection.execute(statement)

    async def _notifications_of(
        self, merchant_id: str, agreement_id: str
    ) -> AsyncIterator[tuple[int, str]]:
        """Id and state of those not erased yet: sealed as the agreement's, or named by its ids."""
        known, psp_ids = await self._names(merchant_id, agreement_id)
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
            .limit(_AT_ONCE)
        )
        last = 0
        while True:
            async with self._reading() as connection:
                rows = (await connection.execute(statement.where(table.c.id > last))).all()
            for row in rows:
                named = row.transaction_id in known or psp_ids.intersection(json.loads(row.psp_ids))
                if row.agreement_id is not None or named:
                    yield row.id, row.state
            if len(rows) < _AT_ONCE:
                return
            last = rows[-1].id

    async def _names(self, merchant_id: str, agreement_id: str) -> tuple[set[str], set[str]]:
        """The ids of the agreement's transactions: ours, and the PSP's."""
        statement = select(
            transactions.c.transaction_id,
            transactions.c.psp_transaction_id,
            transactions.c.psp_session_id,
        ).where(_of_agreement(merchant_id, agreement_id))
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).all()
        psp_ids = {id for row in rows for id in row[1:] if id is not None}
        return {row.transaction_id for row in rows}, psp_ids


def _of_agreement(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    """Its transactions; old refunds are known by their payment alone."""
    paid = transactions.alias()
    named = select(paid.c.transaction_id).where(
        paid.c.merchant_id == merchant_id, paid.c.agreement_id == agreement_id
    )
    return and_(
        transactions.c.merchant_id == merchant_id,
        or_(
            transactions.c.agreement_id == agreement_id,
            and_(transactions.c.agreement_id.is_(None), transactions.c.related_id.in_(named)),
        ),
    )
