"""Rows that a sweep could not process: tried again ever later, and shown to operators."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, exists, func, or_, select, tuple_, update

from integrator.store.models import QuarantineEntry
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import quarantine

TRIES = 5
"""After so many failures in a row an entry is shown; what fails once often succeeds later."""

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)


class Quarantine(Repository):
    """One entry per sweep, merchant and key, until the row is processed or an operator drops it."""

    @shielded_write
    async def record_failure(self, sweep: str, merchant_id: str, key: str, reason: str) -> int:
        """Record that the sweep has failed at this row; return how often in a row it did."""
        now = datetime.now(UTC)
        entry = _is_entry(sweep, merchant_id, key)
        async with self._session.write_transaction() as connection:
            found = await connection.scalar(select(quarantine.c.tries).where(entry))
            tries = (found or 0) + 1
            values = {
                "reason": reason,
                "tries": tries,
                "failed_at": now,
                "next_at": _next(now, tries),
            }
            if found is None:
                key_values = {"sweep": sweep, "merchant_id": merchant_id, "key": key, "since": now}
                statement = self._session.insert(quarantine).values(key_values | values)
                await connection.execute(statement.on_conflict_do_nothing())
            else:
                not_dropped = quarantine.c.next_at.is_not(None)
                await connection.execute(
                    update(quarantine).where(entry, not_dropped).values(values)
                )
        return tries

    async def list_entries(
        self, merchant_id: str | None = None, *, limit: int = 100, tries: int = TRIES
    ) -> list[QuarantineEntry]:
        """List what failed `tries` times or more and was not dropped, oldest first."""
        statement = select(quarantine).where(
            quarantine.c.tries >= tries, quarantine.c.next_at.is_not(None)
        )
        if merchant_id is not None:
            statement = statement.where(quarantine.c.merchant_id == merchant_id)
        statement = statement.order_by(quarantine.c.since, quarantine.c.key).limit(limit)
        async with self._session.read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [QuarantineEntry(**row) for row in rows]

    async def count_by_sweep(self) -> dict[str, int]:
        """Count what `list_entries` lists, by sweep."""
        statement = (
            select(quarantine.c.sweep, func.count())
            .where(quarantine.c.tries >= TRIES, quarantine.c.next_at.is_not(None))
            .group_by(quarantine.c.sweep)
        )
        async with self._session.read_connection() as connection:
            rows = await connection.execute(statement)
            return {row[0]: row[1] for row in rows}

    async def list_keys(self, sweep: str) -> set[tuple[str, str]]:
        """Return merchant and key of every row at which the sweep has failed, dropped or not."""
        statement = select(quarantine.c.merchant_id, quarantine.c.key).where(
            quarantine.c.sweep == sweep
        )
        async with self._session.read_connection() as connection:
            return {(row.merchant_id, row.key) for row in await connection.execute(statement)}

    @shielded_write
    async def remove(self, sweep: str, keys: Collection[tuple[str, str]]) -> None:
        """Remove the entries of rows that the sweep has processed."""
        if not keys:
            return
        statement = delete(quarantine).where(
            quarantine.c.sweep == sweep,
            tuple_(quarantine.c.merchant_id, quarantine.c.key).in_(list(keys)),
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(statement)

    @shielded_write
    async def retry(self, merchant_id: str | None = None, key: str | None = None) -> int:
        """Let the sweeps try matching entries at once, dropped ones too; return their number."""
        return await self._change(merchant_id, key, next_at=datetime.now(UTC), tries=0)

    @shielded_write
    async def drop(self, merchant_id: str, key: str) -> int:
        """Let no sweep try these entries again; return their number."""
        return await self._change(merchant_id, key, next_at=None)

    async def _change(self, merchant_id: str | None, key: str | None, **values: Any) -> int:
        statement = update(quarantine).values(values)
        if merchant_id is not None:
            statement = statement.where(quarantine.c.merchant_id == merchant_id)
        if key is not None:
            statement = statement.where(quarantine.c.key == key)
        async with self._session.write_transaction() as connection:
            return (await connection.execute(statement)).rowcount


def is_due(
    sweep: str, merchant_id: ColumnElement[str], key: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition that the sweep may try a row now."""
    waits = or_(quarantine.c.next_at.is_(None), quarantine.c.next_at > datetime.now(UTC))
    return ~exists().where(_is_entry(sweep, merchant_id, key), waits)


def _is_entry(
    sweep: str, merchant_id: str | ColumnElement[str], key: str | ColumnElement[str]
) -> ColumnElement[bool]:
    return and_(
        quarantine.c.sweep == sweep,
        quarantine.c.merchant_id == merchant_id,
        quarantine.c.key == key,
    )


def _next(now: datetime, tries: int) -> datetime:
    doublings = min(tries - 1, 20)
    return now + min(FIRST_PAUSE * (1 << doublings), LONGEST_PAUSE)
