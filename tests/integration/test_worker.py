"""The worker process: it waits for what it needs, and its health shows what it does."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import RegisterNamespaceRequest

from devtools.devstack.ports import find_free
from integrator.crypto.keys import KeyRing, generate_key
from integrator.settings import Settings
from integrator.store import Store
from integrator.store.migrate import upgrade
from integrator.store.schema import known_revisions
from integrator.temporal import attribute_registry
from integrator.temporal.client import connect
from tests.support.paths import ROOT
from tests.support.temporal import temporal_binary

PATIENCE_S = 90
POLL_S = 0.2


@dataclass
class TemporalServer:
    """Development server whose long polls end after two seconds."""

    file: Path
    port: int = field(default_factory=lambda: find_free("127.0.0.1", 1)[0])
    process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self, *arguments: str) -> None:
        argv = (
            *(temporal_binary(), "server", "start-dev", "--headless", "--log-level", "error"),
            *("--port", str(self.port), "--db-filename", str(self.file)),
            *("--dynamic-config-value", 'matching.longPollExpirationInterval="2s"'),
        )
        self.process = await asyncio.create_subprocess_exec(
            *argv, *arguments, stdout=asyncio.subprocess.DEVNULL
        )

    def send_signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


@dataclass
class WorkerProcess:
    """A worker process with its own metrics port and log."""

    process: asyncio.subprocess.Process
    env: Mapping[str, str]
    log: Path

    async def health(self, path: str = "/healthz") -> tuple[int, dict[str, Any]]:
        """Return status and document; (0, {}) without an answer."""
        url = f"http://127.0.0.1:{self.env['INTEGRATOR_WORKER_METRICS_PORT']}{path}"
        try:
            async with httpx.AsyncClient(trust_env=False) as http:
                response = await http.get(url)
        except httpx.TransportError:
            return 0, {}
        return response.status_code, response.json()

    async def wait_for(self, status: str, **members: str) -> dict[str, Any]:
        """Wait for a status and for texts in members of the health; return the document."""
        document: dict[str, Any] = {}
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    code, document = await self.health()
                    if document.get("status") == status and all(
                        text in document.get(name, "") for name, text in members.items()
                    ):
                        assert code == (503 if status == "unhealthy" else 200)
                        return document
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            pytest.fail(f"last health: {document}; log: {self.log.read_text()}")

    async def probe(self, *options: str) -> tuple[int, str]:
        """Run the container's health check; return its exit code and output."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "integrator.healthcheck", "worker", *options),
            cwd=ROOT,
            env=self.env,
            stderr=asyncio.subprocess.PIPE,
        )
        _, error = await process.communicate()
        assert process.returncode is not None
        return process.returncode, error.decode()


@asynccontextmanager
async def run_worker(
    folder: Path, address: str, module: str = "worker", **variables: str
) -> AsyncIterator[WorkerProcess]:
    """Run a worker on the SQLite database of a folder; kill it at the end."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")} | {
        "INTEGRATOR_DATA_DIR": str(folder),
        "INTEGRATOR_TEMPORAL_ADDRESS": address,
        "INTEGRATOR_WORKER_METRICS_PORT": str(find_free("127.0.0.1", 1)[0]),
        **variables,
    }
    log = folder / "worker.log"
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, cwd=ROOT, env=env, stderr=file
        )
    try:
        yield WorkerProcess(process, env, log)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def database_url(folder: Path) -> str:
    return Settings(data_dir=folder).resolved_database_url


@pytest.fixture
async def temporal(tmp_path: Path) -> AsyncIterator[TemporalServer]:
    """Yield a server that is not started."""
    server = TemporalServer(tmp_path / "temporal.db")
    try:
        yield server
    finally:
        await server.kill()


@pytest.fixture
async def worker_process(tmp_path: Path, temporal: TemporalServer) -> AsyncIterator[WorkerProcess]:
    """Yield a worker that polls, with its faults."""
    await upgrade(database_url(tmp_path))
    await temporal.start(*attribute_registry.dev_server_options())
    program = "tests.integration.worker_program"
    async with run_worker(tmp_path, temporal.address, program) as process:
        await process.wait_for("ok")
        yield process


class TestHealth:
    async def test_a_working_worker_is_healthy_and_ready(
        self, worker_process: WorkerProcess
    ) -> None:
        checks = ("event_loop", "store", "temporal", "transactions", "reconciliation")
        expected = dict.fromkeys(("status", *checks), "ok")
        assert await worker_process.health() == (200, expected)
        assert await worker_process.health("/readyz") == (200, expected)
        assert await worker_process.probe() == (0, "")
        assert await worker_process.probe("--ready") == (0, "")

    async def test_a_version_without_tasks_is_healthy(
        self, worker_process: WorkerProcess, tmp_path: Path, temporal: TemporalServer
    ) -> None:
        """It polls as well, and its health does not wait for its promotion."""
        variables = {"INTEGRATOR_WORKER_DEPLOYMENT": "payments"}
        (tmp_path / "version").mkdir()
        await upgrade(database_url(tmp_path / "version"))
        async with run_worker(tmp_path / "version", temporal.address, **variables) as version:
            await version.wait_for("ok")
        assert (await worker_process.health())[0] == 200

    async def test_a_blocked_event_loop_is_unhealthy(self, worker_process: WorkerProcess) -> None:
        worker_process.process.send_signal(signal.SIGUSR1)
        document = await worker_process.wait_for("unhealthy", event_loop="last ran")
        code, reason = await worker_process.probe()
        assert code == 1
        assert json.loads(reason.partition(": ")[2])["status"] == document["status"]

    async def test_a_queue_that_is_no_longer_polled_is_unhealthy(
        self, worker_process: WorkerProcess
    ) -> None:
        worker_process.process.send_signal(signal.SIGUSR2)
        document = await worker_process.wait_for("unhealthy", reconciliation="no poll for")
        assert "although Temporal answers" in document["reconciliation"]
        assert document["transactions"] == document["temporal"] == "ok"
        assert (await worker_process.probe())[0] == 1

    async def test_a_stopped_process_fails_the_probe(self, worker_process: WorkerProcess) -> None:
        worker_process.process.send_signal(signal.SIGSTOP)
        code, reason = await worker_process.probe()
        assert code == 1
        assert "timed out" in reason
        worker_process.process.send_signal(signal.SIGCONT)
        assert (await worker_process.probe())[0] == 0

    async def test_a_hanging_or_missing_temporal_is_waiting(
        self, worker_process: WorkerProcess, temporal: TemporalServer
    ) -> None:
        temporal.send_signal(signal.SIGSTOP)
        await worker_process.wait_for("waiting", temporal="no answer within")
        # Longer than a poll may take.
        await worker_process.wait_for("waiting", transactions="Temporal does not answer")
        assert await worker_process.probe() == (0, "")
        assert (await worker_process.probe("--ready"))[0] == 1
        temporal.send_signal(signal.SIGCONT)
        await worker_process.wait_for("ok")
        await temporal.kill()
        await worker_process.wait_for("waiting", temporal="UNAVAILABLE")
        await worker_process.wait_for("waiting", reconciliation="Temporal does not answer")
        await temporal.start()
        await worker_process.wait_for("ok")

    async def test_a_failing_store_is_waiting(
        self, worker_process: WorkerProcess, tmp_path: Path
    ) -> None:
        (tmp_path / "integrator.db").write_bytes(b"not a database" * 1000)
        await worker_process.wait_for("waiting", store="does not answer (DatabaseError)")
        assert await worker_process.probe() == (0, "")
        assert (await worker_process.probe("--ready"))[0] == 1


class TestStart:
    async def test_waits_for_the_schema_and_for_temporal(
        self, tmp_path: Path, temporal: TemporalServer
    ) -> None:
        async with run_worker(tmp_path, temporal.address) as process:
            await process.wait_for(
                "waiting", store="has no schema", temporal=f"{temporal.address} is not reachable"
            )
            assert (await process.health("/readyz"))[0] == 503
            assert await process.probe() == (0, "")
            older = known_revisions()[-2]
            await upgrade(database_url(tmp_path), older)
            await process.wait_for("waiting", store=f"has schema revision {older}")
            await upgrade(database_url(tmp_path))
            await process.wait_for("waiting", store="ok")
            await temporal.start()
            await process.wait_for("waiting", temporal="lacks the search attributes")
            settings = Settings(data_dir=tmp_path, temporal_address=temporal.address)
            await attribute_registry.register(await connect(settings, lazy=False))
            await process.wait_for("ok")
            log = process.log.read_text()
            for reason in ("has no schema", f"revision {older}", "lacks the search attributes"):
                assert log.count(reason) == 1, log

    async def test_waits_for_the_namespace(self, tmp_path: Path, temporal: TemporalServer) -> None:
        await upgrade(database_url(tmp_path))
        await temporal.start()
        variables = {"INTEGRATOR_TEMPORAL_NAMESPACE": "late"}
        async with run_worker(tmp_path, temporal.address, **variables) as process:
            await process.wait_for("waiting", temporal="Temporal has no namespace 'late'")
            settings = Settings(data_dir=tmp_path, temporal_address=temporal.address)
            request = RegisterNamespaceRequest(
                namespace="late", workflow_execution_retention_period=Duration(seconds=86_400)
            )
            client = await connect(settings, lazy=False)
            await client.workflow_service.register_namespace(request)
            await process.wait_for("waiting", temporal="lacks the search attributes")

    async def test_does_not_start_without_a_key_in_use(self, tmp_path: Path) -> None:
        await upgrade(database_url(tmp_path))
        async with Store(database_url(tmp_path), KeyRing({"k1": bytes(32)})) as store:
            merchant = await store.merchants.add("acme", "sandbox")
            await store.merchants.save_settings(merchant.id, {"ApiKey": "secret"})
        ring = {"INTEGRATOR_KEYS": f"k2:{generate_key()}"}
        async with run_worker(tmp_path, "127.0.0.1:1", **ring) as process:
            async with asyncio.timeout(PATIENCE_S):
                assert await process.process.wait() == 1
        log = process.log.read_text()
        assert "the key ring lacks keys that encrypt values in the store: k1" in log
        assert "Traceback" not in log

    @pytest.mark.parametrize("migrated", [False, True])
    async def test_ends_at_once_on_sigterm(self, tmp_path: Path, *, migrated: bool) -> None:
        if migrated:
            await upgrade(database_url(tmp_path))
        async with run_worker(tmp_path, "127.0.0.1:1") as process:
            await process.wait_for("waiting", temporal="not reachable")
            process.process.terminate()
            async with asyncio.timeout(30):
                assert await process.process.wait() == 0
        assert "Traceback" not in process.log.read_text()
