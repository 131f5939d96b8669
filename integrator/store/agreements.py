"""Agreements, opened by initial preauths and charged by payments, each with its instrument."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.data_keys import KEY_COLUMNS, DataKeys, data_key_join
from integrator.store.errors import NotFound
from integrator.store.models import Agreement, NewTransaction, RecordUpdate
from integrator.store.repository import Repository
from integrator.store.session import Session
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


class Agreements(Repository):
    """One row per (merchant, agreement id); written together with transactions.

    The methods with a `connection` are part of reads and writes of transactions.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._data_keys = DataKeys(session)

    async def get(self, merchant_id: str, agreement_id: str) -> Agreement | None:
        """Return an agreement."""
        async with self._session.read_connection() as connection:
            return await self.read(connection, merchant_id, agreement_id)

    async def read(
        self, connection: AsyncConnection, merchant_id: str, agreement_id: str
    ) -> Agreement | None:
        """Return an agreement, read on this connection."""
        parameters = {"merchant": merchant_id, "agreement": agreement_id}
        row = (await connection.execute(_SELECT_BY_KEY, parameters)).mappings().one_or_none()
        if row is None:
            return None
        values = {column.name: row[column.name] for column in agreements.c}
        context = instrument_context(merchant_id, agreement_id)
        values["instrument"] = self._data_keys.decrypt_column(row, "instrument", context)
        values["erased"] = row["erased_at"] is not None
        values["usable"] = row["usable"] and not values["erased"]
        return Agreement(**values)

    async def insert(self, connection: AsyncConnection, new: NewTransaction) -> None:
        """Insert the agreement that a preauth opens, not yet usable, unless it exists."""
        assert new.agreement is not None  # noqa: S101 - narrows the type
        row = {
            "merchant_id": new.merchant_id,
            "agreement_id": new.agreement.agreement_id,
            "role": new.agreement.role,
            "usable": False,
            "updated_at": datetime.now(UTC),
            "transaction_id": new.transaction_id,
        }
        await connection.execute(
            self._session.insert(agreements).values(row).on_conflict_do_nothing()
        )

    async def activate(
        self, connection: AsyncConnection, change: RecordUpdate, row: RowMapping
    ) -> None:
        """Make the agreement of a transaction usable, with the instrument in its `row`.

        Does nothing once its data was erased; raises `NotFound`.
        """
        merchant_id, agreement_id = change.merchant_id, row["agreement_id"]
        cipher = await self._data_keys.cipher_for_agreement(connection, merchant_id, agreement_id)
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
