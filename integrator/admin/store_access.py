"""The configured database, opened for one command of an operator."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store.database import Store


@asynccontextmanager
async def open_store(settings: Settings, *, require_schema: bool = True) -> AsyncIterator[Store]:
    """Open the store; raise `SchemaOutdated` if its schema is older than this code.

    A command of a newer version would fail on such a database half way, or write what the running
    version does not expect. It never migrates by itself. Raises `KeyConfigurationError` and
    `StoreUnavailable`.
    """
    async with Store(settings.resolved_database_url, KeyRing.from_settings(settings)) as store:
        if require_schema:
            await store.require_schema()
        yield store
