"""A stack of dummies: what `run.json` says and when."""

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

from devtools.devstack import seed, temporal
from devtools.devstack import stack as stack_module
from devtools.devstack.errors import DevStackError
from devtools.devstack.ports import find_free, with_free_metrics_ports
from devtools.devstack.process import Command
from devtools.devstack.stack import Stack
from integrator.admin import migration
from integrator.settings import Settings
from tests.local.waiting import eventually

OWN_TEMPORAL = "temporal.example:7233"


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
        temporal_address=OWN_TEMPORAL,
    )


@pytest.fixture
def dummies(
    monkeypatch: pytest.MonkeyPatch, dummy: Callable[..., Command], up: Callable[..., Any]
) -> None:
    """Dummies in place of the servers, ready when they are up, with nothing to be seeded."""

    async def ready(*_: object) -> None:
        await asyncio.gather(*(up(name) for name in ("sandbox_psp", "worker", "api")))

    async def seeded(*_: object) -> None:
        return

    def start(self: Stack, name: str, module: str, more: object = None) -> None:
        self._supervisor.start(dummy(name))

    async def unprepared(*_: object) -> None:
        raise DevStackError("the namespace is not ours to change")

    monkeypatch.setattr(Stack, "_start_module", start)
    monkeypatch.setattr(migration, "register_attributes", unprepared)
    monkeypatch.setattr(stack_module, "until_ready", ready)
    monkeypatch.setattr(seed, "seed_psp", seeded)


@pytest.mark.usefixtures("dummies")
async def test_run_json_is_there_only_while_the_stack_is(settings: Settings) -> None:
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
            "temporal": OWN_TEMPORAL,
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
async def test_a_namespace_that_cannot_be_prepared_is_told_of(settings: Settings) -> None:
    told: list[str] = []
    async with Stack(settings, told.append).running():
        assert "the namespace is not ours to change" in told


@pytest.mark.usefixtures("dummies")
async def test_run_json_follows_the_pids(
    settings: Settings, up: Callable[..., Awaitable[None]]
) -> None:
    stack = Stack(settings, lambda _: None)

    def pid() -> int:
        return int(json.loads(stack.layout.run_file.read_text())["pids"]["worker"])

    async with stack.running():
        before = pid()
        os.kill(before, signal.SIGKILL)
        await up("worker", 2)
        await eventually(lambda: pid() != before)


@pytest.mark.usefixtures("dummies")
async def test_the_demo_merchant_survives_a_restart(settings: Settings) -> None:
    stack = Stack(settings, lambda _: None)
    async with stack.running() as first:
        pass
    async with Stack(settings, lambda _: None).running() as second:
        assert second.merchants == first.merchants


@pytest.mark.usefixtures("dummies")
async def test_a_data_folder_has_one_stack(settings: Settings) -> None:
    async with Stack(settings, lambda _: None).running():
        second = Stack(settings, lambda _: None)
        with pytest.raises(DevStackError, match="already runs on the data folder"):
            async with second.running():
                pytest.fail("a second stack on the same folder")
        assert second.layout.run_file.exists()


@pytest.mark.usefixtures("dummies")
async def test_a_start_that_is_given_up_leaves_nothing_behind(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> None:
        raise DevStackError("not ready")

    monkeypatch.setattr(stack_module, "until_ready", never)
    stack = Stack(settings, lambda _: None)
    with pytest.raises(DevStackError, match="not ready"):
        async with stack.running():
            pytest.fail("the stack is not ready")
    assert not stack.layout.run_file.exists()
    for pid in stack._supervisor.pids().values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_second_stack_gets_ports_for_its_metrics_that_are_free() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        chosen = with_free_metrics_ports(Settings.model_construct(metrics_port=taken, _fields_set=set()))
        assert chosen.metrics_port != taken
        assert with_free_metrics_ports(Settings(metrics_port=taken)).metrics_port == taken
