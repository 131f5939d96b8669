"""The development stack of `make run`, run as a subprocess."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from devtools.devstack.ports import find_free

PORTS = ("API", "TEMPORAL", "TEMPORAL_UI", "SANDBOX", "CODEC", "METRICS", "WORKER_METRICS")


def free_ports(count: int) -> list[int]:
    """Return different ports that are free on this machine."""
    return find_free("127.0.0.1", count)


class Stack:
    """Stack on its own ports and data folder; can be stopped and restarted.

    `code` is the folder of the product's code, by default the working directory.
    """

    def __init__(
        self, data_dir: Path, env: Mapping[str, str] | None = None, code: Path | None = None
    ) -> None:
        self.data_dir = data_dir
        self._code = code
        ports = zip(PORTS, free_ports(len(PORTS)), strict=True)
        port_variables = {f"INTEGRATOR_{name}_PORT": str(port) for name, port in ports}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
        self._env = {
            **inherited,
            **port_variables,
            "INTEGRATOR_DATA_DIR": str(data_dir),
            "PYTHONUNBUFFERED": "1",
            **(env or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def env(self) -> dict[str, str]:
        """Return the stack's environment, for commands that connect to it."""
        return dict(self._env)

    @property
    def run(self) -> dict[str, Any]:
        """Return the current content of `run.json`."""
        text = (self.data_dir / "run.json").read_text()
        content: dict[str, Any] = json.loads(text)
        return content

    @property
    def token(self) -> str:
        """Return the demo merchant's bearer token."""
        return str(self.run["merchants"]["demo"]["token"])

    @property
    def demo(self) -> dict[str, str]:
        """Return the demo merchant's secrets: `token`, `api_key` and `webhook_secret`."""
        content: dict[str, str] = json.loads((self.data_dir / "demo.json").read_text())
        return content

    def start(self, seconds: float = 60) -> float:
        """Start and wait until the stack is ready; return how long that took, in seconds."""
        began = time.monotonic()
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with (self.data_dir / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "integrator.cli", "run"],
                cwd=self._code,
                env=self._env,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        while not (self.data_dir / "run.json").exists():
            if self._process.poll() is not None or time.monotonic() - began > seconds:
                raise RuntimeError(f"the stack did not start:\n{self.console()}")
            time.sleep(0.05)
        return time.monotonic() - began

    def stop(self, seconds: float = 40) -> int:
        """Send SIGINT and return the exit code."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(signal.SIGINT)
        return process.wait(timeout=seconds)

    def console(self) -> str:
        """Return the console output so far."""
        return (self.data_dir / "console.log").read_text()
