"""A real Alertmanager, started by the deployment's script."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from devtools.campaign.stack import free_ports
from tests.e2e.observability.files import ALERTMANAGER, find_tool

START_SECONDS = 30.0
INTERVALS = re.compile(r"(group_wait|group_interval): \w+")


def prepare_environment(folder: Path, receiver: str) -> dict[str, str]:
    """Return the environment of run.sh, with the receiver's address in a file."""
    programs = folder / "bin"
    programs.mkdir()
    for name in ("alertmanager", "amtool"):
        (programs / name).symlink_to(find_tool(name))
    secret = folder / "alert_webhook_url"
    secret.write_text(f"{receiver}\n")
    temporary = folder / "tmp"
    temporary.mkdir()
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "ALERT_WEBHOOK_URL_FILE": str(secret),
        "TMPDIR": str(temporary),
    }


def _copy_with_short_intervals(folder: Path) -> Path:
    """Copy deploy/alertmanager with a configuration that does not wait for further alerts."""
    copy = folder / "alertmanager"
    shutil.copytree(ALERTMANAGER, copy)
    file = copy / "alertmanager.yml"
    # Not through a YAML library: the script appends to the text.
    file.write_text(INTERVALS.sub(r"\1: 1s", file.read_text()))
    return copy / "run.sh"


@contextmanager
def run_alertmanager(folder: Path, receiver: str) -> Iterator[str]:
    """Run Alertmanager for a receiver's address or `none`; yields its `host:port`."""
    folder.mkdir()
    env = prepare_environment(folder, receiver)
    script = _copy_with_short_intervals(folder)
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    argv = ["/bin/sh", str(script), f"--storage.path={folder / 'data'}"]
    argv += ["--cluster.listen-address=", f"--web.listen-address={address}"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(address, process, folder / "log")
        yield address
    finally:
        process.terminate()
        process.wait(20)


def _wait_until_ready(address: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            if httpx.get(f"http://{address}/-/ready").is_success:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, "Alertmanager does not start"
        time.sleep(0.1)
