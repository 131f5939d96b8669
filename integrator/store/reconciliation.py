"""Progress of the reconciliation of each account at a PSP."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import or_, select, update

from integrator.store.models import ReconciliationProgress
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import reconciliation


class Reconciliation(Repository):
    """One row per account, created with its first progress."""

    async def get_progress(self, psp_settings_id: str) -> ReconciliationProgress:
        """Return the progress of an account."""
        statement = select(reconciliation.c.cursor, reconciliation.c.checked_until).where(
            reconciliation.c.psp_settings_id == psp_settings_id
        )
        async with self._session.read_connection() as connection:
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
        async with self._session.write_transaction() as connection:
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
        async with self._session.write_transaction() as connection:
            await connection.execute(self._insert_progress(psp_settings_id))
            await connection.execute(
                update(table)
                .where(
                    table.c.psp_settings_id == psp_settings_id,
                    or_(table.c.checked_until.is_(None), table.c.checked_until < until),
                )
                .values(checked_until=until, updated_at=_now())
            )

    def _insert_progress(self, psp_settings_id: str) -> Any:
        row = {"psp_settings_id": psp_settings_id, "updated_at": _now()}
        return self._session.insert(reconciliation).values(row).on_conflict_do_nothing()


def _now() -> datetime:
    return datetime.now(UTC)
