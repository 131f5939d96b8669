"""Transactions as they are written: opened once, then recorded change by change."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import ColumnElement, String, and_, bindparam, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.column_encryption import ERASED, ColumnCipher
from integrator.store.errors import Erased
from integrator.store.models import NewTransaction, RecordUpdate, TransactionRow
from integrator.store.session import shielded_write
from integrator.store.tables import transactions
from integrator.store.transaction_reads import (
    THIS,
    TransactionReads,
    column_place,
    named,
    no_transaction,
)

# Built once: building a statement and finding its compiled form costs as much as running it.
_TOLD = update(transactions).where(THIS).values(told_at=bindparam("at"))
_RECORD = (
    update(transactions)
    .where(THIS, transactions.c.version <= bindparam("new_version"))
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


class TransactionWrites(TransactionReads):
    """Opens transactions and keeps what becomes of them."""

    @cached_property
    def _opening(self) -> Any:
        return self._insert(transactions).on_conflict_do_nothing()

    @shielded_write
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

    @shielded_write
    async def mark_responded(self, *keys: tuple[str, str]) -> None:
        """The callers were sent an answer, or have been promised a change notification.

        `keys`: merchant and transaction id of each.
        """
        at = _now()
        async with self._writing() as connection:
            await connection.execute(_TOLD, [named(*key) | {"at": at} for key in keys])

    @shielded_write
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
            done = await connection.execute(_RECORD, named(*key) | values)
            row = done.mappings().one_or_none()
            if row is None:
                await _require(connection, *key)
                return False
            if change.activate_agreement:
                await self._activate(connection, change, row)
        return True

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

        Keeps nothing once the data of its agreement was erased. Raises `NotFound`.
        """
        place = column_place("private", merchant_id, transaction_id)
        given = {"instrument": instrument, "redirect": redirect}
        async with self._writing() as connection:
            # Locked, so that on PostgreSQL neither of two writers loses the other's part.
            current = select(transactions.c.agreement_id, transactions.c.private).where(
                _is(merchant_id, transaction_id)
            )
            row = (await connection.execute(current.with_for_update())).one_or_none()
            if row is None:
                raise no_transaction(merchant_id, transaction_id)
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

    def _snapshot(self, snapshot: str, *key: str) -> dict[str, Any]:
        sealed = self._vault.seal(snapshot.encode(), *column_place("sealed_snapshot", *key))
        return {"snapshot": "", "sealed_snapshot": sealed}

    def _new_transaction_row(
        self, new: NewTransaction, agreement_id: str | None, vault: ColumnCipher | None
    ) -> dict[str, Any]:
        key = (new.merchant_id, new.transaction_id)
        now = _now()
        target = new.request.get("webhookTarget")
        fields = {key: value for key, value in vars(new).items() if key != "agreement"}
        return fields | {
            "agreement_id": agreement_id,
            "request": (
                vault.seal_json(new.request, *column_place("request", *key)) if vault else ERASED
            ),
            "webhook_target": (
                self._vault.seal(target.encode(), *column_place("webhook_target", *key))
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
        raise no_transaction(merchant_id, transaction_id)


def _opened(new: NewTransaction, values: Mapping[str, Any], *, erased: bool) -> TransactionRow:
    """The row as it was inserted just now."""
    shown: dict[str, Any] = {name: values.get(name) for name in TransactionRow.__dataclass_fields__}
    return TransactionRow(**shown | {"snapshot": new.snapshot, "erased": erased})


def _is(merchant_id: str, transaction_id: str) -> ColumnElement[bool]:
    return and_(
        transactions.c.merchant_id == merchant_id, transactions.c.transaction_id == transaction_id
    )


def _now() -> datetime:
    return datetime.now(UTC)
