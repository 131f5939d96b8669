"""Lists of transactions for operators, and for the jobs that compare or recover them."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, text, tuple_

from integrator.crypto.keys import DecryptionError
from integrator.store.deliveries import delivery_state
from integrator.store.models import (
    PageCursor,
    TransactionFilter,
    TransactionKind,
    TransactionRow,
    TransactionSummary,
    UnreadableRow,
)
from integrator.store.quarantine import is_due
from integrator.store.repository import Repository
from integrator.store.session import Session
from integrator.store.tables import (
    LOOKUP_FAILED,
    OPEN_DELIVERY,
    UNDECIDED,
    WORK_DUE,
    deliveries,
    merchants,
    transactions,
)
from integrator.store.transaction_decoder import (
    NEWEST_FIRST,
    SELECT_TRANSACTION,
    TransactionDecoder,
    is_transaction,
)

ORPHANS = "orphans"
"""Sweep that starts what was never started, and announces what no caller received."""

_PAGE_ORDER = (
    transactions.c.created_at,
    transactions.c.transaction_id,
    transactions.c.merchant_id,
)
_SUMMARY_COLUMNS = [
    transactions.c[name]
    for name in TransactionSummary.__dataclass_fields__
    if name not in ("webhook", "due_date")
]


class SweptRows(list[TransactionRow]):
    """Rows for a sweep; `unreadable` are those that are left out, `last` is where they end."""

    def __init__(self) -> None:
        super().__init__()
        self.unreadable: list[UnreadableRow] = []
        self.last: PageCursor | None = None

    def add(self, other: "SweptRows") -> None:
        """Add the rows of another list that are not in this one, and its unreadable ones."""
        known = {(row.merchant_id, row.transaction_id) for row in self}
        self.extend(row for row in other if (row.merchant_id, row.transaction_id) not in known)
        self.unreadable.extend(other.unreadable)


class TransactionSearch(Repository):
    """Reads of several transactions; each uses an index."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._decoder = TransactionDecoder(session)

    async def list_summaries(
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
        async with self._session.read_connection() as connection:
            result = await connection.execute(statement.where(*_conditions(criteria, webhook)))
            return result.scalar_one()

    async def list_related(
        self, row: TransactionRow | TransactionSummary
    ) -> list[TransactionSummary]:
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

    async def list_open_descendants(
        self, row: TransactionRow, limit: int = 100
    ) -> list[TransactionRow]:
        """List the captures and refunds of a transaction that the PSP has not decided.

        Without those that are only being created: their workflow asks the PSP itself.
        """
        of_merchant = transactions.c.merchant_id == row.merchant_id
        children = select(transactions.c.transaction_id).where(
            of_merchant, transactions.c.related_id == row.transaction_id
        )
        statement = SELECT_TRANSACTION.where(
            of_merchant,
            or_(
                transactions.c.related_id == row.transaction_id,
                transactions.c.related_id.in_(children),
            ),
            text(UNDECIDED),
            or_(transactions.c.version > 0, transactions.c.status == "Pending"),
        )
        return await self._rows(statement.order_by(*_PAGE_ORDER).limit(limit))

    async def list_by_any_id(
        self, name: str, merchant_id: str | None = None
    ) -> list[TransactionRow]:
        """List the transactions with this id: ours, the PSP's, or the external id.

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
            for row in await self._rows(SELECT_TRANSACTION.where(condition)):
                rows[row.merchant_id, row.transaction_id] = row
        return sorted(rows.values(), key=lambda row: row.created_at, reverse=True)

    async def list_by_ids(
        self, merchant_id: str, psp: str, ids: Collection[str]
    ) -> list[TransactionRow]:
        """List the transactions with any of these ids, ours or the PSP's, newest first."""
        return await self._rows(
            SELECT_TRANSACTION.where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.psp == psp,
                or_(
                    transactions.c.transaction_id.in_(ids),
                    transactions.c.psp_transaction_id.in_(ids),
                ),
            ).order_by(*NEWEST_FIRST)
        )

    async def list_needing_attention(
        self, merchant_id: str | None = None, limit: int = 100
    ) -> list[TransactionRow]:
        """List transactions that need attention, oldest first."""
        statement = SELECT_TRANSACTION.where(transactions.c.needs_attention)
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        return await self._rows(statement.order_by(*_PAGE_ORDER).limit(limit))

    async def list_unstarted(self, older_than: datetime, limit: int = 100) -> SweptRows:
        """List transactions opened before `older_than` without any recorded state.

        Those whose caller was answered Pending are among the undecided ones.
        """
        statement = (
            SELECT_TRANSACTION.where(
                transactions.c.version == 0,
                transactions.c.status == "Initiated",
                transactions.c.created_at < older_than,
                is_due(ORPHANS, transactions.c.merchant_id, transactions.c.transaction_id),
            )
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        return await self._swept_rows(statement)

    async def list_unanswered(self, older_than: datetime, limit: int = 100) -> SweptRows:
        """List started transactions opened before `older_than` whose caller got no response."""
        statement = (
            SELECT_TRANSACTION.where(
                transactions.c.told_at.is_(None),
                transactions.c.version > 0,
                transactions.c.created_at < older_than,
                is_due(ORPHANS, transactions.c.merchant_id, transactions.c.transaction_id),
            )
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        return await self._swept_rows(statement)

    async def list_failed_lookup_accounts(self) -> list[tuple[str, str]]:
        """List PSP and settings id of the accounts that left look-ups without an answer."""
        statement = (
            select(transactions.c.psp, transactions.c.psp_settings_id)
            .where(text(LOOKUP_FAILED))
            .distinct()
        )
        async with self._session.read_connection() as connection:
            rows = await connection.execute(statement)
            return [(row.psp, row.psp_settings_id) for row in rows]

    async def list_failed_lookups(self, psp_settings_id: str, limit: int) -> list[TransactionRow]:
        """List transactions of an account whose last look-up had no answer, longest ago first."""
        return await self._rows(
            SELECT_TRANSACTION.where(
                text(LOOKUP_FAILED), transactions.c.psp_settings_id == psp_settings_id
            )
            .order_by(transactions.c.lookup_failed_at)
            .limit(limit)
        )

    async def list_with_work_due(
        self, unchanged_since: datetime, *, after: PageCursor | None, limit: int
    ) -> SweptRows:
        """List one page of the transactions with work due, oldest first.

        That is a change notification, the information of the parent transaction, or a void.
        """
        return await self._swept_rows(
            SELECT_TRANSACTION.where(
                text(f"({WORK_DUE})"),
                transactions.c.updated_at < unchanged_since,
                *_after(after),
            )
            .order_by(*_PAGE_ORDER)
            .limit(limit)
        )

    async def list_undecided(
        self, unchanged_since: datetime, *, after: PageCursor | None, limit: int
    ) -> SweptRows:
        """List one page of the undecided transactions, oldest first."""
        return await self._swept_rows(
            SELECT_TRANSACTION.where(
                text(UNDECIDED),
                transactions.c.updated_at < unchanged_since,
                *_after(after),
            )
            .order_by(*_PAGE_ORDER)
            .limit(limit)
        )

    async def list_to_check(
        self,
        merchant_id: str,
        statuses: Collection[str],
        *,
        created_after: datetime,
        checked_before: datetime,
        limit: int,
    ) -> SweptRows:
        """List started transactions in one of the statuses, least recently compared first."""
        return await self._swept_rows(
            SELECT_TRANSACTION.where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.status.in_(statuses),
                transactions.c.version > 0,
                transactions.c.created_at > created_after,
                transactions.c.checked_at < checked_before,
            )
            .order_by(transactions.c.checked_at)
            .limit(limit)
        )

    async def list_page(self, after: PageCursor | None, limit: int = 500) -> list[TransactionRow]:
        """List one page of all transactions, oldest first."""
        statement = SELECT_TRANSACTION.where(*_after(after)).order_by(*_PAGE_ORDER).limit(limit)
        return await self._rows(statement)

    async def list_newest(
        self,
        merchant_id: str | None = None,
        kind: TransactionKind | None = None,
        statuses: Collection[str] | None = None,
        related_id: str | None = None,
        limit: int = 100,
    ) -> list[TransactionRow]:
        """List the newest transactions that match all conditions, newest first."""
        statement = SELECT_TRANSACTION.order_by(*NEWEST_FIRST).limit(limit)
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        if kind is not None:
            statement = statement.where(transactions.c.kind == kind)
        if statuses is not None:
            statement = statement.where(transactions.c.status.in_(statuses))
        if related_id is not None:
            statement = statement.where(transactions.c.related_id == related_id)
        return await self._rows(statement)

    async def _related_id(self, merchant_id: str, transaction_id: str) -> str | None:
        statement = select(transactions.c.related_id).where(
            is_transaction(merchant_id, transaction_id)
        )
        async with self._session.read_connection() as connection:
            related_id: str | None = await connection.scalar(statement)
        return related_id

    async def _rows(self, statement: Select[Any]) -> list[TransactionRow]:
        async with self._session.read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._decoder.transaction(row) for row in rows]

    async def _swept_rows(self, statement: Select[Any]) -> SweptRows:
        """Return the rows of a sweep: one that cannot be read must not hide the others."""
        swept = SweptRows()
        async with self._session.read_connection() as connection:
            for row in (await connection.execute(statement)).mappings():
                position = (row["created_at"], row["transaction_id"], row["merchant_id"])
                swept.last = PageCursor(*position)
                try:
                    swept.append(self._decoder.transaction(row))
                except (DecryptionError, ValueError, LookupError) as error:
                    key = (row["merchant_id"], row["transaction_id"])
                    swept.unreadable.append(UnreadableRow(*key, type(error).__name__))
        return swept

    async def _summaries(self, statement: Select[Any]) -> list[TransactionSummary]:
        async with self._session.read_connection() as connection:
            return [
                TransactionSummary(**row)
                for row in (await connection.execute(statement)).mappings()
            ]


def _after(position: PageCursor | None) -> list[ColumnElement[bool]]:
    if position is None:
        return []
    start = tuple_(position.created_at, position.transaction_id, position.merchant_id)
    return [tuple_(*_PAGE_ORDER) > start]


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
    if criteria.waiting:
        yield table.send_at.is_not(None)
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
