"""Processes of the current or the recorded code on one Temporal server and one database.

They are not restarted: a process that ends by itself fails the test.
"""

import asyncio
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path

import httpx
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from devtools.campaign.stack import free_ports
from devtools.devstack import health, seed
from devtools.devstack.address import Addresses
from devtools.devstack.runfile import MerchantAccess
from devtools.devstack.temporal import dynamic_config_arguments
from tests.e2e.rolling.balancer import Balancer, BalancerServer
from tests.e2e.rolling.record import ARCHIVE, PACKAGES
from tests.support.paths import ROOT
from tests.support.temporal import temporal_binary
from workflows import search_attributes

MERCHANT = "rolling"
START_SECONDS = 40.0
STOP_SECONDS = 25.0
READY = "ready on task queue"
TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED
HARMLESS = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND
"""A message arrived while a workflow was completing; it handles the message first."""
SETUP = f"""
from {{module}} import app
for command in (
    "migrate --no-temporal", "merchant add {MERCHANT} --psp sandbox", "token issue {MERCHANT}"
):
    app(command.split(), standalone_mode=False)
"""
"""In one process: each would take a second to start."""
REPLAY_FAILURES = ("Nondeterminism", "TMPRL1100", "Failing workflow task")
"""Texts in a worker's log about a history that its code cannot replay."""


@dataclass(frozen=True)
class CodeVersion:
    """An installed version of the product."""

    name: str
    root: Path
    commands: str = "integrator.cli.main"
    """The module with the application of the command line."""

    def run(self, env: Mapping[str, str], *arguments: str) -> str:
        """Run its command line to the end; return the output."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=dict(env),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def require_own_modules(self, env: Mapping[str, str]) -> None:
        """Assert that all modules come from this version, not from an editable install."""
        names = [part.removesuffix(".py") for part in PACKAGES if (self.root / part).exists()]
        script = f"from importlib.util import find_spec\nfor name in {names}:"
        origins = self.run(env, "-c", f"{script} print(find_spec(name).origin)").split()
        foreign = [file for file in origins if not Path(file).is_relative_to(self.root)]
        assert len(origins) == len(names)
        assert foreign == []


CURRENT = CodeVersion("new", ROOT)


def install_previous(folder: Path) -> CodeVersion:
    """Install the recorded code into a folder of its own.

    Its processes run in that folder, so that its modules and its entry points, by which adapters
    are found, come before those of this code.
    """
    source, installed = folder / "source", folder / "installed"
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(source, filter="data")
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline]
    subprocess.run([*command, "--target", str(installed), str(source)], check=True)
    has_old_layout = (installed / "cli.py").exists()
    return CodeVersion("old", installed, "cli" if has_old_layout else "integrator.cli.main")


@dataclass
class Instance:
    """One running process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def stop(self) -> float:
        """Send SIGTERM and wait for the exit; return the duration in seconds."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(STOP_SECONDS)
        assert code in (0, -signal.SIGTERM), f"{self.name} ended with {code}: {self.end_of_log()}"
        return time.monotonic() - began

    def end_of_log(self) -> str:
        return self.log.read_text()[-2000:]


class Deployment:
    """All running processes; `balancer` has the API's instances."""

    def __init__(
        self, folder: Path, client: Client, balancer_server: BalancerServer, balancer: Balancer
    ) -> None:
        self.client = client
        self.balancer = balancer
        self.sandbox = f"http://127.0.0.1:{free_ports(1)[0]}"
        self.instances: list[Instance] = []
        self.token = ""
        self.secrets = seed.DemoSecrets("", "sk_sandbox_rolling", "whsec_rolling")
        self._folder = folder
        self._balancer_server = balancer_server
        # Compiled once: the same code is started again and again.
        excluded = ("INTEGRATOR_", "PYTHONDONTWRITEBYTECODE")
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(excluded)}
        self.env = {
            **inherited,
            "INTEGRATOR_DATA_DIR": str(folder / "data"),
            "INTEGRATOR_TEMPORAL_ADDRESS": client.service_client.config.target_host,
            "INTEGRATOR_PUBLIC_URL": balancer_server.base_url,
            "INTEGRATOR_SANDBOX_URL": self.sandbox,
            "INTEGRATOR_RECONCILE_EVERY_SECONDS": "5",
            "SANDBOX_SETTLE_SECONDS": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def start(self, code: CodeVersion, module: str, **extra_env: str) -> Instance:
        """Start one process of a version; it may take a while to be ready."""
        name = f"{code.name}-{module}-{len(self.instances)}"
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=code.root,
                env={**self.env, **extra_env},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        instance = Instance(name, process, log)
        self.instances.append(instance)
        return instance

    async def worker(self, code: CodeVersion) -> Instance:
        """Start a worker and wait for its log line: the server lists only some of many pollers."""
        instance = self.start(code, "worker")

        async def ready() -> bool:
            return READY in instance.log.read_text()

        await self._until(ready, instance)
        return instance

    async def api(self, code: CodeVersion) -> Instance:
        """Start an API instance, wait until it is ready and add it to the balancer."""
        port = free_ports(1)[0]
        instance = self.start(code, "api", INTEGRATOR_API_PORT=str(port))
        instance.url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(trust_env=False) as http:
            await self._until(lambda: health.responds(http, f"{instance.url}/readyz"), instance)
        self.balancer.add(instance.url)
        return instance

    async def stop_api(self, instance: Instance) -> float:
        """Drain and stop an API instance."""
        await asyncio.to_thread(self.balancer.drain, instance.url)
        return await asyncio.to_thread(instance.stop)

    async def prepare(self, code: CodeVersion) -> None:
        """Create database, merchant and PSP account with the version that runs first."""
        port = str(httpx.URL(self.sandbox).port)
        self.start(CURRENT, "devtools.sandbox_psp", INTEGRATOR_SANDBOX_PORT=port)
        printed = code.run(self.env, "-c", SETUP.format(module=code.commands)).split()
        self.token = printed[-1]
        route = next(word for word in printed if word.startswith(self._balancer_server.base_url))
        self._access = MerchantAccess(self.token, "sandbox", route.rpartition("/")[2])

    async def seed(self) -> None:
        """Configure the PSP's notification address and the merchant's PSP settings."""
        addresses = Addresses(self._balancer_server.base_url, self.sandbox, "", None, "")
        async with httpx.AsyncClient(trust_env=False, timeout=15) as http:
            await seed.seed_psp(http, addresses, self._access, self.secrets)

    async def _until(self, check: health.Check, instance: Instance) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not await check():
            late = time.monotonic() > deadline
            assert not late, f"{instance.name} is not ready: {instance.end_of_log()}"
            assert instance.process.poll() is None, instance.end_of_log()
            await asyncio.sleep(0.05)

    async def task_failures(self) -> list[tuple[float, str]]:
        """Return wall-clock time and cause of every failed workflow task."""
        failures = []
        async for execution in self.client.list_workflows():
            handle = self.client.get_workflow_handle(execution.id, run_id=execution.run_id)
            for event in (await handle.fetch_history()).events:
                failed = event.workflow_task_failed_event_attributes
                if event.event_type == TASK_FAILED and failed.cause != HARMLESS:
                    at = event.event_time.ToDatetime(UTC).timestamp()
                    failures.append((at, f"{execution.id}: {failed.failure.message}"))
        return failures

    def replay_failures(self) -> list[str]:
        """Return the workers' log lines about histories that did not replay."""
        return [
            f"{instance.name}: {line}"
            for instance in self.instances
            for line in instance.log.read_text().splitlines()
            if any(word in line for word in REPLAY_FAILURES)
        ]

    def stop(self) -> None:
        """Kill all processes that still run."""
        for instance in self.instances:
            if instance.process.poll() is None:
                instance.process.kill()
            instance.process.wait()


@asynccontextmanager
async def open_deployment(folder: Path, first: CodeVersion) -> AsyncIterator[Deployment]:
    """Open a deployment without workers and API instances."""
    environment = await WorkflowEnvironment.start_local(
        search_attributes=search_attributes.KEYS,
        dev_server_existing_path=temporal_binary(),
        dev_server_extra_args=dynamic_config_arguments(),
    )
    balancer = Balancer()
    try:
        with BalancerServer(balancer) as balancer_server:
            deployment = Deployment(folder, environment.client, balancer_server, balancer)
            try:
                await deployment.prepare(first)
                yield deployment
            finally:
                deployment.stop()
                balancer.close()
    finally:
        await environment.shutdown()
