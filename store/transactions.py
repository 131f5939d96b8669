"""Transactions and the agreements they open, charge and renew."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.errors import NotFound
from store.rows import (
    Agreement,
    NewTransaction,
    RecordUpdate,
    TransactionKind,
    TransactionRow,
)
from store.session import Session, to_the_end
from store.tables import agreements, transactions

# The request is large and rarely wanted: `Transactions.request` reads it alone.
COLUMNS = [column for column in transactions.c if column.name != "request"]
_NEWEST_FIRST = (transactions.c.created_at.desc(), transactions.c.transaction_id.desc())


class Transactions(Session):
    """One row per (merchant, transaction id), kept for ever."""

    @to_the_end
    async def open_transaction(self, new: NewTransaction) -> tuple[TransactionRow, bool]:
        """Insert the transaction with version 0, or return the one already there.

        The flag says whether this call inserted it: of concurrent callers exactly one does. An
        existing row is returned as it is, whatever its kind and fingerprint; comparing them is the
        caller's part. `new.agreement` is created along, not yet usable, unless it exists.
        """
        key = (new.merchant_id, new.transaction_id)
        async with self._writing() as connection:
            statement = self._insert(transactions).values(self._new_transaction_row(new))
            result = await connection.execute(statement.on_conflict_do_nothing())
            created = result.rowcount == 1
            if created and new.agreement is not None:
                await self._open_agreement(connection, new)
            found = await connection.execute(select(*COLUMNS).where(_is(*key)))
            row = found.mappings().one()
        return self._transaction_row(row), created

    async def transaction(self, merchant_id: str, transaction_id: str) -> TransactionRow | None:
        return await self._one_transaction(_is(merchant_id, transaction_id))

    async def request(self, merchant_id: str, transaction_id: str) -> dict[str, Any]:
        """The request that opened the transaction; raises `NotFound`."""
        statement = select(transactions.c.request).where(_is(merchant_id, transaction_id))
        async with self._reading() as connection:
            blob = await connection.scalar(statement)
        if blob is None:
            raise _no_transaction(merchant_id, transaction_id)
        return self._vault.open_json(blob, *_place("request", merchant_id, transaction_id))

    async def find_transaction(
        self, merchant_id: str, *, psp: str, reference: str | None, psp_ids: Sequence[str]
    ) -> TransactionRow | None:
        """The transaction a PSP speaks of: by our own id first, then by the PSP's ids.

        Of several that carry one of the PSP's ids (transaction or session) the newest is meant.
        """
        own = and_(transactions.c.merchant_id == merchant_id, transactions.c.psp == psp)
        if reference is not None:
            named = await self._one_transaction(own, transactions.c.transaction_id == reference)
            if named is not None:
                return named
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
        statement = select(*COLUMNS).order_by(*_NEWEST_FIRST).limit(limit)
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
            select(*COLUMNS)
            .where(transactions.c.version == 0, transactions.c.created_at < older_than)
            .order_by(transactions.c.created_at)
            .limit(limit)
        )
        async with self._reading() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [self._transaction_row(row) for row in rows]

    @to_the_end
    async def mark_told(self, merchant_id: str, transaction_id: str) -> None:
        """The caller was sent an answer, or has been promised a change notification."""
        statement = (
            update(transactions).where(_is(merchant_id, transaction_id)).values(told_at=_now())
        )
        async with self._writing() as connection:
            await connection.execute(statement)

    async def untold_transactions(
        self, older_than: datetime, limit: int = 100
    ) -> list[TransactionRow]:
        """Transactions opened before `older_than`, begun, whose caller got no answer."""
        statement = (
            select(*COLUMNS)
            .where(
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

    @to_the_end
    async def record(self, change: RecordUpdate) -> bool:
        """Write a transaction's state unless a newer version is stored; say whether it was written.

        The same version is written again, so a repeat is harmless. `activate_agreement` makes the
        transaction's agreement usable in the same database transaction, with the transaction's
        instrument if it has one. Raises `NotFound` for an unknown transaction or agreement, and
        `ConstraintViolated` for a final status without evidence.
        """
        key = (change.merchant_id, change.transaction_id)
        statement = (
            update(transactions)
            .where(_is(*key), transactions.c.version <= change.version)
            .values(_changes(change))
            .returning(transactions.c.agreement_id, transactions.c.role, transactions.c.private)
        )
        async with self._writing() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
            if row is None:
                await _require(connection, *key)
                return False
            if change.activate_agreement:
                await self._activate(connection, change, row)
        return True

    @to_the_end
    async def save_private(
        self,
        merchant_id: str,
        transaction_id: str,
        *,
        instrument: Mapping[str, Any] | None = None,
        redirect: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace the given parts of the transaction's private data; None leaves a part as it is.

        Raises `NotFound`.
        """
        place = _place("private", merchant_id, transaction_id)
        given = {"instrument": instrument, "redirect": redirect}
        async with self._writing() as connection:
            # Locked, so that on PostgreSQL neither of two writers loses the other's part.
            current = select(transactions.c.private).where(_is(merchant_id, transaction_id))
            row = (await connection.execute(current.with_for_update())).one_or_none()
            if row is None:
                raise _no_transaction(merchant_id, transaction_id)
            private = self._vault.open_json(row.private, *place) if row.private else {}
            private |= {part: dict(value) for part, value in given.items() if value is not None}
            await connection.execute(
                update(transactions)
                .where(_is(merchant_id, transaction_id))
                .values(private=self._vault.seal_json(private, *place), updated_at=_now())
            )

    async def agreement(self, merchant_id: str, agreement_id: str) -> Agreement | None:
        statement = select(agreements).where(_is_agreement(merchant_id, agreement_id))
        async with self._reading() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        if row is None:
            return None
        place = _agreement_place(merchant_id, agreement_id)
        blob = row["instrument"]
        instrument = self._vault.open_json(blob, *place) if blob is not None else None
        return Agreement(**{**row, "instrument": instrument})

    async def _one_transaction(self, *conditions: ColumnElement[bool]) -> TransactionRow | None:
        statement = select(*COLUMNS).where(*conditions).order_by(*_NEWEST_FIRST).limit(1)
        async with self._reading() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    def _transaction_row(self, row: RowMapping) -> TransactionRow:
        place = _place("private", row["merchant_id"], row["transaction_id"])
        blob = row["private"]
        private = self._vault.open_json(blob, *place) if blob is not None else None
        return TransactionRow(**{**row, "private": private})

    def _new_transaction_row(self, new: NewTransaction) -> dict[str, Any]:
        place = _place("request", new.merchant_id, new.transaction_id)
        now = _now()
        fields = {key: value for key, value in vars(new).items() if key != "agreement"}
        return fields | {
            "request": self._vault.seal_json(new.request, *place),
            "version": 0,
            "created_at": now,
            "updated_at": now,
            "checked_at": now,
        }

    async def _open_agreement(self, connection: AsyncConnection, new: NewTransaction) -> None:
        assert new.agreement is not None  # noqa: S101 - narrows the type
        row = {
            "merchant_id": new.merchant_id,
            "agreement_id": new.agreement.agreement_id,
            "role": new.agreement.role,
            "usable": False,
            "updated_at": _now(),
            "transaction_id": new.transaction_id,
        }
        await connection.execute(self._insert(agreements).values(row).on_conflict_do_nothing())

    async def _activate(
        self, connection: AsyncConnection, change: RecordUpdate, row: RowMapping
    ) -> None:
        merchant_id, agreement_id = change.merchant_id, row["agreement_id"]
        values: dict[str, Any] = {
            "usable": True,
            # A sign-up that failed with another role may have opened the agreement.
            "role": row["role"],
            "updated_at": _now(),
            "transaction_id": change.transaction_id,
        }
        if row["private"] is not None:
            place = _place("private", merchant_id, change.transaction_id)
            instrument = self._vault.open_json(row["private"], *place).get("instrument")
            if instrument:
                target = _agreement_place(merchant_id, agreement_id)
                values["instrument"] = self._vault.seal_json(instrument, *target)
        result = await connection.execute(
            update(agreements).where(_is_agreement(merchant_id, agreement_id)).values(values)
        )
        if result.rowcount == 0:
            raise NotFound(f"no agreement {agreement_id} of merchant {merchant_id}")


def _changes(change: RecordUpdate) -> dict[str, Any]:
    values: dict[str, Any] = {
        "status": change.status,
        "version": change.version,
        "snapshot": change.snapshot,
        "evidence": change.evidence,
        "updated_at": _now(),
    }
    ids = {
        "psp_transaction_id": change.psp_transaction_id,
        "psp_session_id": change.psp_session_id,
    }
    return values | {column: id for column, id in ids.items() if id is not None}


async def _require(connection: AsyncConnection, merchant_id: str, transaction_id: str) -> None:
    known = select(transactions.c.version).where(_is(merchant_id, transaction_id))
    if await connection.scalar(known) is None:
        raise _no_transaction(merchant_id, transaction_id)


def _is(merchant_id: str, transaction_id: str) -> ColumnElement[bool]:
    return and_(
        transactions.c.merchant_id == merchant_id, transactions.c.transaction_id == transaction_id
    )


def _is_agreement(merchant_id: str, agreement_id: str) -> ColumnElement[bool]:
    return and_(agreements.c.merchant_id == merchant_id, agreements.c.agreement_id == agreement_id)


def _place(column: str, merchant_id: str, transaction_id: str) -> tuple[str, ...]:
    return ("transactions", column, merchant_id, transaction_id)


def _agreement_place(merchant_id: str, agreement_id: str) -> tuple[str, ...]:
    return ("agreements", "instrument", merchant_id, agreement_id)


def _no_transaction(merchant_id: str, transaction_id: str) -> NotFound:
    return NotFound(f"no transaction {transaction_id} of merchant {merchant_id}")


def _now() -> datetime:
    return datetime.now(UTC)
