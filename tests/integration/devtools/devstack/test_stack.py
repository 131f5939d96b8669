"""Stack with dummy processes: content and lifetime of `run.json`."""

import asyncio
import json
import os
import signal
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.devstack import seed
from devtools.devstack import stack as stack_module
from devtools.devstack.errors import DevStackError
from devtools.devstack.ports import find_free, with_free_metrics_ports
from devtools.devstack.process import Command
from devtools.devstack.stack import Stack
from integrator.admin import migration
from integrator.settings import Settings
from tests.integration.devtools.devstack.waiting import eventually

TEMPORAL_ADDRESS = "temporal.example:7233"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)
    api, sandbox, metrics, worker_metrics = find_free("127.0.0.1", 4)
    return Settings(
        data_dir=tmp_path / "data",
        api_port=api,
        sandbox_port=sandbox,
        metrics_port=metrics,
        worker_metrics_port=worker_metrics,
        temporal_address=TEMPORAL_ADDRESS,
    )


@pytest.fixture
def dummies(
    monkeypatch: pytest.MonkeyPatch, dummy: Callable[..., Command], up: Callable[..., Any]
) -> None:
    """Replace the servers by dummies that are ready when they are up, and skip seeding."""

    async def ready(*_: object) -> None:
        await asyncio.gather(*(up(name) for name in ("sandbox_psp", "worker", "api")))

    async def do_nothing(*_: object) -> None:
        return

    def start(self: Stack, name: str, module: str, extra_env: object = None) -> None:
        self._supervisor.start(dummy(name))

    async def fail_to_register(*_: object) -> None:
        raise DevStackError("the namespace cannot be changed")

    monkeypatch.setattr(Stack, "_start_module", start)
    monkeypatch.setattr(migration, "register_attributes", fail_to_register)
    monkeypatch.setattr(stack_module, "wait_until_ready", ready)
    monkeypatch.setattr(seed, "seed_psp", do_nothing)


@pytest.mark.usefixtures("dummies")
async def test_run_json_exists_only_while_the_stack_runs(settings: Settings) -> None:
    stack = Stack(settings, lambda _: None)
    file = stack.layout.run_file
    stack.layout.create_folders()
    file.write_text("stale")
    async with stack.running() as info:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(stack.layout.root.stat().st_mode) == 0o700
        content = json.loads(file.read_text())
        access = info.merchants["demo"]
        assert set(content.pop("pids")) == {"sandbox_psp", "codec_server", "worker", "api"}
        assert content == {
            "api": f"http://127.0.0.1:{settings.api_port}",
            "sandbox_psp": f"http://127.0.0.1:{settings.sandbox_port}",
            "codec_server": f"http://127.0.0.1:{settings.codec_port}",
            "metrics": {
                "api": f"http://127.0.0.1:{settings.metrics_port}/metrics",
                "worker": f"http://127.0.0.1:{settings.worker_metrics_port}/metrics",
            },
            "temporal": TEMPORAL_ADDRESS,
            "temporal_ui": None,
            "merchants": {
                "demo": {
                    "token": access.token,
                    "psp": "sandbox",
                    "psp_settings_id": access.psp_settings_id,
                }
            },
        }
    assert not file.exists()


@pytest.mark.usefixtures("dummies")
async def test_a_failed_registration_of_search_attributes_is_reported(settings: Settings) -> None:
    reports: list[str] = []
    async with Stack(settings, reports.append).running():
        assert "the namespace cannot be changed" in reports


@pytest.mark.usefixtures("dummies")
async def test_run_json_is_updated_with_new_pids(
    settings: Settings, up: Callable[..., Awaitable[None]]
) -> None:
    stack = Stack(settings, lambda _: None)

    def pid() -> int:
        return int(json.loads(stack.layout.run_file.read_text())["pids"]["worker"])

    async with stack.running():
        old_pid = pid()
        os.kill(old_pid, signal.SIGKILL)
        await up("worker", 2)
        await eventually(lambda: pid() != old_pid)


@pytest.mark.usefixtures("dummies")
async def test_the_demo_merchant_survives_a_restart(settings: Settings) -> None:
    stack = Stack(settings, lambda _: None)
    async with stack.running() as first:
        pass
    async with Stack(settings, lambda _: None).running() as second:
        assert second.merchants == first.merchants


@pytest.mark.usefixtures("dummies")
async def test_a_second_stack_on_a_data_folder_is_rejected(settings: Settings) -> None:
    async with Stack(settings, lambda _: None).running():
        second = Stack(settings, lambda _: None)
        with pytest.raises(DevStackError, match="already runs on the data folder"):
            async with second.running():
                pytest.fail("a second stack on the same folder")
        assert second.layout.run_file.exists()


@pytest.mark.usefixtures("dummies")
async def test_a_failed_start_stops_all_processes(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise DevStackError("not ready")

    monkeypatch.setattr(stack_module, "wait_until_ready", fail)
    stack = Stack(settings, lambda _: None)
    with pytest.raises(DevStackError, match="not ready"):
        async with stack.running():
            pytest.fail("the stack is not ready")
    assert not stack.layout.run_file.exists()
    for pid in stack._supervisor.pids().values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_second_stack_gets_free_metrics_ports() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        occupied = other.getsockname()[1]
        changed = with_free_metrics_ports(
            Settings.model_construct(metrics_port=occupied, _fields_set=set())
        )
        assert changed.metrics_port != occupied
        assert with_free_metrics_ports(Settings(metrics_port=occupied)).metrics_port == occupied
