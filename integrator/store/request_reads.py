"""Combined reads for the two most frequent steps of a transaction, each on one connection."""

from integrator.store.merchants import Merchants
from integrator.store.models import PspCallData, RequestLookup
from integrator.store.transaction_reads import TransactionReads, transaction_not_found


class RequestReads(TransactionReads, Merchants):
    """Reads for the request that opens a transaction, and for the PSP call that follows."""

    async def request_lookup(
        self, merchant_id: str, transaction_id: str, agreement_id: str | None
    ) -> RequestLookup:
        """Return the data to validate a request; for a repeated one its transaction alone."""
        async with self._read_connection() as connection:
            row = await self._read_transaction(connection, merchant_id, transaction_id)
            if row is not None:
                return RequestLookup(row)
            agreement = None
            if agreement_id is not None:
                agreement = await self._read_agreement(connection, merchant_id, agreement_id)
            return RequestLookup(
                None, await self._read_settings(connection, merchant_id), agreement
            )

    async def psp_call_data(self, merchant_id: str, transaction_id: str) -> PspCallData:
        """Return the data of a PSP call; raises `NotFound`."""
        async with self._read_connection() as connection:
            result = await self._read_with_request(connection, merchant_id, transaction_id)
            if result is None:
                raise transaction_not_found(merchant_id, transaction_id)
            row, request, instrument = result
            settings = await self._read_settings(connection, merchant_id, row.created_at)
        return PspCallData(row, request, settings, instrument)
