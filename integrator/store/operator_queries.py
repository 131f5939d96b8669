"""What operators ask of the books: lists, what belongs together, and what waits for a person."""

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

from integrator.store.deliveries import standing
from integrator.store.models import (
    Backlog,
    Filter,
    NotificationSummary,
    PageCursor,
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
    strays,
    transactions,
)
from integrator.store.transaction_reads import STORED, TransactionReads

_PLACE = (
    transactions.c.created_at,
    transactions.c.transaction_id,
    transactions.c.merchant_id,
)
_LISTED = [
    transactions.c[name] for name in TransactionSummary.__dataclass_fields__ if name != "webhook"
]


class OperatorQueries(TransactionReads):
    """Reads for people and programs at the command line, never slower than an index allows."""

    async def named(self, name: str, merchant_id: str | None = None) -> list[TransactionRow]:
        """Every transaction that this is an id of: ours, the PSP's, or the one Billwerk+ is shown.

        Newest first; those of all merchants unless one is given.
        """
        own = (
            transactions.c.merchant_id == merchant_id
            if merchant_id is not None
            # Said like this, so that the indexes that begin with the merchant serve.
            else transactions.c.merchant_id.in_(select(merchants.c.id))
        )
        columns = ("transaction_id", "psp_transaction_id", "psp_session_id")
        found: dict[tuple[str, str], TransactionRow] = {}
        for condition in (
            *(and_(own, transactions.c[column] == name) for column in columns),
            and_(own, transactions.c.external_id == name),
        ):
            for row in await self._rows(STORED.where(condition)):
                found[row.merchant_id, row.transaction_id] = row
        return sorted(found.values(), key=lambda row: row.created_at, reverse=True)

    async def search(
        self,
        wanted: Filter,
        *,
        after: PageCursor | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> list[TransactionSummary]:
        """The transactions that meet all conditions, newest first, those behind `after` only."""
        now = datetime.now(UTC)
        last = _last_standing(now)
        statement = select(*_LISTED, last.label("webhook")).where(*_conditions(wanted, last))
        if after is not None:
            place = tuple_(after.created_at, after.transaction_id, after.merchant_id)
            here = tuple_(*_PLACE)
            statement = statement.where(here > place if oldest_first else here < place)
        order = _PLACE if oldest_first else [column.desc() for column in _PLACE]
        return await self._listed(statement.order_by(*order).limit(limit))

    async def count(self, wanted: Filter) -> int:
        """How many transactions meet all conditions."""
        last = _last_standing(datetime.now(UTC))
        statement = select(func.count()).select_from(transactions)
        async with self._reading() as connection:
            found = await connection.execute(statement.where(*_conditions(wanted, last)))
            return found.scalar_one()

    async def related(self, row: TransactionRow | TransactionSummary) -> list[TransactionSummary]:
        """The preauth and the payment that it came from, and what came from it; oldest first."""
        ids = {row.transaction_id}
        ancestor = row.related_id
        while ancestor is not None and ancestor not in ids:
            ids.add(ancestor)
            ancestor = await self._related_id(row.merchant_id, ancestor)
        descendants = select(transactions.c.transaction_id).where(
            transactions.c.merchant_id == row.merchant_id,
            transactions.c.related_id == row.transaction_id,
        )
        statement = select(*_LISTED, _last_standing(datetime.now(UTC)).label("webhook")).where(
            transactions.c.merchant_id == row.merchant_id,
            or_(
                transactions.c.transaction_id.in_(ids - {row.transaction_id}),
                transactions.c.transaction_id.in_(descendants),
                transactions.c.related_id.in_(descendants),
            ),
        )
        return await self._listed(statement.order_by(*_PLACE))

    async def received(
        self, merchant_id: str, transaction_id: str, limit: int = 100
    ) -> list[NotificationSummary]:
        """The PSP's notifications about a transaction, newest first."""
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
        async with self._reading() as connection:
            return [
                NotificationSummary(**row)
                for row in (await connection.execute(statement)).mappings()
            ]

    async def needing_attention(
        self, merchant_id: str | None = None, limit: int = 100
    ) -> list[TransactionRow]:
        """Transactions that ask a person to look, oldest first."""
        statement = STORED.where(transactions.c.needs_attention)
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        return await self._rows(statement.order_by(*_PLACE).limit(limit))

    async def unplaced(
        self, merchant_id: str | None = None, limit: int = 100
    ) -> list[UnmatchedMovement]:
        """Movements that nobody asked for and nobody has dealt with, oldest first."""
        statement = select(strays).where(strays.c.resolved_at.is_(None))
        if merchant_id is not None:
            account = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
            statement = statement.where(strays.c.psp_settings_id.in_(account))
        statement = statement.order_by(strays.c.seen_at, strays.c.psp_id).limit(limit)
        async with self._reading() as connection:
            return [
                UnmatchedMovement(**row) for row in (await connection.execute(statement)).mappings()
            ]

    async def page(self, after: PageCursor | None, limit: int = 500) -> list[TransactionRow]:
        """All transactions, oldest first, page by page."""
        statement = STORED.order_by(*_PLACE).limit(limit)
        if after is not None:
            place = tuple_(after.created_at, after.transaction_id, after.merchant_id)
            statement = statement.where(tuple_(*_PLACE) > place)
        return await self._rows(statement)

    @shielded_write
    async def set_attention(self, row: TransactionRow, *, needed: bool) -> None:
        """Correct the mark of a transaction, unless it was recorded anew meanwhile."""
        statement = (
            update(transactions)
            .where(
                transactions.c.merchant_id == row.merchant_id,
                transactions.c.transaction_id == row.transaction_id,
                transactions.c.version == row.version,
            )
            .values(needs_attention=needed)
        )
        async with self._writing() as connection:
            await connection.execute(statement)

    async def backlog(self, merchant_id: str | None = None) -> Backlog:
        """What waits, of one merchant or of all."""
        now = datetime.now(UTC)
        account = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
        of = {
            table.name: [] if merchant_id is None else [table.c.merchant_id == merchant_id]
            for table in (transactions, deliveries)
        }
        of["strays"] = [] if merchant_id is None else [strays.c.psp_settings_id.in_(account)]
        on_its_way = standing(now) == "delivering"
        open_ones = text(OPEN_DELIVERY)
        return Backlog(
            *await self._waiting(transactions.c.created_at, text(UNDECIDED), *of["transactions"]),
            *await self._waiting(
                transactions.c.created_at, transactions.c.needs_attention, *of["transactions"]
            ),
            *await self._waiting(strays.c.seen_at, strays.c.resolved_at.is_(None), *of["strays"]),
            *await self._waiting(
                deliveries.c.began_at, open_ones, on_its_way, _is_last(), *of["deliveries"]
            ),
            *await self._waiting(
                deliveries.c.began_at, open_ones, ~on_its_way, _is_last(), *of["deliveries"]
            ),
        )

    async def _waiting(
        self, since: ColumnElement[datetime], *conditions: Any
    ) -> tuple[int, datetime | None]:
        statement = select(func.count(), func.min(since)).where(*conditions)
        async with self._reading() as connection:
            count, oldest = (await connection.execute(statement)).one()
        return count, oldest

    async def _related_id(self, merchant_id: str, transaction_id: str) -> str | None:
        statement = select(transactions.c.related_id).where(
            transactions.c.merchant_id == merchant_id,
            transactions.c.transaction_id == transaction_id,
        )
        async with self._reading() as connection:
            found: str | None = await connection.scalar(statement)
        return found

    async def _rows(self, statement: Select[Any]) -> list[TransactionRow]:
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    async def _listed(self, statement: Select[Any]) -> list[TransactionSummary]:
        async with self._reading() as connection:
            return [
                TransactionSummary(**row)
                for row in (await connection.execute(statement)).mappings()
            ]


def _conditions(wanted: Filter, last: ColumnElement[str]) -> Iterator[ColumnElement[bool]]:
    table = transactions.c
    for column in (table.merchant_id, table.kind, table.agreement_id):
        value = getattr(wanted, column.name)
        if value is not None:
            yield column == value
    if wanted.statuses:
        yield table.status.in_(wanted.statuses)
    if wanted.psp_id is not None:
        yield or_(table.psp_transaction_id == wanted.psp_id, table.psp_session_id == wanted.psp_id)
    yield from _between(table.created_at, wanted.since, wanted.until)
    if wanted.attention:
        yield table.needs_attention
    if wanted.attempted_since is not None or wanted.attempted_until is not None:
        yield _attempted(wanted.attempted_since, wanted.attempted_until)
    if wanted.webhook is not None:
        yield last == wanted.webhook
        if wanted.webhook != "delivered":
            # The index of what is on its way or was given up leads to few transactions.
            yield _has_open_delivery()


def _last_standing(now: datetime) -> ColumnElement[str]:
    return (
        select(standing(now))
        .where(
            deliveries.c.merchant_id == transactions.c.merchant_id,
            deliveries.c.transaction_id == transactions.c.transaction_id,
        )
        .order_by(deliveries.c.version.desc())
        .limit(1)
        .scalar_subquery()
    )


def _has_open_delivery() -> ColumnElement[bool]:
    with_one = select(deliveries.c.merchant_id, deliveries.c.transaction_id).where(
        text(f"deliveries.{OPEN_DELIVERY}")
    )
    return tuple_(transactions.c.merchant_id, transactions.c.transaction_id).in_(with_one)


def _between(
    column: ColumnElement[datetime], since: datetime | None, until: datetime | None
) -> Iterator[ColumnElement[bool]]:
    if since is not None:
        yield column >= since
    if until is not None:
        yield column < until


def _attempted(since: datetime | None, until: datetime | None) -> ColumnElement[bool]:
    found = select(deliveries.c.merchant_id, deliveries.c.transaction_id).where(
        *_between(deliveries.c.last_attempt_at, since, until)
    )
    return tuple_(transactions.c.merchant_id, transactions.c.transaction_id).in_(found)


def _is_last() -> ColumnElement[bool]:
    later = deliveries.alias()
    return ~exists().where(
        later.c.merchant_id == deliveries.c.merchant_id,
        later.c.transaction_id == deliveries.c.transaction_id,
        later.c.version > deliveries.c.version,
    )
