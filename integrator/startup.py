"""Waiting at start for what other services provide: the database's schema, Temporal's namespace.

A process that starts first waits; it neither ends and is restarted all the time, nor migrates.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.key_registry import KeyRegistry
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.store.errors import SchemaOutdated, StoreError
from integrator.temporal import attribute_registry
from integrator.temporal.client import connect

log = logging.getLogger(__name__)

RETRY_PAUSE = timedelta(seconds=1)
LOG_INTERVAL = timedelta(seconds=30)
TIMEOUT = timedelta(seconds=10)
"""Limit of one attempt; a server that has stopped working may accept connections."""

T = TypeVar("T")


class NotReady(Exception):
    """What a process needs is missing; the message names it and the remedy."""


async def wait_until_ready(step: Callable[[], Awaitable[T]], report: Callable[[str], None]) -> T:
    """Repeat `step` until it no longer raises `NotReady`; return its result.

    Calls `report` with the reason after each attempt, and logs it at first, when it changes, and
    every half minute.
    """
    loop = asyncio.get_running_loop()
    logged, logged_at = "", 0.0
    while True:
        try:
            return await step()
        except NotReady as error:
            reason = str(error)
        report(reason)
        if reason != logged or loop.time() - logged_at >= LOG_INTERVAL.total_seconds():
            log.warning("Waiting to start: %s", reason)
            logged, logged_at = reason, loop.time()
        await asyncio.sleep(RETRY_PAUSE.total_seconds())


async def require_schema(store: Store) -> None:
    """Check that the database answers and that its schema is not older than this code.

    Raises `NotReady`.
    """
    seconds = TIMEOUT.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            await store.require_schema()
    except TimeoutError as error:
        raise NotReady(f"The database does not answer within {seconds:.0f} s.") from error
    except SchemaOutdated as error:
        raise NotReady(str(error)) from error
    except StoreError as error:
        raise NotReady(
            f"The database is unavailable ({error}). Start it, or correct INTEGRATOR_DATABASE_URL."
        ) from error
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise NotReady(
            f"The database refuses to show its schema's revision ({cause}). Give the role of "
            "INTEGRATOR_DATABASE_URL the permissions on it that the migration's role has."
        ) from error


async def prepare_store(store: Store, registry: KeyRegistry) -> None:
    """Check the schema, register the key ring and check that no key in use is missing.

    Raises `NotReady`, and `KeyConfigurationError` where waiting does not help.
    """
    await require_schema(store)
    try:
        await registry.require_complete()
    except StoreError as error:
        raise NotReady(f"The key ring cannot be registered in the database ({error}).") from error


async def connect_to_temporal(settings: Settings, registry: KeyRegistry) -> Client:
    """Connect to Temporal and check the namespace and its search attributes.

    Raises `NotReady` and `KeyConfigurationError`.
    """
    address, seconds = settings.resolved_temporal_address, TIMEOUT.total_seconds()
    try:
        async with asyncio.timeout(seconds):
            client = await connect(settings, lazy=False, key_ids=registry)
            await _require_namespace(client)
            await attribute_registry.require(client, timeout=timedelta(0))
            return client
    except TimeoutError as error:
        raise NotReady(f"Temporal at {address} does not answer within {seconds:.0f} s.") from error
    except attribute_registry.SearchAttributesError as error:
        raise NotReady(str(error)) from error
    except RPCError as error:
        raise NotReady(
            f"Temporal at {address} refuses a request: {error.status.name}: {error.message}"
        ) from error
    except RuntimeError as error:
        # The SDK raises RuntimeError when it cannot connect.
        raise NotReady(f"Temporal at {address} is not reachable ({error}).") from error


async def _require_namespace(client: Client) -> None:
    request = DescribeNamespaceRequest(namespace=client.namespace)
    try:
        await client.workflow_service.describe_namespace(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        raise NotReady(
            f"Temporal has no namespace {client.namespace!r}. Create it "
            "(`deploy/temporal/namespace.sh`), or correct INTEGRATOR_TEMPORAL_NAMESPACE."
        ) from error
