"""Implementation of `integrator demo`: find or start a stack, run the scenario, check results."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from rich.console import Console

from devtools.devstack import health, ports
from devtools.devstack.console import create_reporter
from devtools.devstack.data_dir import Layout
from devtools.devstack.demo.billing_client import BillingClient
from devtools.devstack.demo.context import DemoContext
from devtools.devstack.demo.results import print_results
from devtools.devstack.demo.scenario import run_scenario
from devtools.devstack.demo.timeline import Timeline
from devtools.devstack.demo.webhooks import webhook_receiver
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import read_json
from devtools.devstack.runfile import RunInfo
from devtools.devstack.seed import MERCHANT
from devtools.devstack.signals import ShutdownSignals, handle_shutdown_signals
from devtools.devstack.stack import Stack
from integrator.settings import Settings

TIMEOUT_SECONDS = 90.0
# Longer than the API's own time limit, so that the API's response is seen, not our timeout.
_REQUEST_TIMEOUT_SECONDS = 30.0
_HOST = "127.0.0.1"


async def run_demo(settings: Settings, console: Console) -> int:
    """Run the demo; return exit code 0 if every result is as expected.

    Raises what `Stack.running` raises.
    """
    deadline = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
    with handle_shutdown_signals() as shutdown:
        try:
            async with _running_stack(settings, console, shutdown) as (info, namespace):
                return 0 if await _run_scenario(info, namespace, console, deadline) else 1
        except asyncio.CancelledError:
            if not shutdown.received:
                raise
            return 130


@asynccontextmanager
async def _running_stack(
    settings: Settings, console: Console, shutdown: ShutdownSignals
) -> AsyncIterator[tuple[RunInfo, str]]:
    """Yield a stack's `RunInfo` and Temporal namespace: a running stack's, or a temporary one's."""
    running = await find_running_stack(settings)
    if running is not None:
        console.print(f"Using the stack at {running.addresses.api}.", highlight=False)
        yield running, settings.temporal_namespace
        return
    console.print("No stack is running on this data folder; starting one for the demo.")
    with tempfile.TemporaryDirectory(prefix="integrator-demo-") as folder:
        isolated = isolated_settings(settings, Path(folder))
        stack = Stack(isolated, create_reporter(console))
        shutdown.on_second_signal = stack.stop_immediately
        async with stack.running() as started:
            yield started, isolated.temporal_namespace
            console.print(
                "Stopping this stack. To keep a stack and its links, start one with `make run`."
            )


async def find_running_stack(settings: Settings) -> RunInfo | None:
    """Return the stack on the configured data folder if it is ready, else None."""
    content = read_json(Layout(settings.data_dir.absolute()).run_file)
    if content is None:
        return None
    try:
        info = RunInfo.from_json(content)
    except (KeyError, TypeError):
        return None
    if MERCHANT not in info.merchants:
        return None
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        return info if await health.responds(http, f"{info.addresses.api}/readyz") else None


def isolated_settings(settings: Settings, folder: Path) -> Settings:
    """Return settings of a stack that shares only the Temporal program with other stacks."""
    names = ("api", "sandbox", "codec", "temporal", "temporal_ui", "metrics", "worker_metrics")
    free_ports = ports.find_free(_HOST, len(names))
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    overrides = {
        "data_dir": folder,
        **{f"{name}_port": port for name, port in zip(names, free_ports, strict=True)},
        "temporal_bin": settings.temporal_bin,
    }
    return settings.model_copy(update=defaults | overrides)


async def _run_scenario(info: RunInfo, namespace: str, console: Console, deadline: float) -> bool:
    timeline = Timeline(console)
    access = info.merchants[MERCHANT]
    async with (
        webhook_receiver(timeline) as webhooks,
        httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False) as http,
        httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False) as browser,
    ):
        billing = BillingClient(http, info.addresses.api, access.token, timeline)
        ui = info.addresses.temporal_ui
        context = DemoContext(billing, webhooks, browser, timeline, MERCHANT, namespace, ui)
        try:
            async with asyncio.timeout_at(deadline):
                await run_scenario(context)
        except TimeoutError:
            raise DevStackError(f"The demo did not end within {TIMEOUT_SECONDS:g} s.") from None
        except httpx.RequestError as error:
            raise DevStackError(f"A request failed ({type(error).__name__}).") from None
        finally:
            # Also after an error: the table shows which steps were completed.
            passed = print_results(console, context.results)
    return passed
