"""Data keys: one per agreement, wrapped by the key ring.

Keys are not cached: a row is always read together with its key, so that an erasure takes effect in
every process with the next read. A writer locks the key until its database transaction ends, so
that no key is destroyed while it is in use.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import generate_data_key
from integrator.store.column_encryption import ColumnCipher
from integrator.store.repository import Repository
from integrator.store.tables import data_keys

KEY_COLUMNS = (data_keys.c.wrapped, data_keys.c.erased_at)
"""Columns to select together with any column that a data key may have encrypted."""

_SELECT_FOR_SHARE = (
    select(*KEY_COLUMNS)
    .where(
        data_keys.c.merchant_id == bindparam("merchant"),
        data_keys.c.agreement_id == bindparam("agreement"),
    )
    # Others may read it and wrap it again, but not destroy it.
    .with_for_update(read=True, key_share=True)
)


class DataKeys(Repository):
    """Ciphers for the data of agreements; None for an agreement whose data was erased."""

    def cipher_for_row(self, row: Mapping[Any, Any]) -> ColumnCipher | None:
        """Return the cipher for a row that was read with `KEY_COLUMNS`."""
        if row["erased_at"] is not None:
            return None
        if row["wrapped"] is None:  # older than data keys, or without an agreement
            return self._cipher
        return self._unwrap(row["wrapped"], row["merchant_id"], row["agreement_id"])

    async def cipher_for_agreement(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str | None
    ) -> ColumnCipher | None:
        """Return the cipher for values written on this connection; creates a missing data key.

        Without an agreement this is the cipher of the key ring.
        """
        if agreement_id is None:
            return self._cipher
        parameters = {"merchant": merchant_id, "agreement": agreement_id}
        row = (await connection.execute(_SELECT_FOR_SHARE, parameters)).one_or_none()
        if row is None:
            cipher = await self._create_key(connection, merchant_id, agreement_id)
            if cipher is not None:
                return cipher
            row = (await connection.execute(_SELECT_FOR_SHARE, parameters)).one()
        if row.erased_at is not None:
            return None
        return self._unwrap(row.wrapped, merchant_id, agreement_id)

    def decrypt_column(
        self, row: Mapping[Any, Any], column: str, context: tuple[str, ...]
    ) -> dict[str, Any] | None:
        """Decrypt a column of a row that was read with `KEY_COLUMNS`; None once it was erased."""
        cipher = self.cipher_for_row(row) if row[column] else None
        return cipher.decrypt_json(row[column], *context) if cipher is not None else None

    async def _create_key(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str
    ) -> ColumnCipher | None:
        """Insert a new data key; return None when another process has inserted one."""
        key = generate_data_key()
        row = {
            "merchant_id": merchant_id,
            "agreement_id": agreement_id,
            "wrapped": self._cipher.encrypt(key, *_context(merchant_id, agreement_id)),
            "created_at": datetime.now(UTC),
        }
        statement = self._session.insert(data_keys).values(row).on_conflict_do_nothing()
        created = (await connection.execute(statement)).rowcount == 1
        return self._cipher.with_data_key(key) if created else None

    def _unwrap(self, wrapped: bytes, merchant_id: str, agreement_id: str) -> ColumnCipher:
        return self._cipher.with_data_key(
            self._cipher.decrypt(wrapped, *_context(merchant_id, agreement_id))
        )


def is_data_key_of(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    """Match the row of an agreement's data key."""
    return and_(data_keys.c.merchant_id == merchant_id, data_keys.c.agreement_id == agreement_id)


def data_key_join(table: Table) -> ColumnElement[bool]:
    """Return the join condition of a table and the data keys of its agreements."""
    return and_(
        data_keys.c.merchant_id == table.c.merchant_id,
        data_keys.c.agreement_id == table.c.agreement_id,
    )


def _context(merchant_id: str, agreement_id: str) -> tuple[str, ...]:
    return ("data_keys", "wrapped", merchant_id, agreement_id)
