"""Locks, ports and files."""

import os
import socket
import stat
from pathlib import Path

import pytest

from devtools.devstack import lock, ports
from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import read_json, write_private


def test_a_lock_is_exclusive_and_released(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with (
        lock.hold_lock(file),
        pytest.raises(DevStackError, match=rf"\(process {os.getpid()}\)"),
        lock.hold_lock(file),
    ):
        pytest.fail("the lock was acquired twice")
    with lock.hold_lock(file):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


async def test_an_occupied_port_is_reported_with_its_variable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        (other,) = ports.find_free("127.0.0.1", 1)
        required = {"INTEGRATOR_API_PORT": other, "INTEGRATOR_SANDBOX_PORT": port}
        with pytest.raises(DevStackError, match=rf"Port {port} .* INTEGRATOR_SANDBOX_PORT"):
            await ports.require_free("127.0.0.1", required, timeout=0.2)
    await ports.require_free("127.0.0.1", required, timeout=0)


async def test_the_same_port_for_two_servers_raises() -> None:
    with pytest.raises(DevStackError, match="A and B both name port 5"):
        await ports.require_free("127.0.0.1", {"A": 5, "B": 5})


def test_a_private_file_is_replaced_atomically(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    write_private(file, {"a": 1})
    write_private(file, {"a": 2})
    assert read_json(file) == {"a": 2}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "demo.json"
    write_private(file, {"a": 1})
    with pytest.raises(TypeError):
        write_private(file, {"a": object()})
    assert read_json(file) == {"a": 1}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", [None, "", "{", "[1]"])
def test_reading_anything_but_a_json_object_returns_none(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "run.json"
    if text is not None:
        file.write_text(text)
    assert read_json(file) is None


def test_large_logs_are_rotated(layout: Layout) -> None:
    small, large = layout.log("api"), layout.log("worker")
    small.write_text("few")
    with large.open("wb") as stream:
        stream.truncate(11 * 1024 * 1024)
    layout.rotate_logs()
    assert small.read_text() == "few"
    assert not large.exists()
    assert large.with_suffix(".log.1").exists()
