"""`integrator demo`: finds a stack or starts one, plays the story, and judges it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from rich.console import Console

from devtools.devstack import health, ports
from devtools.devstack.console import reporter
from devtools.devstack.data_dir import Layout
from devtools.devstack.demo.billing_client import Platform
from devtools.devstack.demo.context import Stage
from devtools.devstack.demo.results import show
from devtools.devstack.demo.scenario import play
from devtools.devstack.demo.timeline import Timeline
from devtools.devstack.demo.webhooks import receiving
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import read_json
from devtools.devstack.runfile import RunInfo
from devtools.devstack.seed import MERCHANT
from devtools.devstack.signals import Interrupts, interrupts
from devtools.devstack.stack import Stack
from integrator.settings import Settings

TIMEOUT_SECONDS = 90.0
# Longer than the API takes at most, so that its answer and not ours is seen.
_REQUEST_TIMEOUT_SECONDS = 30.0
_HOST = "127.0.0.1"


async def demo(settings: Settings, console: Console) -> int:
    """Exit code 0 if every state is as expected. Raises what `Stack.running` raises."""
    deadline = asyncio.get_running_loop().time() + TIMEOUT_SECONDS
    with interrupts() as interrupted:
        try:
            async with _stack(settings, console, interrupted) as (info, namespace):
                return 0 if await _play(info, namespace, console, deadline) else 1
        except asyncio.CancelledError:
            if not interrupted.came:
                raise
            return 130


@asynccontextmanager
async def _stack(
    settings: Settings, console: Console, interrupted: Interrupts
) -> AsyncIterator[tuple[RunInfo, str]]:
    """A stack and its Temporal namespace: the one that runs, or one just for this."""
    running = await find_running(settings)
    if running is not None:
        console.print(f"Using the stack at {running.addresses.api}.", highlight=False)
        yield running, settings.temporal_namespace
        return
    console.print("No stack runs on this data folder; starting one for the demo.")
    with tempfile.TemporaryDirectory(prefix="integrator-demo-") as folder:
        apart = own_settings(settings, Path(folder))
        stack = Stack(apart, reporter(console))
        interrupted.hurry = stack.hurry
        async with stack.running() as started:
            yield started, apart.temporal_namespace
            console.print("This stack ends now; one of `make run` stays, and the links with it.")


async def find_running(settings: Settings) -> RunInfo | None:
    """The stack on the configured data folder, if there is one and it answers."""
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
        return info if await health.answers(http, f"{info.addresses.api}/readyz") else None


def own_settings(settings: Settings, folder: Path) -> Settings:
    """Settings of a stack that shares nothing with any other but the Temporal program."""
    names = ("api", "sandbox", "codec", "temporal", "temporal_ui", "metrics", "worker_metrics")
    chosen = ports.find_free(_HOST, len(names))
    defaults = {name: field.get_default() for name, field in Settings.model_fields.items()}
    own = {
        "data_dir": folder,
        **{f"{name}_port": port for name, port in zip(names, chosen, strict=True)},
        "temporal_bin": settings.temporal_bin,
    }
    return settings.model_copy(update=defaults | own)


async def _play(info: RunInfo, namespace: str, console: Console, deadline: float) -> bool:
    timeline = Timeline(console)
    access = info.merchants[MERCHANT]
    async with (
        receiving(timeline) as webhooks,
        httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False) as http,
        httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False) as browser,
    ):
        platform = Platform(http, info.addresses.api, access.token, timeline)
        ui = info.addresses.temporal_ui
        stage = Stage(platform, webhooks, browser, timeline, MERCHANT, namespace, ui)
        try:
            async with asyncio.timeout_at(deadline):
                await play(stage)
        except TimeoutError:
            raise DevStackError(f"The story did not end within {TIMEOUT_SECONDS:g} s.") from None
        except httpx.RequestError as error:
            raise DevStackError(f"A server did not answer ({type(error).__name__}).") from None
        finally:
            # Also of a story that broke off: it says how far it came.
            good = show(console, stage.outcomes)
    return good
