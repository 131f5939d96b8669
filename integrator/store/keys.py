"""Keys of the key ring: their usage, a check that they decrypt, and re-encryption of all blobs."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Row, Table, and_, func, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import VERSION as DATA_KEY_VERSION
from integrator.crypto.data_keys import is_encrypted_by_data_key
from integrator.crypto.keys import DecryptionError, blob_header, blob_key_id
from integrator.store.column_encryption import ERASED
from integrator.store.models import KeyCheck, KeyUsage, ReencryptedBatch
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import (
    agreements,
    data_keys,
    decisions,
    notification_messages,
    notifications,
    psp_settings,
    transactions,
)

BATCH = 100
"""Small enough that other writers do not notice the time for which the rows are locked."""

_PAUSE_S = 0.01
"""Pause between two batches, so that on SQLite other processes get the write lock."""

_PASSES = 20
_PASS_PAUSE_S = 0.2


@dataclass(frozen=True)
class _EncryptedColumn:
    """Encrypted column, and the columns that identify a row, in the order of the blob's context."""

    column: Column[Any]
    identity: tuple[Column[Any], ...]

    @property
    def table(self) -> Table:
        return self.column.table

    @property
    def name(self) -> str:
        return f"{self.table.name}.{self.column.name}"

    def context(self, identity: Sequence[str | int]) -> tuple[str | int, ...]:
        return (self.table.name, self.column.name, *identity)


def _encrypted_columns(
    table: Table, columns: Iterable[str], identity: Iterable[str]
) -> list[_EncryptedColumn]:
    key = tuple(table.c[name] for name in identity)
    return [_EncryptedColumn(table.c[name], key) for name in columns]


ENCRYPTED_COLUMNS = [
    *_encrypted_columns(psp_settings, ["sealed_values"], ["psp_settings_id", "version"]),
    *_encrypted_columns(data_keys, ["wrapped"], ["merchant_id", "agreement_id"]),
    *_encrypted_columns(agreements, ["instrument"], ["merchant_id", "agreement_id"]),
    *_encrypted_columns(
        transactions,
        ["request", "private", "webhook_target", "sealed_snapshot"],
        ["merchant_id", "transaction_id"],
    ),
    *_encrypted_columns(notifications, ["raw", "headers"], ["psp_settings_id", "event_id"]),
    *_encrypted_columns(notification_messages, ["headers"], ["psp_settings_id", "digest"]),
    *_encrypted_columns(decisions, ["reason"], ["id"]),
]
"""All encrypted columns."""


class Keys(Repository):
    """Operations on all encrypted columns that do not block concurrent readers and writers."""

    async def list_usage(self) -> list[KeyUsage]:
        """Return the number of blobs of each key, per column."""
        return [await self._column_usage(column) for column in ENCRYPTED_COLUMNS]

    async def is_used(self, key_id: str) -> bool:
        """Return whether a value in any column is encrypted with this key of a key ring."""
        for column in ENCRYPTED_COLUMNS:
            begins = _starts_with(column.column, blob_header(key_id))
            statement = select(column.column).where(begins).limit(1)
            async with self._session.read_connection() as connection:
                if await connection.scalar(statement) is not None:
                    return True
        return False

    async def count_stale_blobs(self) -> int:
        """Count the blobs that the key ring encrypted with another key than the active one."""
        return sum([await self._count_stale(column) for column in ENCRYPTED_COLUMNS])

    async def verify(self, per_column: int = 5) -> list[KeyCheck]:
        """Decrypt a sample of each column that is not empty; `unreadable` counts the failures."""
        checks = []
        for column in ENCRYPTED_COLUMNS:
            statement = (
                select(*column.identity, column.column)
                .where(column.column.is_not(None), column.column != ERASED)
                .limit(per_column)
            )
            async with self._session.read_connection() as connection:
                rows = (await connection.execute(statement)).all()
            unreadable = [
                row for row in rows if not self._can_decrypt(column.context(row[:-1]), row)
            ]
            if rows:
                checks.append(KeyCheck(column.name, len(rows), len(unreadable)))
        return checks

    async def reencrypt(self) -> AsyncIterator[ReencryptedBatch]:
        """Re-encrypt the blobs of other keys of the ring with the active key, in batches.

        Includes wrapped data keys, but not what these encrypt. Yields after each committed batch;
        an interrupted run can be continued by another. Rows locked by others are visited again.
        Blobs that cannot be decrypted are left unchanged.
        """
        for _ in range(_PASSES):
            skipped = False
            for column in ENCRYPTED_COLUMNS:
                async for batch in self._reencrypt_column(column):
                    skipped = skipped or batch.skipped > 0
                    yield batch
                    await asyncio.sleep(_PAUSE_S)
            if not skipped:
                return
            await asyncio.sleep(_PASS_PAUSE_S)

    def _can_decrypt(self, context: tuple[str | int, ...], row: Sequence[Any]) -> bool:
        blob: bytes = row[-1]
        if is_encrypted_by_data_key(blob):
            # Its key is a blob of `data_keys.wrapped`, which is sampled, too.
            return True
        try:
            self._cipher.decrypt(blob, *context)
        except DecryptionError:
            return False
        return True

    async def _reencrypt_column(self, column: _EncryptedColumn) -> AsyncIterator[ReencryptedBatch]:
        last: Sequence[Any] | None = None
        # Only the rows that exist now: others may add more, and faster than we are.
        remaining = await self._count_stale(column)
        while remaining > 0 and (rows := await self._stale_rows(column, last)):
            remaining -= len(rows)
            last = rows[-1]
            done, unreadable = await self._reencrypt_rows(column, rows)
            yield ReencryptedBatch(
                column=column.name,
                reencrypted=done,
                skipped=len(rows) - done - unreadable,
                unreadable=unreadable,
            )

    async def _count_stale(self, column: _EncryptedColumn) -> int:
        statement = select(func.count()).where(self._is_stale(column.column))
        async with self._session.read_connection() as connection:
            return (await connection.execute(statement)).scalar_one()

    async def _stale_rows(
        self, column: _EncryptedColumn, after: Sequence[Any] | None
    ) -> list[Row[Any]]:
        """Return the next rows that are encrypted with another key."""
        statement = (
            select(*column.identity)
            .where(self._is_stale(column.column))
            .order_by(*column.identity)
            .limit(BATCH)
        )
        if after is not None:
            statement = statement.where(tuple_(*column.identity) > tuple_(*after))
        async with self._session.read_connection() as connection:
            return list(await connection.execute(statement))

    @shielded_write
    async def _reencrypt_rows(
        self, column: _EncryptedColumn, rows: Sequence[Row[Any]]
    ) -> tuple[int, int]:
        """Return how many blobs were re-encrypted and how many cannot be decrypted."""
        statement = (
            select(*column.identity, column.column)
            .where(
                tuple_(*column.identity).in_([tuple(row) for row in rows]),
                self._is_stale(column.column),
            )
            # Locked rows are skipped, so that no deadlock is possible.
            .with_for_update(key_share=True, skip_locked=True)
        )
        unreadable = 0
        async with self._session.write_transaction() as connection:
            locked = list(await connection.execute(statement))
            for *identity, blob in locked:
                context = column.context(identity)
                try:
                    reencrypted = self._cipher.encrypt(
                        self._cipher.decrypt(blob, *context), *context
                    )
                except DecryptionError:
                    unreadable += 1
                    continue
                await _update_blob(connection, column, identity, reencrypted)
        return len(locked) - unreadable, unreadable

    async def _column_usage(self, column: _EncryptedColumn) -> KeyUsage:
        ids = list(self._session.key_ids)
        async with self._session.read_connection() as connection:
            while (
                other := await connection.scalar(_blob_of_other_key(column.column, ids))
            ) is not None:
                ids.append(_read_key_id(other))
            conditions = [
                *(_starts_with(column.column, blob_header(id)) for id in ids),
                _starts_with(column.column, DATA_KEY_VERSION),
                column.column == ERASED,
            ]
            counts = select(*(func.count().filter(condition) for condition in conditions))
            *by_key, data_key, erased = (
                await connection.execute(counts.select_from(column.table))
            ).one()
        used = {id: count for id, count in zip(ids, by_key, strict=True) if count}
        return KeyUsage(column.name, used, data_key=data_key, erased=erased)

    def _is_stale(self, column: Column[Any]) -> ColumnElement[bool]:
        return and_(
            _is_encrypted_by_key_ring(column),
            ~_starts_with(column, blob_header(self._session.key_ids[0])),
        )


async def _update_blob(
    connection: AsyncConnection, column: _EncryptedColumn, identity: Sequence[Any], blob: bytes
) -> None:
    is_row = (key == value for key, value in zip(column.identity, identity, strict=True))
    statement = update(column.table).where(*is_row).values({column.column.name: blob})
    await connection.execute(statement)


def _starts_with(column: Column[Any], beginning: bytes) -> ColumnElement[bool]:
    return func.substr(column, 1, len(beginning), type_=column.type) == beginning


def _is_encrypted_by_key_ring(column: Column[Any]) -> ColumnElement[bool]:
    return and_(column.is_not(None), column != ERASED, ~_starts_with(column, DATA_KEY_VERSION))


def _blob_of_other_key(column: Column[Any], ids: Sequence[str]) -> Any:
    """Select one blob of the key ring that none of these keys has encrypted."""
    of_these_keys = or_(*(_starts_with(column, blob_header(id)) for id in ids))
    return select(column).where(_is_encrypted_by_key_ring(column), ~of_these_keys).limit(1)


def _read_key_id(blob: bytes) -> str:
    key_id = blob_key_id(blob)
    if key_id is None:
        raise DecryptionError("not an encrypted blob of a known version")
    return key_id
