"""The whole stack: in which order its parts start, and how it ends."""

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
from devtools.devstack.readiness import until_ready
from devtools.devstack.runfile import MerchantAccess, RunInfo
from devtools.devstack.supervisor import Supervisor
from integrator.admin import migration
from integrator.admin.errors import OperatorError
from integrator.crypto.keys import KeyRing
from integrator.settings import PREFIX, Settings
from integrator.store.migrate import upgrade

STOP_ORDER = ("api", "worker", "sandbox_psp", "codec_server", "temporal")
"""Who asks stops before who answers."""

_REQUEST_TIMEOUT_SECONDS = 15.0


class Stack:
    """One stack on one data folder. `report` is told what happens to its processes."""

    def __init__(self, settings: Settings, report: Report) -> None:
        settings = ports.with_metrics(settings)
        self._settings = settings
        self._own_temporal = settings.temporal_address is None
        self._addresses = Addresses.of(settings)
        self._env = child_environment(settings, self._addresses)
        self._info: RunInfo | None = None
        self.layout = Layout(settings.data_dir.absolute())
        self._report = report
        self._supervisor = Supervisor(self.layout, report=report, pids_changed=self._renew)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RunInfo]:
        """Everything answers inside, everything is stopped after.

        Raises `DevStackError`, `KeyConfigurationError`, and what the database raises.
        """
        self.layout.make_folders()
        with lock.held(self.layout.lock_file):
            self.layout.run_file.unlink(missing_ok=True)
            try:
                yield await self._start()
            finally:
                self._info = None
                self.layout.run_file.unlink(missing_ok=True)
                await self._supervisor.stop(STOP_ORDER)

    def hurry(self) -> None:
        """Have a stop that is under way or to come happen at once."""
        self._supervisor.hurry()

    async def _start(self) -> RunInfo:
        if self._settings.tls_cert_file is not None:
            raise DevStackError(
                "A local run speaks plain HTTP on loopback: unset "
                f"{PREFIX}TLS_CERT_FILE and {PREFIX}TLS_KEY_FILE."
            )
        binary = temporal.find_binary(self._settings) if self._own_temporal else None
        keys = KeyRing.from_settings(self._settings)
        await ports.require_free(self._settings.bind, self._ports())
        self.layout.turn_logs()
        if binary is not None:
            self._start_temporal(binary)
        self._start_module("sandbox_psp", "devtools.sandbox_psp")
        token = codec_token(self._settings, self.layout)
        # The token itself, wherever it came from.
        given = {f"{PREFIX}CODEC_TOKEN": token, f"{PREFIX}CODEC_TOKEN_FILE": ""}
        self._start_module("codec_server", "integrator.codec_server", given)
        await upgrade(self._settings.resolved_database_url)
        if not self._own_temporal:
            await self._prepare_namespace()
        # Only now, so that neither ever meets an old schema.
        self._start_module("worker", "worker")
        self._start_module("api", "api")
        demo = seed.demo_secrets(self.layout)
        access = await seed.seed_merchant(self._settings, keys, demo)
        # Everything asked is on this machine, so no proxy has a part in it.
        async with httpx.AsyncClient(timeout=_REQUEST_TIMEOUT_SECONDS, trust_env=False) as http:
            await until_ready(self._settings, self._addresses, self.layout, self._supervisor, http)
            await seed.seed_psp(http, self._addresses, access, demo)
        return self._publish(access)

    async def _prepare_namespace(self) -> None:
        """What cannot be done is told; the worker knows whether it can do without."""
        try:
            await migration.register_attributes(self._settings)
        except OperatorError as error:
            self._report(str(error))

    def _ports(self) -> dict[str, int]:
        settings = self._settings
        needed = {
            "INTEGRATOR_API_PORT": settings.api_port,
            "INTEGRATOR_SANDBOX_PORT": settings.sandbox_port,
            "INTEGRATOR_CODEC_PORT": settings.codec_port,
            "INTEGRATOR_METRICS_PORT": settings.metrics_port,
            "INTEGRATOR_WORKER_METRICS_PORT": settings.worker_metrics_port,
        }
        if self._own_temporal:
            needed["INTEGRATOR_TEMPORAL_PORT"] = settings.temporal_port
            needed["INTEGRATOR_TEMPORAL_UI_PORT"] = settings.temporal_ui_port
        return {variable: port for variable, port in needed.items() if port}

    def _start_temporal(self, binary: Path) -> None:
        argv = temporal.command_line(
            binary, self._settings, self.layout, self._addresses.codec_server
        )
        self._supervisor.start(Command("temporal", argv, self._env))

    def _start_module(self, name: str, module: str, more: Mapping[str, str] | None = None) -> None:
        env = {**self._env, **(more or {})}
        self._supervisor.start(Command(name, (sys.executable, "-m", module), env))

    def _publish(self, access: MerchantAccess) -> RunInfo:
        info = self._info = RunInfo(self._addresses, {seed.MERCHANT: access})
        self._write(info)
        return info

    def _renew(self) -> None:
        """There are new pids; before everything answers there is nothing to publish them in."""
        if self._info is None:
            return
        try:
            self._write(self._info)
        except OSError as error:
            # Must not keep a process from being looked after.
            self._report(f"cannot write {self.layout.run_file}: {error.strerror}")

    def _write(self, info: RunInfo) -> None:
        write_private(self.layout.run_file, info.to_json(self._supervisor.pids()))
