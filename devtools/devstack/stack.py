"""Development stack: start and stop order of its processes."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from devtools.devstack import lock, ports, seed, temporal
from devtools.devstack.address import Addresses
from devtools.devstack.codec import codec_token
from devtools.devstack.data_dir import Layout
from devtools.devstack.environment import child_environment
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import write_private
from devtools.devstack.process import Command, Report
from devtools.devstack.readiness import wait_until_ready
from devtools.devstack.runfile import MerchantAccess, RunInfo
from devtools.devstack.supervisor import Supervisor
from integrator.admin import migration
from integrator.admin.errors import OperatorError
from integrator.crypto.keys import KeyRing
from integrator.settings import PREFIX, Settings
from integrator.store.migrate import upgrade

STOP_ORDER = ("api", "worker", "sandbox_psp", "codec_server", "temporal")
"""Clients stop before the servers they call."""

_REQUEST_TIMEOUT_SECONDS = 15.0


class Stack:
    """Stack on one data folder. `report` is called with messages about its processes."""

    def __init__(self, settings: Settings, report: Report) -> None:
        settings = ports.with_free_metrics_ports(settings)
        self._settings = settings
        self._own_temporal = settings.temporal_address is None
        self._addresses = Addresses.from_settings(settings)
        self._env = child_environment(settings, self._addresses)
        self._info: RunInfo | None = None
        self.layout = Layout(settings.data_dir.absolute())
        self._report = report
        self._supervisor = Supervisor(
            self.layout, report=report, pids_changed=self._update_run_file
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RunInfo]:
        """Start the stack, yield when every server responds, stop it at the end.

        Raises `DevStackError`, `KeyConfigurationError`, and what the database raises.
        """
        self.layout.create_folders()
        with lock.hold_lock(self.layout.lock_file):
            self.layout.run_file.unlink(missing_ok=True)
            try:
                yield await self._start()
            finally:
                self._info = None
                self.layout.run_file.unlink(missing_ok=True)
                await self._supervisor.stop(STOP_ORDER)

    def stop_immediately(self) -> None:
        """Kill all processes now or, if the stop has not begun, when it begins."""
        self._supervisor.stop_immediately()

    async def _start(self) -> RunInfo:
        if self._settings.tls_cert_file is not None:
            raise DevStackError(
                "A local run serves plain HTTP on loopback: unset "
                f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE."
            )
        binary = temporal.find_binary(self._settings) if self._own_temporal else None
        keys = KeyRing.from_settings(self._settings)
        await ports.require_free(self._settings.bind, self._ports())
        self.layout.rotate_logs()
        if binary is not None:
            self._start_temporal(binary)
        self._start_module("sandbox_psp", "devtools.sandbox_psp")
        token = codec_token(self._settings, self.layout)
        # The resolved token, whether from the environment, a file or the data folder.
        codec_env = {
            f"{PREFIX}CODEC_TOKEN": token,
            f"{PREFIX}CODEC_TOKEN_FILE": "",
            # The API serves its metrics on that port.
            f"{PREFIX}METRICS_PORT": "0",
        }
        self._start_module("codec_server", "integrator.codec_server", codec_env)
        await upgrade(self._settings.resolved_database_url)
        if not self._own_temporal:
            await self._register_search_attributes()
        # After the migration, so that neither uses an old schema.
        self._start_module("worker", "worker")
        self._start_module("api", "api")
        demo = seed.demo_secrets(self.layout)
        access = await seed.seed_merchant(self._settings, keys, demo)
        # All servers are on this machine, so no proxy is used.
        async with httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False) as http:
            await wait_until_ready(
                self._settings, self._addresses, self.layout, self._supervisor, http
            )
            await seed.seed_psp(http, self._addresses, access, demo)
        return self._publish(access)

    async def _register_search_attributes(self) -> None:
        """Report a failed registration; the worker waits for the attributes."""
        try:
            await migration.register_attributes(self._settings)
        except OperatorError as error:
            self._report(str(error))

    def _ports(self) -> dict[str, int]:
        settings = self._settings
        ports = {
            "INTEGRATOR_API_PORT": settings.api_port,
            "INTEGRATOR_SANDBOX_PORT": settings.sandbox_port,
            "INTEGRATOR_CODEC_PORT": settings.codec_port,
            "INTEGRATOR_METRICS_PORT": settings.metrics_port,
            "INTEGRATOR_WORKER_METRICS_PORT": settings.worker_metrics_port,
        }
        if self._own_temporal:
            ports["INTEGRATOR_TEMPORAL_PORT"] = settings.temporal_port
            ports["INTEGRATOR_TEMPORAL_UI_PORT"] = settings.temporal_ui_port
        return {variable: port for variable, port in ports.items() if port}

    def _start_temporal(self, binary: Path) -> None:
        argv = temporal.command_line(
            binary, self._settings, self.layout, self._addresses.codec_server
        )
        self._supervisor.start(Command("temporal", argv, self._env))

    def _start_module(
        self, name: str, module: str, extra_env: Mapping[str, str] | None = None
    ) -> None:
        env = {**self._env, **(extra_env or {})}
        self._supervisor.start(Command(name, (sys.executable, "-m", module), env))

    def _publish(self, access: MerchantAccess) -> RunInfo:
        info = self._info = RunInfo(self._addresses, {seed.MERCHANT: access})
        self._write_run_file(info)
        return info

    def _update_run_file(self) -> None:
        """Write new pids to `run.json`, once it has been published."""
        if self._info is None:
            return
        try:
            self._write_run_file(self._info)
        except OSError as error:
            # A failed write must not stop the supervision of a process.
            self._report(f"cannot write {self.layout.run_file}: {error.strerror}")

    def _write_run_file(self, info: RunInfo) -> None:
        write_private(self.layout.run_file, info.to_json(self._supervisor.pids()))
