"""Transactions: inserted once, then read by their ids, and updated."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    String,
    and_,
    bindparam,
    case,
    func,
    or_,
    select,
    text,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.agreements import Agreements
from integrator.store.column_encryption import ERASED, ColumnCipher
from integrator.store.data_keys import KEY_COLUMNS, DataKeys
from integrator.store.errors import Erased
from integrator.store.merchants import Merchants
from integrator.store.models import (
    DUE_PARENT,
    NewTransaction,
    PspCallData,
    RecordUpdate,
    RequestLookup,
    TransactionRow,
)
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import UNDECIDED, agreements, transactions
from integrator.store.transaction_decoder import (
    AGREEMENT_JOIN,
    BY_KEY,
    COLUMNS,
    NEWEST_FIRST,
    SELECT_TRANSACTION,
    WITH_DATA_KEY,
    TransactionDecoder,
    column_context,
    is_transaction,
    key_parameters,
    transaction_not_found,
)
from integrator.store.types import UtcDateTime

_IDS_PER_STATEMENT = 500

# Built once: building a statement and finding its compiled form costs as much as running it.
_SELECT_BY_KEY = SELECT_TRANSACTION.where(BY_KEY)
_SELECT_WITH_REQUEST = (
    select(*COLUMNS, transactions.c.request, agreements.c.instrument, *KEY_COLUMNS)
    .select_from(WITH_DATA_KEY.outerjoin(agreements, AGREEMENT_JOIN))
    .where(BY_KEY)
)
_SELECT_WEBHOOK_TARGET = (
    select(
        *(transactions.c.merchant_id, transactions.c.transaction_id),
        *(transactions.c.agreement_id, transactions.c.request, transactions.c.webhook_target),
        *KEY_COLUMNS,
    )
    .select_from(WITH_DATA_KEY)
    .where(BY_KEY)
)
_MARK_RESPONDED = update(transactions).where(BY_KEY).values(told_at=bindparam("at"))
_RECORD = (
    update(transactions)
    .where(BY_KEY, transactions.c.version < bindparam("new_version"))
    .values(
        {
            column: bindparam(f"new_{column}")
            for column in (
                *("status", "version", "evidence", "needs_attention", "updated_at"),
                *("snapshot", "sealed_snapshot", "due_steps", "send_at"),
            )
        }
        | {
            # A PSP id of None keeps the stored one.
            column: func.coalesce(bindparam(f"new_{column}", type_=String), transactions.c[column])
            for column in ("psp_transaction_id", "psp_session_id")
        }
        | {
            # Removed by the delivery alone. A workflow that was rewound may take a caller to wait
            # that was answered before the outcome.
            "announce_version": func.coalesce(
                bindparam("new_announce_version", type_=Integer),
                transactions.c.announce_version,
                case(
                    (
                        and_(
                            text(UNDECIDED),
                            transactions.c.told_at < bindparam("new_decided_at", type_=UtcDateTime),
                        ),
                        bindparam("new_version", type_=Integer),
                    )
                ),
            )
        }
    )
    .returning(transactions.c.agreement_id, transactions.c.role, transactions.c.private)
)


class Transactions(Repository):
    """One row per (merchant, transaction id), never deleted."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._agreements = Agreements(session)
        self._data_keys = DataKeys(session)
        self._decoder = TransactionDecoder(session)
        self._merchants = Merchants(session)
        self._insert_statement = session.insert(transactions).on_conflict_do_nothing()

    async def get(self, merchant_id: str, transaction_id: str) -> TransactionRow | None:
        """Return a transaction."""
        async with self._session.read_connection() as connection:
            return await self._read(connection, merchant_id, transaction_id)

    async def get_webhook_target(self, merchant_id: str, transaction_id: str) -> str:
        """Return the request's `webhookTarget`, which is kept after an erasure.

        Raises `NotFound`, and `Erased` for an erased row of an earlier version, which stored the
        target in the request only.
        """
        async with self._session.read_connection() as connection:
            result = await connection.execute(
                _SELECT_WEBHOOK_TARGET, key_parameters(merchant_id, transaction_id)
            )
            row = result.mappings().one_or_none()
        if row is None:
            raise transaction_not_found(merchant_id, transaction_id)
        if row["webhook_target"] is not None:
            context = column_context("webhook_target", merchant_id, transaction_id)
            return self._cipher.decrypt(row["webhook_target"], *context).decode()
        request = self._decoder.request(row)
        if request is None:
            raise Erased(f"the request of {transaction_id} was erased")
        target: str = request["webhookTarget"]
        return target

    async def find(
        self, merchant_id: str, *, psp: str, reference: str | None, psp_ids: Sequence[str]
    ) -> TransactionRow | None:
        """Find the transaction of a PSP's object: by our own id first, then by the PSP's ids.

        Returns the newest of several with one of the PSP's ids (transaction or session).
        """
        [row] = await self.find_all(merchant_id, psp=psp, objects=[(reference, psp_ids)])
        return row

    async def find_all(
        self, merchant_id: str, *, psp: str, objects: Sequence[tuple[str | None, Sequence[str]]]
    ) -> list[TransactionRow | None]:
        """Find the transactions of several objects, given as reference and PSP ids, like `find`."""
        of_merchant = and_(transactions.c.merchant_id == merchant_id, transactions.c.psp == psp)
        references = {reference for reference, _ in objects if reference is not None}
        by_reference = {
            row.transaction_id: row
            for row in await self._rows_with(of_merchant, references, transactions.c.transaction_id)
        }
        found = [by_reference.get(reference or "") for reference, _ in objects]
        pairs = zip(objects, found, strict=True)
        ids = {id for (_, psp_ids), row in pairs if row is None for id in psp_ids}
        columns = (transactions.c.psp_transaction_id, transactions.c.psp_session_id)
        newest_first = await self._rows_with(of_merchant, ids, *columns)
        return [
            row or _first_with(newest_first, set(psp_ids))
            for (_, psp_ids), row in zip(objects, found, strict=True)
        ]

    async def look_up_request(
        self, merchant_id: str, transaction_id: str, agreement_id: str | None
    ) -> RequestLookup:
        """Return the data to validate a request; for a repeated one its transaction alone."""
        async with self._session.read_connection() as connection:
            row = await self._read(connection, merchant_id, transaction_id)
            if row is not None:
                return RequestLookup(row)
            agreement = None
            if agreement_id is not None:
                agreement = await self._agreements.read(connection, merchant_id, agreement_id)
            return RequestLookup(
                None, await self._merchants.read_settings(connection, merchant_id), agreement
            )

    async def get_psp_call_data(self, merchant_id: str, transaction_id: str) -> PspCallData:
        """Return the data of a PSP call; raises `NotFound`."""
        key = key_parameters(merchant_id, transaction_id)
        async with self._session.read_connection() as connection:
            row = (await connection.execute(_SELECT_WITH_REQUEST, key)).mappings().one_or_none()
            if row is None:
                raise transaction_not_found(merchant_id, transaction_id)
            transaction = self._decoder.transaction(row)
            settings = await self._merchants.read_settings(
                connection, merchant_id, transaction.created_at
            )
        return PspCallData(
            transaction, self._decoder.request(row), settings, self._decoder.instrument(row)
        )

    @shielded_write
    async def add(self, new: NewTransaction) -> tuple[TransactionRow, bool]:
        """Insert the transaction with version 0, or return the existing one.

        The flag says whether this call inserted it: of concurrent callers exactly one does. An
        existing row is returned unchanged; the caller compares its kind and fingerprint.
        `new.agreement` is inserted too, not yet usable, unless it exists.

        Raises `Erased` for an agreement whose data was erased, except for a refund: that is
        inserted, with the webhook target as the only stored part of its request.
        """
        key = (new.merchant_id, new.transaction_id)
        values: dict[str, Any] = {}
        async with self._session.write_transaction() as connection:
            agreement_id = await _agreement_id(connection, new)
            cipher = await self._data_keys.cipher_for_agreement(
                connection, new.merchant_id, agreement_id
            )
            created = False
            if cipher is not None or new.kind == "refund":
                values = self._new_row(new, agreement_id, cipher)
                created = (await connection.execute(self._insert_statement, values)).rowcount == 1
            if created and new.agreement is not None:
                await self._agreements.insert(connection, new)
            if created:
                return _inserted_row(new, values, erased=cipher is None), True
            row = await self._read(connection, *key)
        if row is None:
            raise Erased(f"the data of agreement {agreement_id} was erased")
        return row, False

    @shielded_write
    async def mark_responded(self, *keys: tuple[str, str]) -> None:
        """Record that the callers got a response, or were promised a change notification.

        `keys`: merchant and transaction id of each transaction.
        """
        at = _now()
        async with self._session.write_transaction() as connection:
            await connection.execute(
                _MARK_RESPONDED, [key_parameters(*key) | {"at": at} for key in keys]
            )

    @shielded_write
    async def record(self, change: RecordUpdate) -> bool:
        """Write a transaction's state; return False if the store holds another one that counts.

        That is one of a newer version, or of the same version with other content; a repetition is
        harmless. `activate_agreement` makes
        the transaction's agreement usable in the same database transaction, with the transaction's
        instrument if it has one, but not after an erasure of its data. Raises `NotFound` for an
        unknown transaction or agreement, and `ConstraintViolated` for a final status without
        evidence.
        """
        key = (change.merchant_id, change.transaction_id)
        changes = _change_values(change) | self._encrypt_snapshot(change.snapshot, *key)
        values = {f"new_{column}": value for column, value in changes.items()}
        values["new_decided_at"] = change.decided_at
        async with self._session.write_transaction() as connection:
            result = await connection.execute(_RECORD, key_parameters(*key) | values)
            row = result.mappings().one_or_none()
            if row is None:
                return await self._holds(connection, change)
            if change.activate_agreement:
                await self._agreements.activate(connection, change, row)
        return True

    async def _holds(self, connection: AsyncConnection, change: RecordUpdate) -> bool:
        """Return whether the store holds exactly this state already."""
        key = (change.merchant_id, change.transaction_id)
        stored = await self._read(connection, *key)
        if stored is None:
            raise transaction_not_found(*key)
        return stored.version == change.version and stored.snapshot == change.snapshot

    @shielded_write
    async def record_pending(self, change: RecordUpdate) -> bool:
        """Write a state that the caller was answered with, unless the workflow's own is newer.

        It keeps the version, so that every state that the workflow records replaces it; what
        follows is to be announced. Returns whether it was written.
        """
        key = (change.merchant_id, change.transaction_id)
        values = _change_values(change) | self._encrypt_snapshot(change.snapshot, *key)
        unchanged = and_(
            transactions.c.version == change.version, transactions.c.status == "Initiated"
        )
        return await self._update(*key, unchanged, **values | {"announce_version": change.version})

    @shielded_write
    async def require_announcement(self, merchant_id: str, transaction_id: str) -> None:
        """Record that changes from the stored version on are to be announced."""
        await self._update(
            merchant_id,
            transaction_id,
            transactions.c.announce_version.is_(None),
            announce_version=transactions.c.version,
        )

    @shielded_write
    async def remove_due_parent(self, merchant_id: str, transaction_id: str) -> None:
        """Record that the parent transaction was informed of the stored result."""
        due = transactions.c.due_steps == DUE_PARENT
        await self._update(merchant_id, transaction_id, due, due_steps=None)

    @shielded_write
    async def set_send_mark(
        self,
        merchant_id: str,
        transaction_id: str,
        mark: str,
        *,
        expected: str | None,
        sending_since: datetime | None = None,
    ) -> bool:
        """Replace the mark `expected`, and no other; return whether it was replaced.

        `sending_since` replaces the stored time, None keeps it.
        """
        # Comparing with None becomes IS NULL.
        marked = transactions.c.send_mark == expected
        changes: dict[str, Any] = {"send_mark": mark}
        if sending_since is not None:
            changes["sending_since"] = sending_since
        return await self._update(merchant_id, transaction_id, marked, **changes)

    @shielded_write
    async def mark_lookup_failed(self, merchant_id: str, transaction_id: str) -> None:
        """Record that the PSP left a look-up without an answer now."""
        await self._update(merchant_id, transaction_id, true(), lookup_failed_at=_now())

    @shielded_write
    async def clear_lookup_failed(self, row: TransactionRow) -> None:
        """Remove the mark of a failed look-up, unless another one has failed since `row` was read.

        Comparing with None becomes IS NULL.
        """
        unchanged = transactions.c.lookup_failed_at == row.lookup_failed_at
        await self._update(row.merchant_id, row.transaction_id, unchanged, lookup_failed_at=None)

    @shielded_write
    async def save_private(
        self,
        merchant_id: str,
        transaction_id: str,
        *,
        instrument: Mapping[str, Any] | None = None,
        redirect: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace the given parts of the transaction's private data; None leaves a part as it is.

        Stores nothing once the data of its agreement was erased. Raises `NotFound`.
        """
        context = column_context("private", merchant_id, transaction_id)
        parts = {"instrument": instrument, "redirect": redirect}
        async with self._session.write_transaction() as connection:
            # Locked, so that on PostgreSQL concurrent writers do not overwrite each other's part.
            current = select(transactions.c.agreement_id, transactions.c.private).where(
                is_transaction(merchant_id, transaction_id)
            )
            row = (await connection.execute(current.with_for_update())).one_or_none()
            if row is None:
                raise transaction_not_found(merchant_id, transaction_id)
            cipher = await self._data_keys.cipher_for_agreement(
                connection, merchant_id, row.agreement_id
            )
            if cipher is None:
                return
            private = cipher.decrypt_json(row.private, *context) if row.private else {}
            private |= {part: dict(value) for part, value in parts.items() if value is not None}
            await connection.execute(
                update(transactions)
                .where(is_transaction(merchant_id, transaction_id))
                .values(private=cipher.encrypt_json(private, *context), updated_at=_now())
            )

    @shielded_write
    async def mark_checked(self, merchant_id: str, transaction_ids: Collection[str]) -> None:
        """Record that these transactions were compared with the PSP now."""
        statement = (
            update(transactions)
            .where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.transaction_id.in_(transaction_ids),
            )
            .values(checked_at=_now())
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(statement)

    @shielded_write
    async def set_attention(self, row: TransactionRow, *, needed: bool) -> None:
        """Correct the attention mark of a transaction, unless a newer state was recorded."""
        recorded = transactions.c.version == row.version
        await self._update(row.merchant_id, row.transaction_id, recorded, needs_attention=needed)

    async def _update(
        self,
        merchant_id: str,
        transaction_id: str,
        condition: ColumnElement[bool],
        **values: Any,
    ) -> bool:
        """Change columns of a transaction if the condition holds; return whether it did."""
        statement = (
            update(transactions)
            .where(is_transaction(merchant_id, transaction_id), condition)
            .values(values)
        )
        async with self._session.write_transaction() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def _read(
        self, connection: AsyncConnection, merchant_id: str, transaction_id: str
    ) -> TransactionRow | None:
        key = key_parameters(merchant_id, transaction_id)
        row = (await connection.execute(_SELECT_BY_KEY, key)).mappings().one_or_none()
        return self._decoder.transaction(row) if row is not None else None

    async def _rows_with(
        self, condition: ColumnElement[bool], ids: Collection[str], *columns: ColumnElement[Any]
    ) -> list[TransactionRow]:
        """Return the rows with any of the ids in any of the columns, newest first."""
        ordered, rows = sorted(ids), []
        for start in range(0, len(ordered), _IDS_PER_STATEMENT):
            part = ordered[start : start + _IDS_PER_STATEMENT]
            statement = SELECT_TRANSACTION.where(
                condition, or_(*(column.in_(part) for column in columns))
            )
            async with self._session.read_connection() as connection:
                found = (await connection.execute(statement.order_by(*NEWEST_FIRST))).mappings()
                rows += [self._decoder.transaction(row) for row in found]
        return sorted(rows, key=_age, reverse=True)

    def _encrypt_snapshot(self, snapshot: str, *key: str) -> dict[str, Any]:
        encrypted = self._cipher.encrypt(
            snapshot.encode(), *column_context("sealed_snapshot", *key)
        )
        return {"snapshot": "", "sealed_snapshot": encrypted}

    def _new_row(
        self, new: NewTransaction, agreement_id: str | None, cipher: ColumnCipher | None
    ) -> dict[str, Any]:
        key = (new.merchant_id, new.transaction_id)
        now = _now()
        target = new.request.get("webhookTarget")
        fields = {key: value for key, value in vars(new).items() if key != "agreement"}
        return fields | {
            "agreement_id": agreement_id,
            "request": (
                cipher.encrypt_json(new.request, *column_context("request", *key))
                if cipher
                else ERASED
            ),
            "webhook_target": (
                self._cipher.encrypt(target.encode(), *column_context("webhook_target", *key))
                if target is not None
                else None
            ),
            **self._encrypt_snapshot(new.snapshot, *key),
            "version": 0,
            "needs_attention": False,
            "created_at": now,
            "updated_at": now,
            "checked_at": now,
        }


def _change_values(change: RecordUpdate) -> dict[str, Any]:
    return {
        "status": change.status,
        "version": change.version,
        "evidence": change.evidence,
        "needs_attention": change.needs_attention,
        "updated_at": _now(),
        "psp_transaction_id": change.psp_transaction_id,
        "psp_session_id": change.psp_session_id,
        "announce_version": change.announce_version,
        "due_steps": change.due_steps,
        "send_at": change.send_at,
    }


async def _agreement_id(connection: AsyncConnection, new: NewTransaction) -> str | None:
    if new.agreement_id is not None or new.related_id is None:
        return new.agreement_id
    related = select(transactions.c.agreement_id).where(
        is_transaction(new.merchant_id, new.related_id)
    )
    agreement_id: str | None = await connection.scalar(related)
    return agreement_id


def _inserted_row(
    new: NewTransaction, values: Mapping[str, Any], *, erased: bool
) -> TransactionRow:
    """Return the row that was just inserted."""
    fields: dict[str, Any] = {
        name: values.get(name) for name in TransactionRow.__dataclass_fields__
    }
    return TransactionRow(**fields | {"snapshot": new.snapshot, "erased": erased})


def _age(row: TransactionRow) -> tuple[datetime, str]:
    return (row.created_at, row.transaction_id)


def _first_with(rows: Sequence[TransactionRow], psp_ids: set[str]) -> TransactionRow | None:
    """Return the first row with one of the PSP's ids."""
    return next(
        (row for row in rows if psp_ids & {row.psp_transaction_id, row.psp_session_id}), None
    )


def _now() -> datetime:
    return datetime.now(UTC)
