"""`Store`, the interface of the database for all other packages."""

from types import TracebackType
from typing import Self

from sqlalchemy import select

from integrator.store.backlog import BacklogReads
from integrator.store.credential_lookup import CredentialLookup
from integrator.store.decisions import Decisions
from integrator.store.deliveries import Deliveries
from integrator.store.erasure import Erasure
from integrator.store.key_verification import KeyVerification
from integrator.store.notifications import Notifications
from integrator.store.operator_queries import OperatorQueries
from integrator.store.reconciliation import Reconciliation
from integrator.store.request_reads import RequestReads
from integrator.store.rotation import Rotation
from integrator.store.tables import merchants
from integrator.store.transaction_writes import TransactionWrites


class Store(
    CredentialLookup,
    RequestReads,
    TransactionWrites,
    Reconciliation,
    Notifications,
    OperatorQueries,
    Deliveries,
    Decisions,
    BacklogReads,
    Erasure,
    Rotation,
    KeyVerification,
):
    """One pool of connections to the database, shared by all callers of a process.

    Connects on first use. `integrator.store.migrate.upgrade` creates the schema. Every method
    raises `StoreUnavailable` when the database is out of reach, and lets the cipher's own error
    pass when a stored value cannot be decrypted. Cancelling a call does not stop its write.
    """

    async def ping(self) -> None:
        """Check that the database answers and has its schema; raises `StoreUnavailable`."""
        async with self._read_connection() as connection:
            await connection.execute(select(merchants.c.id).limit(1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
