"""What the two busiest steps of a transaction need of the store, each read on one connection."""

from store.merchants import Merchants
from store.rows import Known, Order
from store.transactions import Transactions, no_transaction


class Steps(Transactions, Merchants):
    """The request that opens a transaction, and the PSP call that follows."""

    async def known(self, merchant_id: str, transaction_id: str, agreement_id: str | None) -> Known:
        """What a request is checked against; of one that has come before, its transaction alone."""
        async with self._reading() as connection:
            row = await self._read_transaction(connection, merchant_id, transaction_id)
            if row is not None:
                return Known(row)
            agreement = None
            if agreement_id is not None:
                agreement = await self._read_agreement(connection, merchant_id, agreement_id)
            return Known(None, await self._read_settings(connection, merchant_id), agreement)

    async def order(self, merchant_id: str, transaction_id: str) -> Order:
        """What a PSP call is made of. Raises `NotFound`."""
        async with self._reading() as connection:
            found = await self._read_with_parts(connection, merchant_id, transaction_id)
            if found is None:
                raise no_transaction(merchant_id, transaction_id)
            row, request, instrument = found
            settings = await self._read_settings(connection, merchant_id, row.created_at)
        return Order(row, request, settings, instrument)
