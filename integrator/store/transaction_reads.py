"""Transactions as they are read: alone, with what belongs to each, and in lists."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.agreements import Agreements, instrument_place
from integrator.store.data_keys import KEY_COLUMNS, its_key
from integrator.store.errors import Erased, NotFound
from integrator.store.models import TransactionKind, TransactionRow
from integrator.store.tables import agreements, data_keys, transactions

# The request is large and rarely wanted, as is what outlives it: they are read alone.
COLUMNS = [c for c in transactions.c if c.name not in ("request", "webhook_target")]
ITS_AGREEMENT = and_(
    agreements.c.merchant_id == transactions.c.merchant_id,
    agreements.c.agreement_id == transactions.c.agreement_id,
)
"""How transactions are joined with their agreements."""
_WITH_KEY = transactions.outerjoin(data_keys, its_key(transactions))

STORED = select(*COLUMNS, *KEY_COLUMNS).select_from(_WITH_KEY)
"""Everything that a `TransactionRow` is made of."""
_NEWEST_FIRST = (transactions.c.created_at.desc(), transactions.c.transaction_id.desc())

# What every request needs is built once: building a statement and finding its compiled form costs
# as much as running it.
THIS = and_(
    transactions.c.merchant_id == bindparam("merchant"),
    transactions.c.transaction_id == bindparam("transaction"),
)
"""The one transaction that the parameters name; `named` makes them."""
_ONE = STORED.where(THIS)
_WITH_PARTS = (
    select(*COLUMNS, transactions.c.request, agreements.c.instrument, *KEY_COLUMNS)
    .select_from(_WITH_KEY.outerjoin(agreements, ITS_AGREEMENT))
    .where(THIS)
)
_TARGET = (
    select(
        *(transactions.c.merchant_id, transactions.c.transaction_id),
        *(transactions.c.agreement_id, transactions.c.request, transactions.c.webhook_target),
        *KEY_COLUMNS,
    )
    .select_from(_WITH_KEY)
    .where(THIS)
)


class TransactionReads(Agreements):
    """One row per (merchant, transaction id), kept for ever."""

    async def transaction(self, merchant_id: str, transaction_id: str) -> TransactionRow | None:
        async with self._reading() as connection:
            return await self._read_transaction(connection, merchant_id, transaction_id)

    async def webhook_target(self, merchant_id: str, transaction_id: str) -> str:
        """The request's `webhookTarget`, which outlives the erasure.

        Raises `NotFound`, and `Erased` for the request of an earlier version that kept it there
        alone.
        """
        async with self._reading() as connection:
            found = await connection.execute(_TARGET, named(merchant_id, transaction_id))
            row = found.mappings().one_or_none()
        if row is None:
            raise no_transaction(merchant_id, transaction_id)
        if row["webhook_target"] is not None:
            place = column_place("webhook_target", merchant_id, transaction_id)
            return self._vault.open(row["webhook_target"], *place).decode()
        request = self._open_request(row)
        if request is None:
            raise Erased(f"the request of {transaction_id} was erased")
        target: str = request["webhookTarget"]
        return target

    async def find_transaction(
        self, merchant_id: str, *, psp: str, reference: str | None, psp_ids: Sequence[str]
    ) -> TransactionRow | None:
        """The transaction a PSP speaks of: by our own id first, then by the PSP's ids.

        Of several that carry one of the PSP's ids (transaction or session) the newest is meant.
        """
        own = and_(transactions.c.merchant_id == merchant_id, transactions.c.psp == psp)
        if reference is not None:
            ours = await self._one_transaction(own, transactions.c.transaction_id == reference)
            if ours is not None:
                return ours
        if not psp_ids:
            return None
        return await self._one_transaction(
            own,
            or_(
                transactions.c.psp_transaction_id.in_(psp_ids),
                transactions.c.psp_session_id.in_(psp_ids),
            ),
        )

    async def list_transactions(
        self,
        merchant_id: str | None = None,
        kind: TransactionKind | None = None,
        statuses: Collection[str] | None = None,
        related_id: str | None = None,
        limit: int = 100,
    ) -> list[TransactionRow]:
        """The newest transactions that meet all given conditions, newest first."""
        statement = STORED.order_by(*_NEWEST_FIRST).limit(limit)
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        if kind is not None:
            statement = statement.where(transactions.c.kind == kind)
        if statuses is not None:
            statement = statement.where(transactions.c.status.in_(statuses))
        if related_id is not None:
            statement = statement.where(transactions.c.related_id == related_id)
        async with self._reading() as connection:
            return [
                self._transaction_row(row)
                for row in (await connection.execute(statement)).mappings()
            ]

    async def unstarted_transactions(
        self, older_than: datetime, limit: int = 100
    ) -> list[TransactionRow]:
        """Transactions opened before `older_than` of which no state was ever recorded."""
        statement = (
            STORED.where(transactions.c.version == 0, transactions.c.created_at < older_than)
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    async def untold_transactions(
        self, older_than: datetime, limit: int = 100
    ) -> list[TransactionRow]:
        """Transactions opened before `older_than`, begun, whose caller got no answer."""
        statement = (
            STORED.where(
                transactions.c.told_at.is_(None),
                transactions.c.version > 0,
                transactions.c.created_at < older_than,
            )
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    async def _read_transaction(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> TransactionRow | None:
        found = await connection.execute(_ONE, named(merchant_id, transaction_id))
        row = found.mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    async def _read_with_parts(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> tuple[TransactionRow, dict[str, Any] | None, dict[str, Any] | None] | None:
        """The transaction, its request and its agreement's instrument; neither once erased."""
        found = await connection.execute(_WITH_PARTS, named(merchant_id, transaction_id))
        row = found.mappings().one_or_none()
        if row is None:
            return None
        return self._transaction_row(row), self._open_request(row), self._open_instrument(row)

    def _open_instrument(self, row: Mapping[Any, Any]) -> dict[str, Any] | None:
        """Of a row that was read with its agreement's instrument."""
        place = instrument_place(row["merchant_id"], row["agreement_id"])
        return self._open_column(row, "instrument", place)

    def _open_request(self, row: Mapping[Any, Any]) -> dict[str, Any] | None:
        place = column_place("request", row["merchant_id"], row["transaction_id"])
        return self._open_column(row, "request", place)

    async def _one_transaction(self, *conditions: ColumnElement[bool]) -> TransactionRow | None:
        statement = STORED.where(*conditions).order_by(*_NEWEST_FIRST).limit(1)
        async with self._reading() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    def _transaction_row(self, row: Mapping[Any, Any]) -> TransactionRow:
        key = (row["merchant_id"], row["transaction_id"])
        values = self._values(row, "private", column_place("private", *key))
        sealed = row["sealed_snapshot"]
        if sealed is not None:
            place = column_place("sealed_snapshot", *key)
            values["snapshot"] = self._vault.open(sealed, *place).decode()
        return TransactionRow(**values)


def named(merchant_id: str, transaction_id: str) -> dict[str, Any]:
    """The parameters of `THIS`."""
    return {"merchant": merchant_id, "transaction": transaction_id}


def column_place(column: str, merchant_id: str, transaction_id: str) -> tuple[str, ...]:
    """What a sealed column of a transaction is bound to."""
    return ("transactions", column, merchant_id, transaction_id)


def no_transaction(merchant_id: str, transaction_id: str) -> NotFound:
    return NotFound(f"no transaction {transaction_id} of merchant {merchant_id}")
