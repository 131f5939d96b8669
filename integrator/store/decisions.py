"""The audit of what people decided: written before it is done, completed with what came of it."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, RowMapping, and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import is_sealed_by_data_key
from integrator.store.column_encryption import ERASED
from integrator.store.data_keys import KEY_COLUMNS, DataKeys, its_key
from integrator.store.errors import NotFound
from integrator.store.models import DecisionOutcome, DecisionRow, NewDecision
from integrator.store.session import shielded_write
from integrator.store.tables import data_keys, decisions, strays, transactions
from integrator.store.transaction_reads import no_transaction

_STORED = select(decisions, *KEY_COLUMNS).select_from(
    decisions.outerjoin(data_keys, its_key(decisions))
)


class Decisions(DataKeys):
    """One row per decision, kept for ever; the reason goes with the agreement's data."""

    @shielded_write
    async def open_decision(self, new: NewDecision) -> str:
        """Keep a decision that is about to be carried out; returns its id.

        Once the agreement's data was erased the key ring seals the reason, and erasing again
        erases it. Raises `NotFound` for an unknown transaction.
        """
        id = secrets.token_hex(12)
        async with self._writing() as connection:
            agreement_id = await _agreement_id(connection, new)
            vault = await self._vault_for(connection, new.merchant_id, agreement_id) or self._vault
            row = vars(new) | {
                "id": id,
                "agreement_id": agreement_id,
                "decided_at": datetime.now(UTC),
                "reason": vault.seal(new.reason.encode(), *_place(id)),
                "outcome": "asked",
            }
            await connection.execute(self._insert(decisions).values(row))
        return id

    @shielded_write
    async def close_decision(
        self,
        id: str,
        outcome: DecisionOutcome,
        *,
        status_after: str | None = None,
        refusal: str | None = None,
    ) -> None:
        """Note what came of it; raises `NotFound`."""
        statement = (
            update(decisions)
            .where(decisions.c.id == id)
            .values(outcome=outcome, status_after=status_after, refusal=refusal)
        )
        async with self._writing() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(f"no decision {id}")

    async def decisions(
        self, merchant_id: str | None = None, transaction_id: str | None = None, limit: int = 100
    ) -> list[DecisionRow]:
        """The newest that meet the conditions, newest first."""
        statement = _STORED.order_by(decisions.c.decided_at.desc(), decisions.c.id).limit(limit)
        if merchant_id is not None:
            statement = statement.where(decisions.c.merchant_id == merchant_id)
        if transaction_id is not None:
            statement = statement.where(decisions.c.transaction_id == transaction_id)
        async with self._reading() as connection:
            rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
        return [self._decision_row(row) for row in rows]

    @shielded_write
    async def resolve_stray(self, psp_settings_id: str, psp_id: str) -> bool:
        """A person has dealt with it; False when it is unknown or was resolved before."""
        statement = (
            update(strays)
            .where(
                strays.c.psp_settings_id == psp_settings_id,
                strays.c.psp_id == psp_id,
                strays.c.resolved_at.is_(None),
            )
            .values(resolved_at=datetime.now(UTC))
        )
        async with self._writing() as connection:
            return (await connection.execute(statement)).rowcount == 1

    def _decision_row(self, row: RowMapping) -> DecisionRow:
        values = {name: row[name] for name in row if name not in ("wrapped", "erased_at")}
        return DecisionRow(**values | {"reason": self._reason(row)})

    def _reason(self, row: RowMapping) -> str | None:
        blob = row["reason"]
        if blob == ERASED:
            return None
        vault = self._vault_of(row) if is_sealed_by_data_key(blob) else self._vault
        return vault.open(blob, *_place(row["id"])).decode() if vault is not None else None


async def _agreement_id(connection: AsyncConnection, new: NewDecision) -> str | None:
    id = new.transaction_id or await connection.scalar(
        select(strays.c.owner_id).where(
            strays.c.psp_settings_id == new.psp_settings_id, strays.c.psp_id == new.psp_id
        )
    )
    if id is None:
        return None
    statement = select(transactions.c.agreement_id).where(_is_transaction(new.merchant_id, id))
    found = (await connection.execute(statement)).one_or_none()
    if found is None:
        raise no_transaction(new.merchant_id, id)
    agreement_id: str | None = found.agreement_id
    return agreement_id


def _is_transaction(merchant_id: str, transaction_id: str) -> ColumnElement[bool]:
    return and_(
        transactions.c.merchant_id == merchant_id, transactions.c.transaction_id == transaction_id
    )


def _place(id: str) -> tuple[str, ...]:
    return ("decisions", "reason", id)
