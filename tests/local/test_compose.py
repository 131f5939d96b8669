"""The container files: valid, complete, and without a secret."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "deploy/.env.example"
COMPOSE = shutil.which("docker-compose")
CADDY = shutil.which("caddy")

needs_compose = pytest.mark.skipif(COMPOSE is None, reason="docker-compose is not installed")


def config(
    *arguments: str, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    assert COMPOSE is not None
    return subprocess.run(
        [
            COMPOSE,
            "--project-directory",
            str(ROOT),
            *arguments,
            "-f",
            "docker-compose.yml",
            "config",
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | (env or {}),
        capture_output=True,
        text=True,
        check=False,
    )


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    result = config("--env-file", str(EXAMPLE))
    assert result.returncode == 0, result.stderr
    services: dict[str, Any] = yaml.safe_load(result.stdout)["services"]
    return services


@needs_compose
def test_the_configuration_is_valid_and_complete(services: dict[str, Any]) -> None:
    assert set(services) == {
        "postgres",
        "temporal",
        "temporal-ui",
        "migrate",
        "api",
        "proxy",
        "worker",
        "codec-server",
        "sandbox-psp",
    }


@needs_compose
@pytest.mark.parametrize(
    "name",
    [
        "INTEGRATOR_KEYS",
        "INTEGRATOR_CODEC_TOKEN",
        "INTEGRATOR_PUBLIC_URL",
        "POSTGRES_PASSWORD",
        "INTEGRATOR_DB_PASSWORD",
        "TEMPORAL_DB_PASSWORD",
    ],
)
def test_nothing_starts_without_a_secret_of_the_operators(name: str) -> None:
    env = {key: value for key, value in example().items() if key != name}
    result = config(env=env)
    assert result.returncode != 0
    assert name in result.stderr


@needs_compose
def test_whatever_runs_for_long_has_a_health_check(services: dict[str, Any]) -> None:
    without = {name for name, service in services.items() if "healthcheck" not in service}
    assert without == {"migrate", "temporal-ui"}


@needs_compose
def test_ports_are_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


@needs_compose
def test_api_and_worker_wait_for_schema_and_temporal(services: dict[str, Any]) -> None:
    for name in ("api", "worker"):
        waits = {other: how["condition"] for other, how in services[name]["depends_on"].items()}
        assert waits == {
            "migrate": "service_completed_successfully",
            "temporal": "service_healthy",
        }


@needs_compose
def test_the_api_believes_its_proxy_and_is_reached_through_it_alone(
    services: dict[str, Any],
) -> None:
    api, proxy = services["api"], services["proxy"]
    address = proxy["networks"]["front"]["ipv4_address"]
    assert api["environment"]["INTEGRATOR_TRUSTED_PROXIES"] == address
    assert "ports" not in api
    assert set(proxy["networks"]) == {"front"}
    assert set(api["networks"]) == {"default", "front"}


@pytest.mark.skipif(CADDY is None, reason="caddy is not installed")
def test_the_proxys_configuration_is_valid() -> None:
    assert CADDY is not None
    file = ROOT / "deploy/caddy/Caddyfile"
    result = subprocess.run(
        [CADDY, "validate", "--adapter", "caddyfile", "--config", str(file)],
        env={"PATH": os.environ["PATH"], "INTEGRATOR_PUBLIC_URL": "https://integrator.example"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


def test_the_example_has_no_real_secret() -> None:
    secrets = {name: value for name, value in example().items() if "change-me" in value}
    assert set(secrets) >= {"INTEGRATOR_KEYS", "POSTGRES_PASSWORD"}


def test_the_image_copies_every_package() -> None:
    copied = set(re.findall(r"^COPY (\w+) \w+$", (ROOT / "Dockerfile").read_text(), re.M))
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"tests", "campaign"}
    assert copied == packages
    context = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{package}" for package in packages} <= set(context)
