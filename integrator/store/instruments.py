"""Stored payment methods that a PSP continues under another id."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.agreements import instrument_context
from integrator.store.column_encryption import ColumnCipher
from integrator.store.data_keys import DataKeys
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import agreements, transactions
from integrator.store.transaction_decoder import column_context, is_transaction

Renewal = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
"""Returns the instrument under its new id; None for an instrument that is not concerned."""


class Instruments(Repository):
    """Renews the instruments of agreements and of the preauths that show them."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._data_keys = DataKeys(session)

    @shielded_write
    async def renew(self, merchant_id: str, transaction_id: str, renewal: Renewal) -> bool:
        """Renew the instrument of a transaction's agreement; return whether it was concerned.

        The private data of this transaction and of the preauth that last changed the agreement are
        renewed, too: a preauth shows its own instrument. Changes nothing once the agreement's data
        was erased.
        """
        async with self._session.write_transaction() as connection:
            agreement_id = await connection.scalar(
                select(transactions.c.agreement_id).where(
                    is_transaction(merchant_id, transaction_id)
                )
            )
            if agreement_id is None:
                return False
            cipher = await self._data_keys.cipher_for_agreement(
                connection, merchant_id, agreement_id
            )
            if cipher is None:
                return False
            key = (merchant_id, agreement_id)
            sign_up, renewed = await self._renew_agreement(connection, key, cipher, renewal)
            # In this order everywhere, so that two renewals cannot wait for each other.
            for id in sorted({transaction_id, sign_up or transaction_id}):
                await self._renew_private(connection, (merchant_id, id), cipher, renewal)
        return renewed

    async def _renew_agreement(
        self,
        connection: AsyncConnection,
        key: tuple[str, str],
        cipher: ColumnCipher,
        renewal: Renewal,
    ) -> tuple[str | None, bool]:
        """Return the transaction that last changed the agreement, and whether it was renewed."""
        is_agreement = and_(agreements.c.merchant_id == key[0], agreements.c.agreement_id == key[1])
        current = select(agreements.c.instrument, agreements.c.transaction_id).where(is_agreement)
        row = (await connection.execute(current.with_for_update())).one_or_none()
        if row is None:
            return None, False
        context = instrument_context(*key)
        stored = cipher.decrypt_json(row.instrument, *context) if row.instrument else None
        instrument = renewal(stored) if stored else None
        if instrument is not None:
            sealed = cipher.encrypt_json(instrument, *context)
            values = {"instrument": sealed, "updated_at": datetime.now(UTC)}
            await connection.execute(update(agreements).where(is_agreement).values(values))
        return row.transaction_id, instrument is not None

    async def _renew_private(
        self,
        connection: AsyncConnection,
        key: tuple[str, str],
        cipher: ColumnCipher,
        renewal: Renewal,
    ) -> None:
        """Renew the instrument that a transaction has stored itself, if it has one."""
        context = column_context("private", *key)
        current = select(transactions.c.private).where(is_transaction(*key))
        encrypted = await connection.scalar(current.with_for_update())
        private = cipher.decrypt_json(encrypted, *context) if encrypted else {}
        stored = private.get("instrument")
        instrument = renewal(stored) if stored else None
        if instrument is not None:
            sealed = cipher.encrypt_json(private | {"instrument": instrument}, *context)
            await connection.execute(
                update(transactions).where(is_transaction(*key)).values(private=sealed)
            )
