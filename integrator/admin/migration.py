"""Migration of the database and registration of search attributes."""

from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.settings import Settings
from integrator.store.migrate import upgrade
from integrator.store.schema import is_newer
from integrator.temporal import attribute_registry
from integrator.temporal.client import connect


async def migrate(settings: Settings) -> str:
    """Migrate the database to the current schema; return a sentence with the result."""
    revision = await upgrade(settings.resolved_database_url)
    if is_newer(revision):
        return f"The database schema ({revision}) is newer than this version's; nothing to do."
    return "The database schema is up to date."


async def register_attributes(settings: Settings) -> list[str]:
    """Register the workflows' search attributes in the namespace; return the names added.

    Raises `OperatorError`.
    """
    address = settings.resolved_temporal_address
    try:
        return await attribute_registry.register(await connect(settings, lazy=False))
    except attribute_registry.SearchAttributesError as error:
        raise OperatorError(str(error)) from error
    except (RuntimeError, RPCError) as error:
        raise OperatorError(f"Temporal at {address} is unreachable: {error}") from error
