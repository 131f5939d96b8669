"""The way to the books and to the transactions' workflows, for one command."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta

from temporalio.client import Client, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.exceptions import TemporalError
from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.temporal.client import connect
from integrator.transactions.transaction_client import Refresh, TransactionClient
from workflows.messages import AnyInput

CONNECTING = timedelta(milliseconds=300)
"""A server that is there has taken the connection long before."""


@dataclass(frozen=True)
class OperatorContext:
    """What commands work with; nothing is connected to before it is used."""

    settings: Settings
    store: Store
    client: Client
    gateway: TransactionClient

    @asynccontextmanager
    async def connecting(self) -> AsyncIterator[None]:
        """Connect to Temporal beside what is done meanwhile; whether it worked shows later."""
        check = asyncio.create_task(self.client.service_client.check_health(timeout=CONNECTING))
        try:
            yield
            await asyncio.wait([check], timeout=CONNECTING.total_seconds())
        finally:
            check.cancel()
            await asyncio.gather(check, return_exceptions=True)

    @contextmanager
    def temporal_answers(self) -> Iterator[None]:
        """Says so where Temporal or the workers do not."""
        address = self.settings.resolved_temporal_address
        try:
            yield
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise OperatorError("No worker has answered in time; is one running?") from error
        except RPCError as error:
            raise OperatorError(
                f"Temporal at {address} does not do it: {error.status.name}: {error.message}"
            ) from error
        except TemporalError as error:
            raise OperatorError(f"The workflow did not do it: {error}") from error
        except RuntimeError as error:
            # What the SDK raises when it cannot connect.
            raise OperatorError(f"Temporal at {address} cannot be reached.") from error


@asynccontextmanager
async def open_operator_context(settings: Settings) -> AsyncIterator[OperatorContext]:
    """A desk on the configured database and Temporal server."""
    client = await connect(settings, lazy=True)
    async with Store(settings.resolved_database_url, KeyRing.from_settings(settings)) as store:
        yield OperatorContext(
            settings, store, client, TransactionClient(client, settings.task_queue, _refresh(store))
        )


def _refresh(store: Store) -> Refresh:
    """As `refresher`, whose adapters are loaded only when a workflow has to be reopened."""

    async def refresh(start: AnyInput) -> AnyInput:
        from integrator.transactions.workflow_inputs import input_refresher

        return await input_refresher(store)(start)

    return refresh
