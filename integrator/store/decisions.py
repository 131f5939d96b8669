"""Audit log of operators' decisions, written before they are carried out and then completed."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import is_encrypted_by_data_key
from integrator.store.column_encryption import ERASED
from integrator.store.data_keys import KEY_COLUMNS, DataKeys, data_key_join
from integrator.store.errors import NotFound
from integrator.store.models import DecisionOutcome, DecisionRow, NewDecision
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import data_keys, decisions, transactions, unmatched_movements
from integrator.store.transaction_decoder import is_transaction, transaction_not_found

_SELECT_DECISION = select(decisions, *KEY_COLUMNS).select_from(
    decisions.outerjoin(data_keys, data_key_join(decisions))
)


class Decisions(Repository):
    """One row per decision, never deleted; the reason is erased with the agreement's data."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._data_keys = DataKeys(session)

    @shielded_write
    async def add(self, new: NewDecision) -> str:
        """Store a decision before it is carried out; returns its id.

        Once the agreement's data was erased, the key ring encrypts the reason, and a repeated
        erasure erases it. Raises `NotFound` for an unknown transaction.
        """
        id = secrets.token_hex(12)
        async with self._session.write_transaction() as connection:
            agreement_id = await _agreement_id(connection, new)
            cipher = (
                await self._data_keys.cipher_for_agreement(
                    connection, new.merchant_id, agreement_id
                )
                or self._cipher
            )
            row = vars(new) | {
                "id": id,
                "agreement_id": agreement_id,
                "decided_at": datetime.now(UTC),
                "reason": cipher.encrypt(new.reason.encode(), *_context(id)),
                "outcome": "asked",
            }
            await connection.execute(self._session.insert(decisions).values(row))
        return id

    @shielded_write
    async def record_outcome(
        self,
        id: str,
        outcome: DecisionOutcome,
        *,
        status_after: str | None = None,
        refusal: str | None = None,
    ) -> None:
        """Record the outcome of a decision; raises `NotFound`."""
        statement = (
            update(decisions)
            .where(decisions.c.id == id)
            .values(outcome=outcome, status_after=status_after, refusal=refusal)
        )
        async with self._session.write_transaction() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(f"no decision {id}")

    async def list_newest(
        self, merchant_id: str | None = None, transaction_id: str | None = None, limit: int = 100
    ) -> list[DecisionRow]:
        """List the newest decisions that match the conditions, newest first."""
        statement = _SELECT_DECISION.order_by(decisions.c.decided_at.desc(), decisions.c.id).limit(
            limit
        )
        if merchant_id is not None:
            statement = statement.where(decisions.c.merchant_id == merchant_id)
        if transaction_id is not None:
            statement = statement.where(decisions.c.transaction_id == transaction_id)
        async with self._session.read_connection() as connection:
            rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
        return [self._decode(row) for row in rows]

    def _decode(self, row: RowMapping) -> DecisionRow:
        values = {name: row[name] for name in row if name not in ("wrapped", "erased_at")}
        return DecisionRow(**values | {"reason": self._decrypt_reason(row)})

    def _decrypt_reason(self, row: RowMapping) -> str | None:
        blob = row["reason"]
        if blob == ERASED:
            return None
        cipher = (
            self._data_keys.cipher_for_row(row) if is_encrypted_by_data_key(blob) else self._cipher
        )
        return cipher.decrypt(blob, *_context(row["id"])).decode() if cipher is not None else None


async def _agreement_id(connection: AsyncConnection, new: NewDecision) -> str | None:
    id = new.transaction_id or await connection.scalar(
        select(unmatched_movements.c.owner_id).where(
            unmatched_movements.c.psp_settings_id == new.psp_settings_id,
            unmatched_movements.c.psp_id == new.psp_id,
        )
    )
    if id is None:
        return None
    statement = select(transactions.c.agreement_id).where(is_transaction(new.merchant_id, id))
    row = (await connection.execute(statement)).one_or_none()
    if row is None:
        raise transaction_not_found(new.merchant_id, id)
    agreement_id: str | None = row.agreement_id
    return agreement_id


def _context(id: str) -> tuple[str, ...]:
    return ("decisions", "reason", id)
