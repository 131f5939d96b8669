"""Which keys of the key ring are in use, and sealing everything anew with the active one."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Table, and_, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import VERSION as DATA_KEY_VERSION
from integrator.crypto.keys import DecryptionError, blob_header, blob_key_id
from integrator.store.column_encryption import ERASED
from integrator.store.models import KeyUsage, Resealed
from integrator.store.session import Session, shielded_write
from integrator.store.tables import (
    agreements,
    data_keys,
    decisions,
    notifications,
    psp_settings,
    transactions,
)

BATCH = 100
"""So few rows that nobody notices the time for which they are locked."""

_PAUSE_S = 0.01
"""Between two batches, so that on SQLite the writers of other processes get their turn."""

_PASSES = 20
_PASS_PAUSE_S = 0.2


@dataclass(frozen=True)
class _Sealed:
    """A column of blobs, and the columns that identify a row, in the order of the blob's place."""

    column: Column[Any]
    identity: tuple[Column[Any], ...]

    @property
    def table(self) -> Table:
        return self.column.table

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.column.name}"

    def place(self, identity: Sequence[str | int]) -> tuple[str | int, ...]:
        return (self.table.name, self.column.name, *identity)


def _columns(table: Table, columns: Iterable[str], identity: Iterable[str]) -> list[_Sealed]:
    key = tuple(table.c[name] for name in identity)
    return [_Sealed(table.c[name], key) for name in columns]


SEALED = [
    *_columns(psp_settings, ["sealed_values"], ["psp_settings_id", "version"]),
    *_columns(data_keys, ["wrapped"], ["merchant_id", "agreement_id"]),
    *_columns(agreements, ["instrument"], ["merchant_id", "agreement_id"]),
    *_columns(
        transactions,
        ["request", "private", "webhook_target", "sealed_snapshot"],
        ["merchant_id", "transaction_id"],
    ),
    *_columns(notifications, ["raw", "headers"], ["psp_settings_id", "event_id"]),
    *_columns(decisions, ["reason"], ["id"]),
]
"""Every encrypted column."""


class Rotation(Session):
    """Both take their time and disturb nobody: others read and write meanwhile."""

    async def key_usage(self) -> list[KeyUsage]:
        """How many blobs each key has sealed, per column."""
        return [await self._usage(sealed) for sealed in SEALED]

    async def stale_blobs(self) -> int:
        """How many blobs the active key has not sealed, although it should have."""
        return sum([await self._count_stale(sealed) for sealed in SEALED])

    async def reseal(self) -> AsyncIterator[Resealed]:
        """Seal what another key of the ring has sealed with the active one, batch by batch.

        Wrapped data keys are among it; what they have sealed is not touched. Yields after each
        batch, which is then safe: who stops here goes on there. Rows that somebody else holds are
        visited again. What does not open is left as it is.
        """
        for _ in range(_PASSES):
            skipped = False
            for sealed in SEALED:
                async for batch in self._reseal_column(sealed):
                    skipped = skipped or batch.skipped > 0
                    yield batch
                    await asyncio.sleep(_PAUSE_S)
            if not skipped:
                return
            await asyncio.sleep(_PASS_PAUSE_S)

    async def _reseal_column(self, sealed: _Sealed) -> AsyncIterator[Resealed]:
        last: Sequence[Any] | None = None
        # Only what is there now: others may make more of it, and faster than we are.
        left = await self._count_stale(sealed)
        while left > 0 and (found := await self._stale(sealed, last)):
            left -= len(found)
            last = found[-1]
            done, unreadable = await self._reseal_rows(sealed, found)
            yield Resealed(
                column=sealed.name,
                resealed=done,
                skipped=len(found) - done - unreadable,
                unreadable=unreadable,
            )

    async def _count_stale(self, sealed: _Sealed) -> int:
        statement = select(func.count()).where(self._is_stale(sealed.column))
        async with self._reading() as connection:
            return (await connection.execute(statement)).scalar_one()

    async def _stale(self, sealed: _Sealed, after: Sequence[Any] | None) -> list[Row[Any]]:
        """The next rows that another key has sealed."""
        statement = (
            select(*sealed.identity)
            .where(self._is_stale(sealed.column))
            .order_by(*sealed.identity)
            .limit(BATCH)
        )
        if after is not None:
            statement = statement.where(tuple_(*sealed.identity) > tuple_(*after))
        async with self._reading() as connection:
            return list(await connection.execute(statement))

    @shielded_write
    async def _reseal_rows(self, sealed: _Sealed, rows: Sequence[Row[Any]]) -> tuple[int, int]:
        """Returns how many were sealed anew and how many do not open."""
        statement = (
            select(*sealed.identity, sealed.column)
            .where(
                tuple_(*sealed.identity).in_([tuple(row) for row in rows]),
                self._is_stale(sealed.column),
            )
            # What somebody else holds is left alone: nobody can wait for us who we wait for.
            .with_for_update(key_share=True, skip_locked=True)
        )
        unreadable = 0
        async with self._writing() as connection:
            held = list(await connection.execute(statement))
            for *identity, blob in held:
                place = sealed.place(identity)
                try:
                    anew = self._vault.seal(self._vault.open(blob, *place), *place)
                except DecryptionError:
                    unreadable += 1
                    continue
                await _replace(connection, sealed, identity, anew)
        return len(held) - unreadable, unreadable

    async def _usage(self, sealed: _Sealed) -> KeyUsage:
        ids = list(self._key_ids)
        async with self._reading() as connection:
            while (other := await connection.scalar(_of_no_key_of(sealed.column, ids))) is not None:
                ids.append(_key_id(other))
            kinds = [
                *(_begins(sealed.column, blob_header(id)) for id in ids),
                _begins(sealed.column, DATA_KEY_VERSION),
                sealed.column == ERASED,
            ]
            counts = select(*(func.count().filter(kind) for kind in kinds))
            *by_key, data_key, erased = (
                await connection.execute(counts.select_from(sealed.table))
            ).one()
        used = {id: count for id, count in zip(ids, by_key, strict=True) if count}
        return KeyUsage(sealed.name, used, data_key=data_key, erased=erased)

    def _is_stale(self, column: Column[Any]) -> ColumnElement[bool]:
        return and_(_by_the_ring(column), ~_begins(column, blob_header(self._key_ids[0])))


async def _replace(
    connection: AsyncConnection, sealed: _Sealed, identity: Sequence[Any], blob: bytes
) -> None:
    row = (column == value for column, value in zip(sealed.identity, identity, strict=True))
    statement = update(sealed.table).where(*row).values({sealed.column.name: blob})
    await connection.execute(statement)


def _begins(column: Column[Any], beginning: bytes) -> ColumnElement[bool]:
    return func.substr(column, 1, len(beginning), type_=column.type) == beginning


def _by_the_ring(column: Column[Any]) -> ColumnElement[bool]:
    return and_(column.is_not(None), column != ERASED, ~_begins(column, DATA_KEY_VERSION))


def _of_no_key_of(column: Column[Any], ids: Sequence[str]) -> Any:
    """One blob that none of these keys has sealed."""
    known = or_(*(_begins(column, blob_header(id)) for id in ids))
    return select(column).where(_by_the_ring(column), ~known).limit(1)


def _key_id(blob: bytes) -> str:
    found = blob_key_id(blob)
    if found is None:
        raise DecryptionError("not an encrypted blob of a known version")
    return found
