"""Movements at a PSP that none of our transactions requested."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, select, update

from integrator.store.models import NewUnmatchedMovement, UnmatchedMovement
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import merchants, unmatched_movements


class UnmatchedMovements(Repository):
    """One row per movement, kept after it was resolved."""

    @shielded_write
    async def add(self, new: NewUnmatchedMovement) -> bool:
        """Store an unmatched movement; return False when it is stored already."""
        now = _now()
        row = vars(new) | {"seen_at": now, "checked_at": now}
        async with self._session.write_transaction() as connection:
            statement = (
                self._session.insert(unmatched_movements).values(row).on_conflict_do_nothing()
            )
            return (await connection.execute(statement)).rowcount == 1

    async def get(self, psp_settings_id: str, psp_id: str) -> UnmatchedMovement | None:
        """Return an unmatched movement by the PSP's id."""
        movements = await self._rows(
            select(unmatched_movements).where(_is_movement(psp_settings_id, psp_id))
        )
        return movements[0] if movements else None

    async def list_open(
        self, merchant_id: str | None = None, limit: int = 100
    ) -> list[UnmatchedMovement]:
        """List unmatched movements that are not resolved, oldest first."""
        statement = select(unmatched_movements).where(unmatched_movements.c.resolved_at.is_(None))
        if merchant_id is not None:
            account = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
            statement = statement.where(unmatched_movements.c.psp_settings_id.in_(account))
        statement = statement.order_by(
            unmatched_movements.c.seen_at, unmatched_movements.c.psp_id
        ).limit(limit)
        return await self._rows(statement)

    async def list_open_by_account(
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
        return await self._rows(statement)

    @shielded_write
    async def record_check(
        self, psp_settings_id: str, psp_id: str, *, owner_id: str | None, resolved: bool
    ) -> None:
        """Record a check of a movement: its parent transaction, and whether it is resolved."""
        now = _now()
        values: dict[str, Any] = {"checked_at": now, "owner_id": owner_id}
        if resolved:
            values["resolved_at"] = now
        statement = (
            update(unmatched_movements).where(_is_movement(psp_settings_id, psp_id)).values(values)
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(statement)

    @shielded_write
    async def resolve(self, psp_settings_id: str, psp_id: str) -> bool:
        """Mark a movement as resolved; return False when it is unknown or already resolved."""
        statement = (
            update(unmatched_movements)
            .where(
                _is_movement(psp_settings_id, psp_id),
                unmatched_movements.c.resolved_at.is_(None),
            )
            .values(resolved_at=_now())
        )
        async with self._session.write_transaction() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def _rows(self, statement: Select[Any]) -> list[UnmatchedMovement]:
        async with self._session.read_connection() as connection:
            rows: list[RowMapping] = list((await connection.execute(statement)).mappings())
        return [UnmatchedMovement(**row) for row in rows]


def _is_movement(psp_settings_id: str, psp_id: str) -> ColumnElement[bool]:
    return and_(
        unmatched_movements.c.psp_settings_id == psp_settings_id,
        unmatched_movements.c.psp_id == psp_id,
    )


def _now() -> datetime:
    return datetime.now(UTC)
