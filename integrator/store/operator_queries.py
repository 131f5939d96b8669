"""Queries for operators: lists, related transactions, and items that need attention."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    exists,
    func,
    or_,
    select,
    text,
    tuple_,
    update,
)

from integrator.store.deliveries import delivery_state
from integrator.store.models import (
    Backlog,
    NotificationSummary,
    PageCursor,
    TransactionFilter,
    TransactionRow,
    TransactionSummary,
    UnmatchedMovement,
)
from integrator.store.session import shielded_write
from integrator.store.tables import (
    OPEN_DELIVERY,
    UNDECIDED,
    deliveries,
    merchants,
    notifications,
    transactions,
    unmatched_movements,
)
from integrator.store.transaction_reads import SELECT_TRANSACTION, TransactionReads

_PAGE_ORDER = (
    transactions.c.created_at,
    transactions.c.transaction_id,
    transactions.c.merchant_id,
)
_SUMMARY_COLUMNS = [
    transactions.c[name] for name in TransactionSummary.__dataclass_fields__ if name != "webhook"
]


class OperatorQueries(TransactionReads):
    """Reads for the command line; each uses an index."""

    async def find_by_any_id(
        self, name: str, merchant_id: str | None = None
    ) -> list[TransactionRow]:
        """Find all transactions with this id: ours, the PSP's, or the external id.

        Newest first; of all merchants unless one is given.
        """
        of_merchant = (
            transactions.c.merchant_id == merchant_id
            if merchant_id is not None
            # Written this way so that the indexes that begin with the merchant can be used.
            else transactions.c.merchant_id.in_(select(merchants.c.id))
        )
        columns = ("transaction_id", "psp_transaction_id", "psp_session_id")
        rows: dict[tuple[str, str], TransactionRow] = {}
        for condition in (
            *(and_(of_merchant, transactions.c[column] == name) for column in columns),
            and_(of_merchant, transactions.c.external_id == name),
        ):
            for row in await self._transaction_rows(SELECT_TRANSACTION.where(condition)):
                rows[row.merchant_id, row.transaction_id] = row
        return sorted(rows.values(), key=lambda row: row.created_at, reverse=True)

    async def search(
        self,
        criteria: TransactionFilter,
        *,
        after: PageCursor | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> list[TransactionSummary]:
        """List transactions that match all conditions, newest first, starting after `after`."""
        now = datetime.now(UTC)
        webhook = _last_delivery_state(now)
        statement = select(*_SUMMARY_COLUMNS, webhook.label("webhook")).where(
            *_conditions(criteria, webhook)
        )
        if after is not None:
            start = tuple_(after.created_at, after.transaction_id, after.merchant_id)
            position = tuple_(*_PAGE_ORDER)
            statement = statement.where(position > start if oldest_first else position < start)
        order = _PAGE_ORDER if oldest_first else [column.desc() for column in _PAGE_ORDER]
        return await self._summaries(statement.order_by(*order).limit(limit))

    async def count(self, criteria: TransactionFilter) -> int:
        """Count the transactions that match all conditions."""
        webhook = _last_delivery_state(datetime.now(UTC))
        statement = select(func.count()).select_from(transactions)
        async with self._read_connection() as connection:
            result = await connection.execute(statement.where(*_conditions(criteria, webhook)))
            return result.scalar_one()

    async def related(self, row: TransactionRow | TransactionSummary) -> list[TransactionSummary]:
        """List the ancestors (payment, preauth) and descendants of a transaction, oldest first."""
        ids = {row.transaction_id}
        ancestor = row.related_id
        while ancestor is not None and ancestor not in ids:
            ids.add(ancestor)
            ancestor = await self._related_id(row.merchant_id, ancestor)
        descendants = select(transactions.c.transaction_id).where(
            transactions.c.merchant_id == row.merchant_id,
            transactions.c.related_id == row.transaction_id,
        )
        statement = select(
            *_SUMMARY_COLUMNS, _last_delivery_state(datetime.now(UTC)).label("webhook")
        ).where(
            transactions.c.merchant_id == row.merchant_id,
            or_(
                transactions.c.transaction_id.in_(ids - {row.transaction_id}),
                transactions.c.transaction_id.in_(descendants),
                transactions.c.related_id.in_(descendants),
            ),
        )
        return await self._summaries(statement.order_by(*_PAGE_ORDER))

    async def notification_summaries(
        self, merchant_id: str, transaction_id: str, limit: int = 100
    ) -> list[NotificationSummary]:
        """List the PSP's notifications about a transaction, newest first."""
        columns = [notifications.c[name] for name in NotificationSummary.__dataclass_fields__]
        statement = (
            select(*columns)
            .where(
                notifications.c.merchant_id == merchant_id,
                notifications.c.transaction_id == transaction_id,
            )
            .order_by(notifications.c.received_at.desc(), notifications.c.id.desc())
            .limit(limit)
        )
        async with self._read_connection() as connection:
            return [
                NotificationSummary(**row)
                for row in (await connection.execute(statement)).mappings()
            ]

    async def needing_attention(
        self, merchant_id: str | None = None, limit: int = 100
    ) -> list[TransactionRow]:
        """List transactions that need attention, oldest first."""
        statement = SELECT_TRANSACTION.where(transactions.c.needs_attention)
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        return await self._transaction_rows(statement.order_by(*_PAGE_ORDER).limit(limit))

    async def list_unmatched_movements(
        self, merchant_id: str | None = None, limit: int = 100
    ) -> list[UnmatchedMovement]:
        """List unmatched movements that are not resolved, oldest first."""
        statement = select(unmatched_movements).where(unmatched_movements.c.resolved_at.is_(None))
        if merchant_id is not None:
            account = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
            statement = statement.where(unmatched_movements.c.psp_settings_id.in_(account))
        statement = statement.order_by(
            unmatched_movements.c.seen_at, unmatched_movements.c.psp_id
        ).limit(limit)
        async with self._read_connection() as connection:
            return [
                UnmatchedMovement(**row) for row in (await connection.execute(statement)).mappings()
            ]

    async def page(self, after: PageCursor | None, limit: int = 500) -> list[TransactionRow]:
        """List one page of all transactions, oldest first."""
        statement = SELECT_TRANSACTION.order_by(*_PAGE_ORDER).limit(limit)
        if after is not None:
            start = tuple_(after.created_at, after.transaction_id, after.merchant_id)
            statement = statement.where(tuple_(*_PAGE_ORDER) > start)
        return await self._transaction_rows(statement)

    @shielded_write
    async def set_attention(self, row: TransactionRow, *, needed: bool) -> None:
        """Correct the attention mark of a transaction, unless a newer state was recorded."""
        statement = (
            update(transactions)
            .where(
                transactions.c.merchant_id == row.merchant_id,
                transactions.c.transaction_id == row.transaction_id,
                transactions.c.version == row.version,
            )
            .values(needs_attention=needed)
        )
        async with self._write_transaction() as connection:
            await connection.execute(statement)

    async def backlog(self, merchant_id: str | None = None) -> Backlog:
        """Count the open items of one merchant or of all."""
        now = datetime.now(UTC)
        account = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
        conditions = {
            table.name: [] if merchant_id is None else [table.c.merchant_id == merchant_id]
            for table in (transactions, deliveries)
        }
        conditions["strays"] = (
            [] if merchant_id is None else [unmatched_movements.c.psp_settings_id.in_(account)]
        )
        delivering = delivery_state(now) == "delivering"
        is_open = text(OPEN_DELIVERY)
        return Backlog(
            *await self._count_and_oldest(
                transactions.c.created_at, text(UNDECIDED), *conditions["transactions"]
            ),
            *await self._count_and_oldest(
                transactions.c.created_at,
                transactions.c.needs_attention,
                *conditions["transactions"],
            ),
            *await self._count_and_oldest(
                unmatched_movements.c.seen_at,
                unmatched_movements.c.resolved_at.is_(None),
                *conditions["strays"],
            ),
            *await self._count_and_oldest(
                deliveries.c.began_at,
                is_open,
                delivering,
                _is_last_version(),
                *conditions["deliveries"],
            ),
            *await self._count_and_oldest(
                deliveries.c.began_at,
                is_open,
                ~delivering,
                _is_last_version(),
                *conditions["deliveries"],
            ),
        )

    async def _count_and_oldest(
        self, since: ColumnElement[datetime], *conditions: Any
    ) -> tuple[int, datetime | None]:
        statement = select(func.count(), func.min(since)).where(*conditions)
        async with self._read_connection() as connection:
            count, oldest = (await connection.execute(statement)).one()
        return count, oldest

    async def _related_id(self, merchant_id: str, transaction_id: str) -> str | None:
        statement = select(transactions.c.related_id).where(
            transactions.c.merchant_id == merchant_id,
            transactions.c.transaction_id == transaction_id,
        )
        async with self._read_connection() as connection:
            related_id: str | None = await connection.scalar(statement)
        return related_id

    async def _transaction_rows(self, statement: Select[Any]) -> list[TransactionRow]:
        async with self._read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    async def _summaries(self, statement: Select[Any]) -> list[TransactionSummary]:
        async with self._read_connection() as connection:
            return [
                TransactionSummary(**row)
                for row in (await connection.execute(statement)).mappings()
            ]


def _conditions(
    criteria: TransactionFilter, webhook: ColumnElement[str]
) -> Iterator[ColumnElement[bool]]:
    table = transactions.c
    for column in (table.merchant_id, table.kind, table.agreement_id):
        value = getattr(criteria, column.name)
        if value is not None:
            yield column == value
    if criteria.statuses:
        yield table.status.in_(criteria.statuses)
    if criteria.psp_id is not None:
        yield or_(
            table.psp_transaction_id == criteria.psp_id, table.psp_session_id == criteria.psp_id
        )
    yield from _between(table.created_at, criteria.since, criteria.until)
    if criteria.attention:
        yield table.needs_attention
    if criteria.attempted_since is not None or criteria.attempted_until is not None:
        yield _attempted_between(criteria.attempted_since, criteria.attempted_until)
    if criteria.webhook is not None:
        yield webhook == criteria.webhook
        if criteria.webhook != "delivered":
            # The index of deliveries that are not delivered selects few transactions.
            yield _has_open_delivery()


def _last_delivery_state(now: datetime) -> ColumnElement[str]:
    return (
        select(delivery_state(now))
        .where(
            deliveries.c.merchant_id == transactions.c.merchant_id,
            deliveries.c.transaction_id == transactions.c.transaction_id,
        )
        .order_by(deliveries.c.version.desc())
        .limit(1)
        .scalar_subquery()
    )


def _has_open_delivery() -> ColumnElement[bool]:
    open_deliveries = select(deliveries.c.merchant_id, deliveries.c.transaction_id).where(
        text(f"deliveries.{OPEN_DELIVERY}")
    )
    return tuple_(transactions.c.merchant_id, transactions.c.transaction_id).in_(open_deliveries)


def _between(
    column: ColumnElement[datetime], since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if since is not None:
        yield column >= since
    if until is not None:
        yield column < until


def _attempted_between(since: datetime | None, until: datetime | None) -> ColumnElement[bool]:
    attempted = select(deliveries.c.merchant_id, deliveries.c.transaction_id).where(
        *_between(deliveries.c.last_attempt_at, since, until)
    )
    return tuple_(transactions.c.merchant_id, transactions.c.transaction_id).in_(attempted)


def _is_last_version() -> ColumnElement[bool]:
    later = deliveries.alias()
    return ~exists().where(
        later.c.merchant_id == deliveries.c.merchant_id,
        later.c.transaction_id == deliveries.c.transaction_id,
        later.c.version > deliveries.c.version,
    )
