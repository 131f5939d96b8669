"""Transactions, from their first request to their last state."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from store.agreements import Agreements, instrument_place
from store.data_keys import KEY_COLUMNS, its_key
from store.errors import Erased, NotFound
from store.rows import (
    NewTransaction,
    RecordUpdate,
    TransactionKind,
    TransactionRow,
)
from store.sealing import ERASED, Vault
from store.session import to_the_end
from store.tables import agreements, data_keys, transactions

# The request is large and rarely wanted, as is what outlives it: they are read alone.
_COLUMNS = [c for c in transactions.c if c.name not in ("request", "webhook_target")]
_WITH_KEY = transactions.outerjoin(data_keys, its_key(transactions))

STORED = select(*_COLUMNS, *KEY_COLUMNS).select_from(_WITH_KEY)
"""Everything that a `TransactionRow` is made of."""
_NEWEST_FIRST = (transactions.c.created_at.desc(), transactions.c.transaction_id.desc())

# What every request needs is built once: building a statement and finding its compiled form costs
# as much as running it.
_THIS = and_(
    transactions.c.merchant_id == bindparam("merchant"),
    transactions.c.transaction_id == bindparam("transaction"),
)
_ONE = STORED.where(_THIS)
_WITH_PARTS = (
    select(*_COLUMNS, transactions.c.request, agreements.c.instrument, *KEY_COLUMNS)
    .select_from(
        _WITH_KEY.outerjoin(
            agreements,
            and_(
                agreements.c.merchant_id == transactions.c.merchant_id,
                agreements.c.agreement_id == transactions.c.agreement_id,
            ),
        )
    )
    .where(_THIS)
)
_TARGET = (
    select(
        *(transactions.c.merchant_id, transactions.c.transaction_id),
        *(transactions.c.agreement_id, transactions.c.request, transactions.c.webhook_target),
        *KEY_COLUMNS,
    )
    .select_from(_WITH_KEY)
    .where(_THIS)
)
_TOLD = update(transactions).where(_THIS).values(told_at=bindparam("at"))
_RECORD = (
    update(transactions)
    .where(_THIS, transactions.c.version <= bindparam("new_version"))
    .values(
        {
            column: bindparam(f"new_{column}")
            for column in (
                *("status", "version", "evidence", "needs_attention", "updated_at"),
                *("snapshot", "sealed_snapshot"),
            )
        }
        | {
            # One that is not known now stays as it was learned before.
            column: func.coalesce(bindparam(f"new_{column}", type_=String), transactions.c[column])
            for column in ("psp_transaction_id", "psp_session_id")
        }
    )
    .returning(transactions.c.agreement_id, transactions.c.role, transactions.c.private)
)


class Transactions(Agreements):
    """One row per (merchant, transaction id), kept for ever."""

    @cached_property
    def _opening(self) -> Any:
        return self._insert(transactions).on_conflict_do_nothing()

    @to_the_end
    async def open_transaction(self, new: NewTransaction) -> tuple[TransactionRow, bool]:
        """Insert the transaction with version 0, or return the one already there.

        The flag says whether this call inserted it: of concurrent callers exactly one does. An
        existing row is returned as it is, whatever its kind and fingerprint; comparing them is the
        caller's part. `new.agreement` is created along, not yet usable, unless it exists.

        An agreement whose data was erased takes no more money: raises `Erased`. A refund of such
        is opened, and of its request only the webhook's target is kept.
        """
        key = (new.merchant_id, new.transaction_id)
        values: dict[str, Any] = {}
        async with self._writing() as connection:
            agreement_id = await _agreement_id(connection, new)
            vault = await self._vault_for(connection, new.merchant_id, agreement_id)
            created = False
            if vault is not None or new.kind == "refund":
                values = self._new_transaction_row(new, agreement_id, vault)
                created = (await connection.execute(self._opening, values)).rowcount == 1
            if created and new.agreement is not None:
                await self._open_agreement(connection, new)
            if created:
                return _opened(new, values, erased=vault is None), True
            row = await self._read_transaction(connection, *key)
        if row is None:
            raise Erased(f"the data of agreement {agreement_id} was erased")
        return row, False

    async def transaction(self, merchant_id: str, transaction_id: str) -> TransactionRow | None:
        async with self._reading() as connection:
            return await self._read_transaction(connection, merchant_id, transaction_id)

    async def webhook_target(self, merchant_id: str, transaction_id: str) -> str:
        """The request's `webhookTarget`, which outlives the erasure.

        Raises `NotFound`, and `Erased` for the request of an earlier version that kept it there
        alone.
        """
        async with self._reading() as connection:
            found = await connection.execute(_TARGET, _named(merchant_id, transaction_id))
            row = found.mappings().one_or_none()
        if row is None:
            raise _no_transaction(merchant_id, transaction_id)
        if row["webhook_target"] is not None:
            place = _place("webhook_target", merchant_id, transaction_id)
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

    @to_the_end
    async def mark_told(self, *keys: tuple[str, str]) -> None:
        """The callers were sent an answer, or have been promised a change notification.

        `keys`: merchant and transaction id of each.
        """
        at = _now()
        async with self._writing() as connection:
            await connection.execute(_TOLD, [_named(*key) | {"at": at} for key in keys])

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

    @to_the_end
    async def record(self, change: RecordUpdate) -> bool:
        """Write a transaction's state unless a newer version is stored; say whether it was written.

        The same version is written again, so a repeat is harmless. `activate_agreement` makes the
        transaction's agreement usable in the same database transaction, with the transaction's
        instrument if it has one; not once its data was erased. Raises `NotFound` for an unknown
        transaction or agreement, and `ConstraintViolated` for a final status without evidence.
        """
        key = (change.merchant_id, change.transaction_id)
        changes = _changes(change) | self._snapshot(change.snapshot, *key)
        values = {f"new_{column}": value for column, value in changes.items()}
        async with self._writing() as connection:
            done = await connection.execute(_RECORD, _named(*key) | values)
            row = done.mappings().one_or_none()
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

        Keeps nothing once the data of its agreement was erased. Raises `NotFound`.
        """
        place = _place("private", merchant_id, transaction_id)
        given = {"instrument": instrument, "redirect": redirect}
        async with self._writing() as connection:
            # Locked, so that on PostgreSQL neither of two writers loses the other's part.
            current = select(transactions.c.agreement_id, transactions.c.private).where(
                _is(merchant_id, transaction_id)
            )
            row = (await connection.execute(current.with_for_update())).one_or_none()
            if row is None:
                raise _no_transaction(merchant_id, transaction_id)
            vault = await self._vault_for(connection, merchant_id, row.agreement_id)
            if vault is None:
                return
            private = vault.open_json(row.private, *place) if row.private else {}
            private |= {part: dict(value) for part, value in given.items() if value is not None}
            await connection.execute(
                update(transactions)
                .where(_is(merchant_id, transaction_id))
                .values(private=vault.seal_json(private, *place), updated_at=_now())
            )

    async def _read_transaction(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> TransactionRow | None:
        found = await connection.execute(_ONE, _named(merchant_id, transaction_id))
        row = found.mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    async def _read_with_parts(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> tuple[TransactionRow, dict[str, Any] | None, dict[str, Any] | None] | None:
        """The transaction, its request and its agreement's instrument; neither once erased."""
        found = await connection.execute(_WITH_PARTS, _named(merchant_id, transaction_id))
        row = found.mappings().one_or_none()
        if row is None:
            return None
        place = instrument_place(row["merchant_id"], row["agreement_id"])
        instrument = self._open_column(row, "instrument", place)
        return self._transaction_row(row), self._open_request(row), instrument

    def _open_request(self, row: RowMapping) -> dict[str, Any] | None:
        place = _place("request", row["merchant_id"], row["transaction_id"])
        return self._open_column(row, "request", place)

    async def _one_transaction(self, *conditions: ColumnElement[bool]) -> TransactionRow | None:
        statement = STORED.where(*conditions).order_by(*_NEWEST_FIRST).limit(1)
        async with self._reading() as connection:
            row = (await connection.execute(statement)).mappings().one_or_none()
        return self._transaction_row(row) if row is not None else None

    def _transaction_row(self, row: RowMapping) -> TransactionRow:
        key = (row["merchant_id"], row["transaction_id"])
        values = self._values(row, "private", _place("private", *key))
        sealed = row["sealed_snapshot"]
        if sealed is not None:
            place = _place("sealed_snapshot", *key)
            values["snapshot"] = self._vault.open(sealed, *place).decode()
        return TransactionRow(**values)

    def _snapshot(self, snapshot: str, *key: str) -> dict[str, Any]:
        sealed = self._vault.seal(snapshot.encode(), *_place("sealed_snapshot", *key))
        return {"snapshot": "", "sealed_snapshot": sealed}

    def _new_transaction_row(
        self, new: NewTransaction, agreement_id: str | None, vault: Vault | None
    ) -> dict[str, Any]:
        key = (new.merchant_id, new.transaction_id)
        now = _now()
        target = new.request.get("webhookTarget")
        fields = {key: value for key, value in vars(new).items() if key != "agreement"}
        return fields | {
            "agreement_id": agreement_id,
            "request": vault.seal_json(new.request, *_place("request", *key)) if vault else ERASED,
            "webhook_target": (
                self._vault.seal(target.encode(), *_place("webhook_target", *key))
                if target is not None
                else None
            ),
            **self._snapshot(new.snapshot, *key),
            "version": 0,
            "needs_attention": False,
            "created_at": now,
            "updated_at": now,
            "checked_at": now,
        }


def _changes(change: RecordUpdate) -> dict[str, Any]:
    return {
        "status": change.status,
        "version": change.version,
        "evidence": change.evidence,
        "needs_attention": change.needs_attention,
        "updated_at": _now(),
        "psp_transaction_id": change.psp_transaction_id,
        "psp_session_id": change.psp_session_id,
    }


async def _agreement_id(connection: AsyncConnection, new: NewTransaction) -> str | None:
    if new.agreement_id is not None or new.related_id is None:
        return new.agreement_id
    related = select(transactions.c.agreement_id).where(_is(new.merchant_id, new.related_id))
    agreement_id: str | None = await connection.scalar(related)
    return agreement_id


async def _require(connection: AsyncConnection, merchant_id: str, transaction_id: str) -> None:
    known = select(transactions.c.version).where(_is(merchant_id, transaction_id))
    if await connection.scalar(known) is None:
        raise _no_transaction(merchant_id, transaction_id)


def _opened(new: NewTransaction, values: Mapping[str, Any], *, erased: bool) -> TransactionRow:
    """The row as it was inserted just now."""
    shown: dict[str, Any] = {column.name: values.get(column.name) for column in _COLUMNS}
    del shown["sealed_snapshot"]
    return TransactionRow(**shown | {"snapshot": new.snapshot, "erased": erased})


def _named(merchant_id: str, transaction_id: str) -> dict[str, Any]:
    """The parameters of `_THIS`."""
    return {"merchant": merchant_id, "transaction": transaction_id}


def _is(merchant_id: str, transaction_id: str) -> ColumnElement[bool]:
    return and_(
        transactions.c.merchant_id == merchant_id, transactions.c.transaction_id == transaction_id
    )


def _place(column: str, merchant_id: str, transaction_id: str) -> tuple[str, ...]:
    return ("transactions", column, merchant_id, transaction_id)


def _no_transaction(merchant_id: str, transaction_id: str) -> NotFound:
    return NotFound(f"no transaction {transaction_id} of merchant {merchant_id}")


def _now() -> datetime:
    return datetime.now(UTC)
