"""Read transactions: one, one with its request and instrument, or lists."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.agreements import Agreements, instrument_context
from integrator.store.data_keys import KEY_COLUMNS, data_key_join
from integrator.store.errors import Erased, NotFound
from integrator.store.models import TransactionKind, TransactionRow
from integrator.store.tables import agreements, data_keys, transactions

# The request and the webhook target are rarely needed, and large: they are read separately.
COLUMNS = [c for c in transactions.c if c.name not in ("request", "webhook_target")]
AGREEMENT_JOIN = and_(
    agreements.c.merchant_id == transactions.c.merchant_id,
    agreements.c.agreement_id == transactions.c.agreement_id,
)
"""Join condition of transactions and their agreements."""
_WITH_DATA_KEY = transactions.outerjoin(data_keys, data_key_join(transactions))

SELECT_TRANSACTION = select(*COLUMNS, *KEY_COLUMNS).select_from(_WITH_DATA_KEY)
"""Selects all columns of a `TransactionRow`."""
_NEWEST_FIRST = (transactions.c.created_at.desc(), transactions.c.transaction_id.desc())

# Statements of every request are built once: building one and finding its compiled form costs as
# much as running it.
BY_KEY = and_(
    transactions.c.merchant_id == bindparam("merchant"),
    transactions.c.transaction_id == bindparam("transaction"),
)
"""Matches one transaction; `key_parameters` returns the parameters."""
_SELECT_BY_KEY = SELECT_TRANSACTION.where(BY_KEY)
_SELECT_WITH_REQUEST = (
    select(*COLUMNS, transactions.c.request, agreements.c.instrument, *KEY_COLUMNS)
    .select_from(_WITH_DATA_KEY.outerjoin(agreements, AGREEMENT_JOIN))
    .where(BY_KEY)
)
_SELECT_WEBHOOK_TARGET = (
    select(
        *(transactions.c.merchant_id, transactions.c.transaction_id),
        *(transactions.c.agreement_id, transactions.c.request, transactions.c.webhook_target),
        *KEY_COLUMNS,
    )
    .select_from(_WITH_DATA_KEY)
    .where(BY_KEY)
)


class TransactionReads(Agreements):
    """One row per (merchant, transaction id), never deleted."""

    async def transaction(self, merchant_id: str, transaction_id: str) -> TransactionRow | None:
        async with self._read_connection() as connection:
            return await self._read_transaction(connection, merchant_id, transaction_id)

    async def webhook_target(self, merchant_id: str, transaction_id: str) -> str:
        """Return the request's `webhookTarget`, which is kept after an erasure.

        Raises `NotFound`, and `Erased` for an erased row of an earlier version, which stored the
        target in the request only.
        """
        async with self._read_connection() as connection:
            result = await connection.execute(
                _SELECT_WEBHOOK_TARGET, key_parameters(merchant_id, transaction_id)
            )
            row = result.mappings().one_or_none()
        if row is None:
            raise transaction_not_found(merchant_id, transaction_id)
        if row["webhook_target"] is not None:
            context = column_context("webhook_target", merchant_id, transaction_id)
            return self._cipher.decrypt(row["webhook_target"], *context).decode()
        request = self._decrypt_request(row)
        if request is None:
            raise Erased(f"the request of {transaction_id} was erased")
        target: str = request["webhookTarget"]
        return target

    async def find_transaction(
        self, merchant_id: str, *, psp: str, reference: str | None, psp_ids: Sequence[str]
    ) -> TransactionRow | None:
        """Find the transaction of a PSP's object: by our own id first, then by the PSP's ids.

        Returns the newest of several with one of the PSP's ids (transaction or session).
        """
        of_merchant = and_(transactions.c.merchant_id == merchant_id, transactions.c.psp == psp)
        if reference is not None:
            transaction = await self._first_transaction(
                of_merchant, transactions.c.transaction_id == reference
            )
            if transaction is not None:
                return transaction
        if not psp_ids:
            return None
        return await self._first_transaction(
            of_merchant,
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
        """List the newest transactions that match all conditions, newest first."""
        statement = SELECT_TRANSACTION.order_by(*_NEWEST_FIRST).limit(limit)
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        if kind is not None:
            statement = statement.where(transactions.c.kind == kind)
        if statuses is not None:
            statement = statement.where(transactions.c.status.in_(statuses))
        if related_id is not None:
            statement = statement.where(transactions.c.related_id == related_id)
        async with self._read_connection() as connection:
            return [
                self._transaction_row(row)
                for row in (await connection.execute(statement)).mappings()
            ]

    async def unstarted_transactions(
        self, older_than: datetime, limit: int = 100
    ) -> list[TransactionRow]:
        """List transactions opened before `older_than` without any recorded state."""
        statement = (
            SELECT_TRANSACTION.where(
                transactions.c.version == 0, transactions.c.created_at < older_than
            )
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        async with self._read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    async def unanswered_transactions(
        self, older_than: datetime, limit: int = 100
    ) -> list[TransactionRow]:
        """List started transactions opened before `older_than` whose caller got no response."""
        statement = (
            SELECT_TRANSACTION.where(
                transactions.c.told_at.is_(None),
                transactions.c.version > 0,
                transactions.c.created_at < older_than,
            )
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        async with self._read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    async def _read_transaction(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> TransactionRow | None:
        result = await connection.execute(
            _SELECT_BY_KEY, key_parameters(merchant_id, transaction_id)
        )
        row = result.mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    async def _read_with_request(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> tuple[TransactionRow, dict[str, Any] | None, dict[str, Any] | None] | None:
        """Return the transaction, its request and the instrument; the latter None once erased."""
        result = await connection.execute(
            _SELECT_WITH_REQUEST, key_parameters(merchant_id, transaction_id)
        )
        row = result.mappings().one_or_none()
        if row is None:
            return None
        return self._transaction_row(row), self._decrypt_request(row), self._decrypt_instrument(row)

    def _decrypt_instrument(self, row: Mapping[Any, Any]) -> dict[str, Any] | None:
        """Decrypt the instrument of a row that was read with its agreement."""
        context = instrument_context(row["merchant_id"], row["agreement_id"])
        return self._decrypt_column(row, "instrument", context)

    def _decrypt_request(self, row: Mapping[Any, Any]) -> dict[str, Any] | None:
        context = column_context("request", row["merchant_id"], row["transaction_id"])
        return self._decrypt_column(row, "request", context)

    async def _first_transaction(self, *conditions: ColumnElement[bool]) -> TransactionRow | None:
        statement = SELECT_TRANSACTION.where(*conditions).order_by(*_NEWEST_FIRST).limit(1)
        async with self._read_connection() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    def _transaction_row(self, row: Mapping[Any, Any]) -> TransactionRow:
        key = (row["merchant_id"], row["transaction_id"])
        values = self._row_values(row, "private", column_context("private", *key))
        snapshot = row["sealed_snapshot"]
        if snapshot is not None:
            context = column_context("sealed_snapshot", *key)
            values["snapshot"] = self._cipher.decrypt(snapshot, *context).decode()
        return TransactionRow(**values)


def key_parameters(merchant_id: str, transaction_id: str) -> dict[str, Any]:
    """Return the parameters of `BY_KEY`."""
    return {"merchant": merchant_id, "transaction": transaction_id}


def column_context(column: str, merchant_id: str, transaction_id: str) -> tuple[str, ...]:
    """Return the associated data of an encrypted column of a transaction."""
    return ("transactions", column, merchant_id, transaction_id)


def transaction_not_found(merchant_id: str, transaction_id: str) -> NotFound:
    return NotFound(f"no transaction {transaction_id} of merchant {merchant_id}")
