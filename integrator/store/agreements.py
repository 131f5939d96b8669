"""Agreements, opened by initial preauths and charged by payments, each with its instrument."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.data_keys import KEY_COLUMNS, DataKeys, data_key_join
from integrator.store.errors import NotFound
from integrator.store.models import Agreement, NewTransaction, RecordUpdate
from integrator.store.tables import agreements, data_keys

# Built once: building a statement and finding its compiled form costs as much as running it.
_SELECT_BY_KEY = (
    select(agreements, *KEY_COLUMNS)
    .select_from(agreements.outerjoin(data_keys, data_key_join(agreements)))
    .where(
        agreements.c.merchant_id == bindparam("merchant"),
        agreements.c.agreement_id == bindparam("agreement"),
    )
)
_HIDDEN_COLUMNS = ("wrapped", "erased_at", "sealed_snapshot", "request", "instrument")


class Agreements(DataKeys):
    """One row per (merchant, agreement id); written together with transactions."""

    async def agreement(self, merchant_id: str, agreement_id: str) -> Agreement | None:
        async with self._read_connection() as connection:
            return await self._read_agreement(connection, merchant_id, agreement_id)

    async def _read_agreement(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str
    ) -> Agreement | None:
        parameters = {"merchant": merchant_id, "agreement": agreement_id}
        row = (await connection.execute(_SELECT_BY_KEY, parameters)).mappings().one_or_none()
        if row is None:
            return None
        values = self._row_values(row, "instrument", instrument_context(merchant_id, agreement_id))
        values["usable"] = row["usable"] and not values["erased"]
        return Agreement(**values)

    def _row_values(
        self, row: Mapping[Any, Any], column: str, context: tuple[str, ...]
    ) -> dict[str, Any]:
        """Return the values of a row that was read with its key, with one column decrypted."""
        values = {name: row[name] for name in row if name not in _HIDDEN_COLUMNS}
        erased = row["erased_at"] is not None
        return values | {column: self._decrypt_column(row, column, context), "erased": erased}

    def _decrypt_column(
        self, row: Mapping[Any, Any], column: str, context: tuple[str, ...]
    ) -> dict[str, Any] | None:
        """Decrypt a column of a row that was read with its key; None once it was erased."""
        cipher = self._cipher_for_row(row) if row[column] else None
        return cipher.decrypt_json(row[column], *context) if cipher is not None else None

    async def _insert_agreement(self, connection: AsyncConnection, new: NewTransaction) -> None:
        assert new.agreement is not None  # noqa: S101 - narrows the type
        row = {
            "merchant_id": new.merchant_id,
            "agreement_id": new.agreement.agreement_id,
            "role": new.agreement.role,
            "usable": False,
            "updated_at": datetime.now(UTC),
            "transaction_id": new.transaction_id,
        }
        await connection.execute(self._insert(agreements).values(row).on_conflict_do_nothing())

    async def _activate_agreement(
        self, connection: AsyncConnection, change: RecordUpdate, row: RowMapping
    ) -> None:
        merchant_id, agreement_id = change.merchant_id, row["agreement_id"]
        cipher = await self._cipher_for_agreement(connection, merchant_id, agreement_id)
        if cipher is None:
            return
        values: dict[str, Any] = {
            "usable": True,
            # A failed initial preauth with another role may have opened the agreement.
            "role": row["role"],
            "updated_at": datetime.now(UTC),
            "transaction_id": change.transaction_id,
        }
        if row["private"] is not None:
            context = ("transactions", "private", merchant_id, change.transaction_id)
            instrument = cipher.decrypt_json(row["private"], *context).get("instrument")
            if instrument:
                target = instrument_context(merchant_id, agreement_id)
                values["instrument"] = cipher.encrypt_json(instrument, *target)
        result = await connection.execute(
            update(agreements).where(_is_agreement(merchant_id, agreement_id)).values(values)
        )
        if result.rowcount == 0:
            raise NotFound(f"no agreement {agreement_id} of merchant {merchant_id}")


def _is_agreement(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    return and_(agreements.c.merchant_id == merchant_id, agreements.c.agreement_id == agreement_id)


def instrument_context(merchant_id: str, agreement_id: str) -> tuple[str, ...]:
    """Return the associated data of an agreement's instrument."""
    return ("agreements", "instrument", merchant_id, agreement_id)
