"""Connections of one command to the store and to the transactions' workflows."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.admin.store_access import open_store
from integrator.crypto.keys import KeyRing
from integrator.key_registry import KeyRegistry
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.temporal.client import connect
from integrator.transactions.transaction_client import Refresh, TransactionClient
from workflows.messages import AnyInput

CONNECT_TIMEOUT = timedelta(milliseconds=300)
"""An available server has accepted the connection long before."""


@dataclass(frozen=True)
class OperatorContext:
    """Connections of a command; each is opened when first used."""

    settings: Settings
    store: Store
    client: Client
    transaction_client: TransactionClient

    @asynccontextmanager
    async def connect_in_background(self) -> AsyncIterator[None]:
        """Connect to Temporal concurrently with the block; a failure shows at the first call."""
        check = asyncio.create_task(
            self.client.service_client.check_health(timeout=CONNECT_TIMEOUT)
        )
        try:
            yield
            await asyncio.wait([check], timeout=CONNECT_TIMEOUT.total_seconds())
        finally:
            check.cancel()
            await asyncio.gather(check, return_exceptions=True)

    @contextmanager
    def temporal_errors(self) -> Iterator[None]:
        """Turn errors of Temporal and its workers into `OperatorError`."""
        address = self.settings.resolved_temporal_address
        try:
            yield
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise OperatorError("No worker responded in time; check that one runs.") from error
        except RPCError as error:
            raise OperatorError(
                f"Temporal at {address} rejected the request: {error.status.name}: {error.message}"
            ) from error
        except TemporalError as error:
            raise OperatorError(f"The workflow rejected the request: {error}") from error
        except RuntimeError as error:
            # The SDK raises RuntimeError when it cannot connect.
            raise OperatorError(f"Temporal at {address} is unreachable.") from error


@asynccontextmanager
async def open_operator_context(
    settings: Settings, *, require_schema: bool = True
) -> AsyncIterator[OperatorContext]:
    """Open a context with the configured database and Temporal server.

    Raises `SchemaOutdated` unless `require_schema` is false.
    """
    async with open_store(settings, require_schema=require_schema) as store:
        registry = KeyRegistry(store, KeyRing.from_settings(settings))
        client = await connect(settings, lazy=True, key_ids=registry)
        yield OperatorContext(
            settings, store, client, TransactionClient(client, settings.task_queue, _refresh(store))
        )


def _refresh(store: Store) -> Refresh:
    """Wrap `input_refresher`: adapters are loaded only when a workflow has to be reopened."""

    async def refresh(start: AnyInput) -> AnyInput:
        from integrator.transactions.workflow_inputs import input_refresher

        return await input_refresher(store)(start)

    return refresh
