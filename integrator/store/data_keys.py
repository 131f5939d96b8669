"""Every agreement has a data key of its own, which the key ring wraps.

Keys are not cached: a row is always read together with its key, so that an erasure takes effect in
every process with the next read. Who writes holds the key until its transaction ends, so that no
key is destroyed while somebody is about to use it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, select
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import new_key
from integrator.store.column_encryption import ColumnCipher
from integrator.store.session import Session
from integrator.store.tables import data_keys

KEY_COLUMNS = (data_keys.c.wrapped, data_keys.c.erased_at)
"""To be read along with whatever a data key may have sealed."""

_HELD = (
    select(*KEY_COLUMNS)
    .where(
        data_keys.c.merchant_id == bindparam("merchant"),
        data_keys.c.agreement_id == bindparam("agreement"),
    )
    # Others may read it and wrap it anew, but not destroy it.
    .with_for_update(read=True, key_share=True)
)


class DataKeys(Session):
    """From an agreement to the vault of its data; None once it was erased."""

    def _vault_of(self, row: Mapping[Any, Any]) -> ColumnCipher | None:
        """For what stands in a row that was read with `KEY_COLUMNS`."""
        if row["erased_at"] is not None:
            return None
        if row["wrapped"] is None:  # older than data keys, or of no agreement
            return self._vault
        return self._unwrapped(row["wrapped"], row["merchant_id"], row["agreement_id"])

    async def _vault_for(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str | None
    ) -> ColumnCipher | None:
        """For what is to be written on this connection; makes the key unless there is one.

        Without an agreement the key ring itself seals.
        """
        if agreement_id is None:
            return self._vault
        wanted = {"merchant": merchant_id, "agreement": agreement_id}
        found = (await connection.execute(_HELD, wanted)).one_or_none()
        if found is None:
            made = await self._make(connection, merchant_id, agreement_id)
            if made is not None:
                return made
            found = (await connection.execute(_HELD, wanted)).one()
        if found.erased_at is not None:
            return None
        return self._unwrapped(found.wrapped, merchant_id, agreement_id)

    async def _make(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str
    ) -> ColumnCipher | None:
        """None when somebody else was faster."""
        key = new_key()
        row = {
            "merchant_id": merchant_id,
            "agreement_id": agreement_id,
            "wrapped": self._vault.seal(key, *_place(merchant_id, agreement_id)),
            "created_at": datetime.now(UTC),
        }
        statement = self._insert(data_keys).values(row).on_conflict_do_nothing()
        made = (await connection.execute(statement)).rowcount == 1
        return self._vault.inner(key) if made else None

    def _unwrapped(self, wrapped: bytes, merchant_id: str, agreement_id: str) -> ColumnCipher:
        return self._vault.inner(self._vault.open(wrapped, *_place(merchant_id, agreement_id)))


def is_key_of(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    """The row of an agreement's data key."""
    return and_(data_keys.c.merchant_id == merchant_id, data_keys.c.agreement_id == agreement_id)


def its_key(table: Table) -> ColumnElement[bool]:
    """How rows of a table are joined with the data keys of their agreements."""
    return and_(
        data_keys.c.merchant_id == table.c.merchant_id,
        data_keys.c.agreement_id == table.c.agreement_id,
    )


def _place(merchant_id: str, agreement_id: str) -> tuple[str, ...]:
    return ("data_keys", "wrapped", merchant_id, agreement_id)
