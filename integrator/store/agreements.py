"""The agreements that sign-ups open and payments charge, each with its instrument."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.data_keys import KEY_COLUMNS, DataKeys, its_key
from integrator.store.errors import NotFound
from integrator.store.models import Agreement, NewTransaction, RecordUpdate
from integrator.store.tables import agreements, data_keys

# Built once: building a statement and finding its compiled form costs as much as running it.
_ONE = (
    select(agreements, *KEY_COLUMNS)
    .select_from(agreements.outerjoin(data_keys, its_key(agreements)))
    .where(
        agreements.c.merchant_id == bindparam("merchant"),
        agreements.c.agreement_id == bindparam("agreement"),
    )
)
_NOT_SHOWN = ("wrapped", "erased_at", "sealed_snapshot", "request", "instrument")


class Agreements(DataKeys):
    """One row per (merchant, agreement id); written along with the transactions it comes from."""

    async def agreement(self, merchant_id: str, agreement_id: str) -> Agreement | None:
        async with self._reading() as connection:
            return await self._read_agreement(connection, merchant_id, agreement_id)

    async def _read_agreement(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str
    ) -> Agreement | None:
        wanted = {"merchant": merchant_id, "agreement": agreement_id}
        row = (await connection.execute(_ONE, wanted)).mappings().one_or_none()
        if row is None:
            return None
        values = self._values(row, "instrument", instrument_place(merchant_id, agreement_id))
        values["usable"] = row["usable"] and not values["erased"]
        return Agreement(**values)

    def _values(
        self, row: Mapping[Any, Any], column: str, place: tuple[str, ...]
    ) -> dict[str, Any]:
        """The values of a row that was read with its key, with one column opened."""
        values = {name: row[name] for name in row if name not in _NOT_SHOWN}
        erased = row["erased_at"] is not None
        return values | {column: self._open_column(row, column, place), "erased": erased}

    def _open_column(
        self, row: Mapping[Any, Any], column: str, place: tuple[str, ...]
    ) -> dict[str, Any] | None:
        """What a row that was read with its key has in a column; None once it was erased."""
        vault = self._vault_of(row) if row[column] else None
        return vault.open_json(row[column], *place) if vault is not None else None

    async def _open_agreement(self, connection: AsyncConnection, new: NewTransaction) -> None:
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

    async def _activate(
        self, connection: AsyncConnection, change: RecordUpdate, row: RowMapping
    ) -> None:
        merchant_id, agreement_id = change.merchant_id, row["agreement_id"]
        vault = await self._vault_for(connection, merchant_id, agreement_id)
        if vault is None:
            return
        values: dict[str, Any] = {
            "usable": True,
            # A sign-up that failed with another role may have opened the agreement.
            "role": row["role"],
            "updated_at": datetime.now(UTC),
            "transaction_id": change.transaction_id,
        }
        if row["private"] is not None:
            place = ("transactions", "private", merchant_id, change.transaction_id)
            instrument = vault.open_json(row["private"], *place).get("instrument")
            if instrument:
                target = instrument_place(merchant_id, agreement_id)
                values["instrument"] = vault.seal_json(instrument, *target)
        result = await connection.execute(
            update(agreements).where(_is_agreement(merchant_id, agreement_id)).values(values)
        )
        if result.rowcount == 0:
            raise NotFound(f"no agreement {agreement_id} of merchant {merchant_id}")


def _is_agreement(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    return and_(agreements.c.merchant_id == merchant_id, agreements.c.agreement_id == agreement_id)


def instrument_place(merchant_id: str, agreement_id: str) -> tuple[str, ...]:
    """What the instrument of an agreement is bound to."""
    return ("agreements", "instrument", merchant_id, agreement_id)
