"""What the two busiest steps of a transaction need of the store, each read on one connection."""

from integrator.store.merchants import Merchants
from integrator.store.models import PspCallData, RequestLookup
from integrator.store.transaction_reads import TransactionReads, no_transaction


class RequestReads(TransactionReads, Merchants):
    """The request that opens a transaction, and the PSP call that follows."""

    async def known(
        self, merchant_id: str, transaction_id: str, agreement_id: str | None
    ) -> RequestLookup:
        """What a request is checked against; of one that has come before, its transaction alone."""
        async with self._reading() as connection:
            row = await self._read_transaction(connection, merchant_id, transaction_id)
            if row is not None:
                return RequestLookup(row)
            agreement = None
            if agreement_id is not None:
                agreement = await self._read_agreement(connection, merchant_id, agreement_id)
            return RequestLookup(
                None, await self._read_settings(connection, merchant_id), agreement
            )

    async def order(self, merchant_id: str, transaction_id: str) -> PspCallData:
        """What a PSP call is made of. Raises `NotFound`."""
        async with self._reading() as connection:
            found = await self._read_with_parts(connection, merchant_id, transaction_id)
            if found is None:
                raise no_transaction(merchant_id, transaction_id)
            row, request, instrument = found
            settings = await self._read_settings(connection, merchant_id, row.created_at)
        return PspCallData(row, request, settings, instrument)
