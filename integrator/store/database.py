"""`Store`, the interface of the database for all other packages."""

from types import TracebackType
from typing import Self

from sqlalchemy import select

from integrator.store import schema
from integrator.store.agreements import Agreements
from integrator.store.api_tokens import ApiTokens
from integrator.store.backlog import Backlog
from integrator.store.callers import Callers
from integrator.store.column_encryption import NamedCipher
from integrator.store.decisions import Decisions
from integrator.store.deliveries import Deliveries
from integrator.store.erasure import Erasure
from integrator.store.errors import SchemaMissing
from integrator.store.instruments import Instruments
from integrator.store.keys import Keys
from integrator.store.known_keys import KnownKeys
from integrator.store.merchants import Merchants
from integrator.store.notifications import Notifications
from integrator.store.oauth_clients import OAuthClients
from integrator.store.quarantine import Quarantine
from integrator.store.reconciliation import Reconciliation
from integrator.store.session import Session
from integrator.store.tables import merchants
from integrator.store.transaction_search import TransactionSearch
from integrator.store.transactions import Transactions
from integrator.store.unmatched_movements import UnmatchedMovements


class Store:
    """One pool of connections to the database, shared by all callers of a process.

    Connects on first use. `integrator.store.migrate.upgrade` creates the schema. Every method of a
    repository raises `StoreUnavailable` when the database is out of reach, and lets the cipher's
    own error pass when a stored value cannot be decrypted. Cancelling a call does not stop its
    write.
    """

    def __init__(self, database_url: str, cipher: NamedCipher) -> None:
        self._session = session = Session(database_url, cipher)
        self.merchants = Merchants(session)
        self.api_tokens = ApiTokens(session)
        self.oauth_clients = OAuthClients(session)
        self.callers = Callers(session)
        self.agreements = Agreements(session)
        self.instruments = Instruments(session)
        self.transactions = Transactions(session)
        self.transaction_search = TransactionSearch(session)
        self.notifications = Notifications(session)
        self.deliveries = Deliveries(session)
        self.decisions = Decisions(session)
        self.reconciliation = Reconciliation(session)
        self.unmatched_movements = UnmatchedMovements(session)
        self.quarantine = Quarantine(session)
        self.backlog = Backlog(session)
        self.erasure = Erasure(session)
        self.keys = Keys(session)
        self.known_keys = KnownKeys(session, self.keys)

    async def ping(self) -> None:
        """Check that the database answers and has its schema; raises `StoreUnavailable`."""
        async with self._session.read_connection() as connection:
            await connection.execute(select(merchants.c.id).limit(1))

    async def require_schema(self) -> None:
        """Check that the schema is not older than this code, by one SELECT.

        Raises `SchemaOutdated`, and `StoreUnavailable` when the database is out of reach.
        """
        schema.require_current(await self.get_schema_revision())

    async def get_schema_revision(self) -> str | None:
        """Return the schema's revision; None before the first migration."""
        try:
            async with self._session.read_connection() as connection:
                return await connection.scalar(schema.CURRENT_REVISION)
        except SchemaMissing:
            return None

    async def close(self) -> None:
        """Wait for the writes in progress, then close all connections."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()
