"""A deployment of docker-compose.yml in a folder of its own, as an operator has it."""

import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
import yaml

from tests.containers.names import client
from tests.support.certificates import CertificateAuthority
from tests.support.paths import ROOT

URL = "https://integrator.localhost"
HOST_IN_CONTAINERS = "172.31.254.128"
"""The gateway of the default network (the first address of its range): this machine."""
WEBHOOK_HOST = "webhooks.test"
SETTINGS = {
    "INTEGRATOR_PUBLIC_URL": URL,
    "INTEGRATOR_OUTBOUND_NETWORKS": f"172.31.254.2/32,{HOST_IN_CONTAINERS}/32",
}
UP_SECONDS = 240
KILL_IMAGE = "python:3.13-slim"

Container = dict[str, Any]

_SEVERE = re.compile(r'"level": "(WARNING|ERROR|CRITICAL)"')


class Deployment:
    """A folder with docker-compose.yml, `.env` and secrets, and the containers started from it."""

    def __init__(self, folder: Path, version: str) -> None:
        self.folder = folder
        self.project = folder.name
        folder.mkdir()
        shutil.copy(ROOT / "docker-compose.yml", folder)
        shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("test-*"))
        self.run("deploy/secrets.sh")
        self.webhook_authority = CertificateAuthority(folder)
        (folder / "compose.override.yml").write_text(yaml.safe_dump(self._override()))
        self.write_settings(SETTINGS | {"INTEGRATOR_VERSION": version})

    def _override(self) -> dict[str, Any]:
        """Return what only the tests need: no look-ups outside, and the webhook receiver."""
        names = yaml.safe_load((self.folder / "docker-compose.yml").read_text())["services"]
        # Where no resolver answers, look-ups of names outside would wait for their timeout.
        services: dict[str, dict[str, Any]] = {name: {"dns": ["127.0.0.1"]} for name in names}
        services["worker"] |= {
            "extra_hosts": [f"{WEBHOOK_HOST}:{HOST_IN_CONTAINERS}"],
            "environment": {"SSL_CERT_FILE": "/etc/webhooks/ca.pem"},
            "volumes": [f"{self.webhook_authority.certificate_file}:/etc/webhooks/ca.pem:ro"],
        }
        return {"services": services}

    def write_settings(self, settings: Mapping[str, str]) -> None:
        """Write `.env`, with the values of the example where none is given."""
        lines = (ROOT / "deploy/.env.example").read_text().splitlines()
        pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
        example = {name: value for name, _, value in pairs}
        text = "".join(f"{name}={value}\n" for name, value in (example | dict(settings)).items())
        (self.folder / ".env").write_text(text)

    def read_settings(self) -> dict[str, str]:
        """Return the variables of `.env`."""
        lines = (self.folder / ".env").read_text().splitlines()
        pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
        return {name: value for name, _, value in pairs}

    def run(self, *command: str, timeout: float = 300, stdin: str = "") -> str:
        """Run a command in the folder; return its output. Fails with both outputs."""
        result = self.run_unchecked(*command, timeout=timeout, stdin=stdin)
        assert result.returncode == 0, f"{command}:\n{result.stdout}\n{result.stderr}"
        return result.stdout

    def run_unchecked(
        self,
        *command: str,
        timeout: float = 300,
        env: Mapping[str, str] | None = None,
        stdin: str = "",
    ) -> "subprocess.CompletedProcess[str]":
        """Run a command in the folder; return the completed process."""
        return subprocess.run(
            command,
            cwd=self.folder,
            env=os.environ | (env or {}),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            input=stdin,
        )

    def compose(self, *arguments: str, timeout: float = 300) -> str:
        """Run `docker compose`; return its output."""
        return self.run("docker", "compose", *arguments, timeout=timeout)

    def integrator(self, *arguments: str) -> str:
        """Run a command of the integrator in a container of its own; return its output."""
        return self.compose("run", "--rm", "api", "integrator", *arguments)

    def up(self, *profiles: str) -> None:
        """Start everything and wait until it is healthy; fails with the logs of what is not."""
        options = [f"--profile={profile}" for profile in profiles]
        result = self.run_unchecked(
            *("docker", "compose", *options, "up", "--detach", "--wait", "--wait-timeout"),
            str(UP_SECONDS),
            timeout=UP_SECONDS + 60,
        )
        assert result.returncode == 0, f"{result.stderr}\n{self.describe_failure()}"

    def containers(self, service: str | None = None) -> list[Container]:
        """Return running and stopped containers as `docker compose ps` describes them."""
        names = [service] if service else []
        lines = self.compose("ps", "--all", "--format", "json", *names).splitlines()
        return [json.loads(line) for line in lines if line]

    def running(self, service: str) -> list[Container]:
        """Return the running containers of a service."""
        return [c for c in self.containers(service) if c["State"] == "running"]

    def wait_for_health(self, service: str, health: str, timeout: float) -> None:
        """Wait until a container of the service has this health."""
        deadline = time.monotonic() + timeout
        while True:
            states = [container["Health"] for container in self.running(service)]
            if health in states:
                return
            assert time.monotonic() < deadline, f"{service}: {states}, not {health}"
            time.sleep(0.5)

    def wait_until_healthy(self, service: str, number: int, timeout: float = 120) -> None:
        """Wait until so many containers of the service are healthy, and no other exists."""
        deadline = time.monotonic() + timeout
        while True:
            states = [(c["State"], c["Health"]) for c in self.containers(service)]
            if states == [("running", "healthy")] * number:
                return
            assert time.monotonic() < deadline, f"{service}: {states}\n{self.describe_failure()}"
            time.sleep(0.5)

    def kill(self, container: Container) -> None:
        """Kill a container's main process as a crash does: Docker then restarts the container.

        After `docker kill` it would not, and a signal from inside its namespace has no effect.
        """
        pid = self.run("docker", "inspect", "--format", "{{.State.Pid}}", container["ID"]).strip()
        options = ("--rm", "--pid", "host", "--network", "none", "--user", "0")
        self.run("docker", "run", *options, KILL_IMAGE, "sh", "-c", f"kill -9 {pid}")

    @contextmanager
    def follow_warnings(self, service: str) -> Iterator[list[str]]:
        """Collect warnings and errors of a service, also of containers that start and end."""
        lines: list[str] = []
        process = subprocess.Popen(
            ["docker", "compose", "logs", "--follow", "--no-color", "--since", "0s", service],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None

        def read(output: IO[str]) -> None:
            lines.extend(line.strip() for line in output if _SEVERE.search(line))

        thread = threading.Thread(target=read, args=[process.stdout])
        thread.start()
        try:
            yield lines
        finally:
            process.terminate()
            process.wait()
            thread.join()
            process.stdout.close()

    def describe_failure(self) -> str:
        """Return states and last log lines of the containers that do not run as they should."""
        parts = []
        for container in self.containers():
            finished = container["State"] == "exited" and container["ExitCode"] == 0
            if finished or container["Health"] == "healthy":
                continue
            logs = self.run_unchecked("docker", "logs", "--tail", "15", container["ID"])
            state = f"{container['State']} {container['Health']} ({container['ExitCode']})"
            parts.append(
                f"--- {container['Name']}: {state}\n{logs.stdout[-3000:]}{logs.stderr[-3000:]}"
            )
        return "\n".join(parts)

    def proxy_authority(self) -> Path:
        """Return the certificate of the proxy's private authority, as the documents copy it."""
        file = self.folder / "root.crt"
        self.compose("cp", "proxy:/data/caddy/pki/authorities/local/root.crt", str(file))
        file.chmod(0o644)
        return file

    def trust_proxy_in_sandbox(self) -> None:
        """Let the sandbox PSP trust the proxy's certificate."""
        self.compose("cp", str(self.proxy_authority()), "sandbox-psp:/data/proxy-authority.pem")

    def tls_context(self) -> ssl.SSLContext:
        """Return a TLS context that trusts the proxy's authority only."""
        return ssl.create_default_context(cafile=str(self.proxy_authority()))

    def client(self) -> httpx.Client:
        """Return an HTTP client of the API through the proxy, over verified TLS."""
        return client(self.tls_context(), base_url=URL)

    def down(self, *, volumes: bool) -> None:
        """Stop and remove all containers, and the data with `volumes`."""
        options = ["--volumes"] if volumes else []
        profiles = ("--profile=sandbox", "--profile=observability")
        self.compose(*profiles, "down", "--remove-orphans", *options)
