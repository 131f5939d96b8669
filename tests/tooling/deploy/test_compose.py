"""Compose files: valid in every combination, complete, and without secrets."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from integrator.settings import PREFIX, Settings
from tests.support.paths import ROOT

EXAMPLE = ROOT / "deploy/.env.example"
COMPOSE = shutil.which("docker-compose")

BASE = ("docker-compose.yml",)
PRODUCTION = (*BASE, "deploy/compose.production.yml")
PROFILES = ("sandbox", "observability")
COMBINATIONS = {
    "base": (BASE, ()),
    "production": (PRODUCTION, ()),
    "base, all profiles": (BASE, PROFILES),
    "production, all profiles": (PRODUCTION, PROFILES),
}
LONG_RUNNING = {
    "postgres",
    "temporal",
    "temporal-ui",
    "migrate",
    "api",
    "proxy",
    "worker",
    "codec-server",
}
JOBS = {"migrate", "temporal-schema", "temporal-namespace"}
"""Jobs end, so they have no health check."""

ADAPTER_VARIABLES = {"INTEGRATOR_SANDBOX_URL"}
SECRET = re.compile(r"(PASSWORD|PWD|TOKEN|KEYS|KEY|SECRET|DATABASE_URL)$")

pytestmark = pytest.mark.skipif(COMPOSE is None, reason="docker-compose is not installed")

Services = dict[str, dict[str, Any]]


def config(
    files: tuple[str, ...], profiles: tuple[str, ...] = (), env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    assert COMPOSE is not None
    arguments = [f"--profile={name}" for name in profiles]
    arguments += [part for file in files for part in ("-f", file)]
    return subprocess.run(
        [COMPOSE, "--project-directory", str(ROOT), *arguments, "config"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | (example() if env is None else env),
        capture_output=True,
        text=True,
        check=False,
    )


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module", params=COMBINATIONS, ids=str)
def configuration(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the configuration as docker-compose resolves it."""
    result = config(*COMBINATIONS[request.param])
    assert result.returncode == 0, result.stderr
    assert "variable is not set" not in result.stderr
    content: dict[str, Any] = yaml.safe_load(result.stdout)
    return content


@pytest.fixture(scope="module")
def services(configuration: dict[str, Any]) -> Services:
    services: Services = configuration["services"]
    return services


def own_services(services: Services) -> Services:
    """Return the services that run the project's image."""
    return {name: entry for name, entry in services.items() if "build" in entry}


def test_every_service_is_defined(services: Services) -> None:
    """docker-compose shows the services of all profiles, whichever are selected."""
    assert set(services) >= LONG_RUNNING
    rest = set(services) - LONG_RUNNING
    jobs = {"temporal-schema", "temporal-namespace"}
    assert rest <= jobs | {"sandbox-psp", "prometheus", "grafana"}


def test_optional_services_are_in_profiles() -> None:
    written = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    assert {name: entry["profiles"] for name, entry in written.items() if "profiles" in entry} == {
        "sandbox-psp": ["sandbox"],
        "prometheus": ["observability"],
        "grafana": ["observability"],
    }


def test_prometheus_scrapes_the_metrics_of_every_process(services: Services) -> None:
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    targets = {
        tuple(item["names"]): item["port"]
        for job in scraped["scrape_configs"]
        for item in job.get("dns_sd_configs", ())
    }
    assert targets == {
        ("api",): Settings.model_fields["metrics_port"].default,
        ("worker",): Settings.model_fields["worker_metrics_port"].default,
    }
    for (name,) in targets:
        assert services[name]["environment"]["INTEGRATOR_METRICS_BIND"] == "0.0.0.0"  # noqa: S104
        assert "default" in services[name].get("networks", {"default": None})


def test_the_public_url_is_required() -> None:
    result = config(BASE, env={})
    assert result.returncode != 0
    assert "INTEGRATOR_PUBLIC_URL" in result.stderr


def test_every_long_running_service_has_a_health_check(services: Services) -> None:
    for name, service in services.items():
        check = service["healthcheck"]
        if name in JOBS:
            assert check["test"] == ["NONE"]
        else:
            assert check["test"][0] in ("CMD", "CMD-SHELL")
            assert {"interval", "timeout", "retries"} <= set(check)


def test_every_service_has_restart_policy_limits_and_log_rotation(services: Services) -> None:
    for name, service in services.items():
        expected = {"migrate": "no"}.get(name, "on-failure" if name in JOBS else "unless-stopped")
        assert service["restart"] == expected, name
        limits = service["deploy"]["resources"]["limits"]
        assert float(limits["cpus"]) > 0
        assert re.fullmatch(r"[0-9]+[MG]", limits["memory"])
        assert {"max-size", "max-file"} <= set(service["logging"]["options"])
        assert "no-new-privileges:true" in service["security_opt"], name


def test_own_services_have_a_read_only_file_system(services: Services) -> None:
    for service in own_services(services).values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108 - a tmpfs inside the container


def test_api_and_worker_run_in_replicas(services: Services) -> None:
    assert services["api"]["deploy"]["replicas"] == 2
    assert services["worker"]["deploy"]["replicas"] == 2
    result = config(BASE, env=example() | {"API_REPLICAS": "5", "WORKER_REPLICAS": "7"})
    scaled = yaml.safe_load(result.stdout)["services"]
    assert scaled["api"]["deploy"]["replicas"] == 5
    assert scaled["worker"]["deploy"]["replicas"] == 7
    for name in ("api", "worker"):
        assert "container_name" not in services[name]
        assert "ports" not in services[name]


def test_every_integrator_variable_is_a_setting(services: Services) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields} | ADAPTER_VARIABLES
    for name, service in own_services(services).items():
        assert set(service.get("environment", {})) <= known, name


def test_secrets_are_passed_as_files_only(configuration: dict[str, Any]) -> None:
    for name, service in configuration["services"].items():
        granted = {entry["source"] for entry in service.get("secrets", ())}
        named = set()
        for variable, value in (service.get("environment") or {}).items():
            assert not SECRET.search(variable), f"{variable} of {name} is no file"
            if variable.endswith("_FILE"):
                assert value.startswith("/run/secrets/"), variable
                named.add(value.removeprefix("/run/secrets/"))
        if "build" in service:
            assert named == granted, name
        assert granted <= set(configuration["secrets"])


def test_the_script_generates_every_secret(configuration: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy/secrets.sh", tmp_path], check=True, capture_output=True)
    files = {Path(entry["file"]) for entry in configuration["secrets"].values()}
    assert {file.parent for file in files} == {ROOT / "deploy/secrets"}
    assert {file.name for file in files} <= {file.name for file in tmp_path.iterdir()}


def test_mounted_files_exist(services: Services) -> None:
    mounted = [
        Path(volume.split(":")[0])
        for service in services.values()
        for volume in service.get("volumes", ())
        if volume.startswith("/")
    ]
    assert mounted
    assert [file for file in mounted if not file.exists()] == []
    assert all(file.is_relative_to(ROOT / "deploy") for file in mounted)


def test_ports_are_published_on_loopback_only(services: Services) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published)


def test_only_the_proxy_can_be_published_on_all_addresses() -> None:
    result = config(BASE, PROFILES, env=example() | {"PROXY_BIND": "0.0.0.0"})  # noqa: S104
    services = yaml.safe_load(result.stdout)["services"]
    published = {
        name
        for name, service in services.items()
        for port in service.get("ports", ())
        if not str(port).startswith("127.0.0.1:")
    }
    assert published == {"proxy"}


def test_api_and_worker_wait_for_schema_and_temporal(services: Services) -> None:
    for name in ("api", "worker"):
        assert dependency_conditions(services, name) == {
            "migrate": "service_completed_successfully",
            "temporal": "service_healthy",
        }
    assert dependency_conditions(services, "migrate")["temporal"] == "service_healthy"


def dependency_conditions(services: Services, name: str) -> dict[str, str]:
    return {
        other: item["condition"] for other, item in services[name].get("depends_on", {}).items()
    }


def test_the_grace_period_covers_drain_and_open_requests(services: Services) -> None:
    api = services["api"]
    drain = float(api["environment"]["INTEGRATOR_DRAIN_SECONDS"])
    longest = Settings.model_fields["sync_budget_seconds"].default + 5
    assert parse_seconds(api["stop_grace_period"]) >= drain + longest + 5
    assert parse_seconds(services["worker"]["stop_grace_period"]) >= 15


def parse_seconds(text: str) -> int:
    assert text.endswith("s")
    return int(text[:-1])


def test_the_api_trusts_its_proxy_and_is_reached_only_through_it(services: Services) -> None:
    api, proxy = services["api"], services["proxy"]
    address = proxy["networks"]["front"]["ipv4_address"]
    assert api["environment"]["INTEGRATOR_TRUSTED_PROXIES"] == address
    assert set(proxy["networks"]) == {"front"}
    assert set(api["networks"]) == {"default", "front"}


def test_in_production_schema_server_and_namespace_start_in_order() -> None:
    result = config(PRODUCTION)
    services = yaml.safe_load(result.stdout)["services"]
    assert dependency_conditions(services, "temporal-schema") == {"postgres": "service_healthy"}
    assert (
        dependency_conditions(services, "temporal")["temporal-schema"]
        == "service_completed_successfully"
    )
    assert dependency_conditions(services, "temporal-namespace") == {"temporal": "service_healthy"}
    assert (
        dependency_conditions(services, "migrate")["temporal-namespace"]
        == "service_completed_successfully"
    )
    images = {name: entry["image"].split(":") for name, entry in services.items()}
    assert images["temporal"][0] == "temporalio/server"
    assert images["temporal-schema"] == images["temporal-namespace"]
    assert images["temporal"][1] == images["temporal-schema"][1]
    assert services["temporal"]["command"] == ["/etc/temporal/entrypoint.sh"]
    assert services["temporal"]["environment"]["NUM_HISTORY_SHARDS"] == "512"


def test_the_example_contains_no_secret() -> None:
    assert not [name for name in example() if SECRET.search(name)]
