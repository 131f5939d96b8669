"""Progress of reconciliation, unmatched movements, and transactions to compare."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import RowMapping, Select, or_, select, update

from integrator.store.models import (
    NewUnmatchedMovement,
    ReconciliationProgress,
    TransactionRow,
    UnmatchedMovement,
)
from integrator.store.session import shielded_write
from integrator.store.tables import reconciliation, transactions, unmatched_movements
from integrator.store.transaction_reads import SELECT_TRANSACTION, TransactionReads


class Reconciliation(TransactionReads):
    """One row of progress per account at a PSP, one row per unmatched movement."""

    async def progress(self, psp_settings_id: str) -> ReconciliationProgress:
        """Return the progress of an account."""
        statement = select(reconciliation.c.cursor, reconciliation.c.checked_until).where(
            reconciliation.c.psp_settings_id == psp_settings_id
        )
        async with self._read_connection() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return (
            ReconciliationProgress(row.cursor, row.checked_until)
            if row is not None
            else ReconciliationProgress()
        )

    @shielded_write
    async def advance_cursor(self, psp_settings_id: str, before: str | None, after: str) -> bool:
        """Advance the position in the event list; return False when it is no longer `before`."""
        table = reconciliation
        async with self._write_transaction() as connection:
            await connection.execute(self._insert_progress(psp_settings_id))
            result = await connection.execute(
                update(table)
                .where(
                    table.c.psp_settings_id == psp_settings_id,
                    table.c.cursor.is_not_distinct_from(before),
                )
                .values(cursor=after, updated_at=_now())
            )
            return result.rowcount == 1

    @shielded_write
    async def record_checked_until(self, psp_settings_id: str, until: datetime) -> None:
        """Record that movements before `until` were compared; an earlier time changes nothing."""
        table = reconciliation
        async with self._write_transaction() as connection:
            await connection.execute(self._insert_progress(psp_settings_id))
            await connection.execute(
                update(table)
                .where(
                    table.c.psp_settings_id == psp_settings_id,
                    or_(table.c.checked_until.is_(None), table.c.checked_until < until),
                )
                .values(checked_until=until, updated_at=_now())
            )

    @shielded_write
    async def add_unmatched_movement(self, new: NewUnmatchedMovement) -> bool:
        """Store an unmatched movement; return False when it is stored already."""
        now = _now()
        row = vars(new) | {"seen_at": now, "checked_at": now}
        async with self._write_transaction() as connection:
            statement = self._insert(unmatched_movements).values(row).on_conflict_do_nothing()
            return (await connection.execute(statement)).rowcount == 1

    async def unmatched_movement(
        self, psp_settings_id: str, psp_id: str
    ) -> UnmatchedMovement | None:
        """Return an unmatched movement by the PSP's id."""
        movements = await self._unmatched_movements(
            select(unmatched_movements).where(
                unmatched_movements.c.psp_settings_id == psp_settings_id,
                unmatched_movements.c.psp_id == psp_id,
            )
        )
        return movements[0] if movements else None

    async def open_unmatched_movements(
        self, psp_settings_id: str, checked_before: datetime | None = None, limit: int = 100
    ) -> list[UnmatchedMovement]:
        """List the unresolved movements of an account, least recently checked first."""
        statement = (
            select(unmatched_movements)
            .where(
                unmatched_movements.c.psp_settings_id == psp_settings_id,
                unmatched_movements.c.resolved_at.is_(None),
            )
            .order_by(unmatched_movements.c.checked_at, unmatched_movements.c.psp_id)
            .limit(limit)
        )
        if checked_before is not None:
            statement = statement.where(unmatched_movements.c.checked_at < checked_before)
        return await self._unmatched_movements(statement)

    @shielded_write
    async def update_unmatched_movement(
        self, psp_settings_id: str, psp_id: str, *, owner_id: str | None, resolved: bool
    ) -> None:
        """Record a check of a movement: its parent transaction, and whether it is resolved."""
        now = _now()
        values: dict[str, Any] = {"checked_at": now, "owner_id": owner_id}
        if resolved:
            values["resolved_at"] = now
        statement = (
            update(unmatched_movements)
            .where(
                unmatched_movements.c.psp_settings_id == psp_settings_id,
                unmatched_movements.c.psp_id == psp_id,
            )
            .values(values)
        )
        async with self._write_transaction() as connection:
            await connection.execute(statement)

    async def transactions_by_ids(
        self, merchant_id: str, psp: str, ids: Collection[str]
    ) -> list[TransactionRow]:
        """List the transactions with any of these ids, ours or the PSP's, newest first."""
        return await self._transactions(
            SELECT_TRANSACTION.where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.psp == psp,
                or_(
                    transactions.c.transaction_id.in_(ids),
                    transactions.c.psp_transaction_id.in_(ids),
                ),
            ).order_by(transactions.c.created_at.desc(), transactions.c.transaction_id.desc())
        )

    async def transactions_to_check(
        self,
        merchant_id: str,
        statuses: Collection[str],
        *,
        created_after: datetime,
        checked_before: datetime,
        limit: int,
    ) -> list[TransactionRow]:
        """List started transactions in one of the statuses, least recently compared first."""
        return await self._transactions(
            SELECT_TRANSACTION.where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.status.in_(statuses),
                transactions.c.version > 0,
                transactions.c.created_at > created_after,
                transactions.c.checked_at < checked_before,
            )
            .order_by(transactions.c.checked_at)
            .limit(limit)
        )

    @shielded_write
    async def mark_transactions_checked(
        self, merchant_id: str, transaction_ids: Collection[str]
    ) -> None:
        """Record that these transactions were compared with the PSP now."""
        statement = (
            update(transactions)
            .where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.transaction_id.in_(transaction_ids),
            )
            .values(checked_at=_now())
        )
        async with self._write_transaction() as connection:
            await connection.execute(statement)

    def _insert_progress(self, psp_settings_id: str) -> Any:
        row = {"psp_settings_id": psp_settings_id, "updated_at": _now()}
        return self._insert(reconciliation).values(row).on_conflict_do_nothing()

    async def _unmatched_movements(self, statement: Select[Any]) -> list[UnmatchedMovement]:
        async with self._read_connection() as connection:
            rows: list[RowMapping] = list((await connection.execute(statement)).mappings())
        return [UnmatchedMovement(**row) for row in rows]

    async def _transactions(self, statement: Select[Any]) -> list[TransactionRow]:
        async with self._read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]


def _now() -> datetime:
    return datetime.now(UTC)
