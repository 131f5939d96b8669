"""The compose file: valid in every combination of profiles, complete, hardened, without secrets."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import yaml

from integrator.settings import PREFIX, Settings
from tests.support.compose import MISSING, compose_command
from tests.support.paths import ROOT

EXAMPLE = ROOT / "deploy/.env.example"

PROFILES = ("sandbox", "observability")
JOBS = {"migrate", "temporal-schema", "temporal-namespace"}
"""Jobs end, so they have no health check."""

BASE = JOBS | {"postgres", "temporal", "temporal-ui", "api", "proxy", "worker", "codec-server"}
IN_PROFILES = {
    "sandbox-psp": "sandbox",
    "prometheus": "observability",
    "alertmanager": "observability",
    "grafana": "observability",
}
HEALTH_CHECKED = {"api", "worker", "codec-server"}
"""Services whose health is that of `integrator.healthcheck`."""

CAPABILITIES = {
    # Its entry point gives the data to the user postgres and continues as that user.
    "postgres": {"CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID"},
    "proxy": {"NET_BIND_SERVICE"},
}
"""All that is not dropped."""

CPUS = 2
"""A limit above the CPUs of the smallest supported machine would prevent the container's start."""

ADAPTER_VARIABLES = {"INTEGRATOR_SANDBOX_URL"}
OTHER_VARIABLES = {"SANDBOX_WEBHOOK_CA_FILE"}
SECRET = re.compile(r"(PASSWORD|PWD|TOKEN|KEYS|KEY|SECRET|DATABASE_URL|WEBHOOK_URL)$")

pytestmark = pytest.mark.skipif(compose_command() is None, reason=MISSING)

Service = dict[str, Any]
Services = dict[str, Service]
Configuration = dict[str, Any]


def run_config(
    profiles: tuple[str, ...] = PROFILES, env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    command = compose_command()
    assert command is not None
    options = [f"--profile={name}" for name in profiles]
    # An absent file as `.env`: the one of this checkout must not decide.
    files = ["--project-directory", str(ROOT), "--env-file", os.devnull]
    return subprocess.run(
        [*command, *files, *options, "config", "--format", "json"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]} | (example() if env is None else env),
        capture_output=True,
        text=True,
        check=False,
    )


def resolve(
    changes: Mapping[str, str] | None = None, profiles: tuple[str, ...] = PROFILES
) -> Configuration:
    """Return the configuration as Compose resolves it, with changes of the example's settings."""
    result = run_config(profiles, example() | dict(changes or {}))
    assert result.returncode == 0, result.stderr
    assert "variable is not set" not in result.stderr
    content: Configuration = json.loads(result.stdout)
    return content


def example() -> dict[str, str]:
    lines = EXAMPLE.read_text().splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module")
def written() -> Configuration:
    content: Configuration = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


@pytest.fixture(scope="module")
def configuration() -> Configuration:
    """Return the resolved configuration with all profiles."""
    return resolve()


@pytest.fixture(scope="module")
def services(configuration: Configuration) -> Services:
    services: Services = configuration["services"]
    return services


def own_services(services: Services) -> Services:
    """Return the services that run the project's image."""
    return {name: entry for name, entry in services.items() if "build" in entry}


@pytest.mark.parametrize(
    "profiles",
    [chosen for number in range(3) for chosen in combinations(PROFILES, number)],
    ids=lambda profiles: "+".join(profiles) or "none",
)
def test_every_combination_of_profiles_has_its_services(profiles: tuple[str, ...]) -> None:
    chosen = {name for name, profile in IN_PROFILES.items() if profile in profiles}
    assert set(resolve(profiles=profiles)["services"]) == BASE | chosen


def test_profiles_of_the_documents_are_the_files(written: Configuration) -> None:
    profiles = {name: entry.get("profiles", []) for name, entry in written["services"].items()}
    assert {name: profile for name, profile in profiles.items() if profile} == {
        name: [profile] for name, profile in IN_PROFILES.items()
    }


def test_the_public_url_is_required() -> None:
    result = run_config(env={})
    assert result.returncode != 0
    assert "INTEGRATOR_PUBLIC_URL" in result.stderr


def test_every_service_is_hardened(services: Services) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert set(service.get("cap_add", ())) == CAPABILITIES.get(name, set()), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "/tmp" in service["tmpfs"], name  # noqa: S108 - a tmpfs inside the container
        assert not service.get("privileged"), name
        for shared in ("network_mode", "pid", "ipc", "userns_mode", "devices"):
            assert shared not in service, name


def test_every_service_has_limits_that_fit_two_cpus(services: Services) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert 0 < float(limits["cpus"]) <= CPUS, name
        assert 128 * 2**20 <= int(limits["memory"]) <= 2 * 2**30, name
        assert 0 < int(limits["pids"]) <= 500, name


def test_every_service_has_a_restart_policy_and_log_rotation(services: Services) -> None:
    for name, service in services.items():
        expected = {"migrate": "no"}.get(name, "on-failure" if name in JOBS else "unless-stopped")
        assert service["restart"] == expected, name
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name


def test_every_long_running_service_has_a_health_check(services: Services) -> None:
    for name, service in services.items():
        check = service["healthcheck"]
        if name in JOBS:
            assert check == {"disable": True}, name
        else:
            assert check["test"][0] in ("CMD", "CMD-SHELL"), name
            assert {"interval", "timeout", "retries"} <= set(check), name
    for name in HEALTH_CHECKED:
        expected = ["CMD", "python", "-m", "integrator.healthcheck", name]
        assert services[name]["healthcheck"]["test"] == expected


def test_a_single_command_starts_no_other_service(services: Services) -> None:
    """`docker compose run --rm api` starts what `api` depends on: nothing."""
    for name in HEALTH_CHECKED:
        assert "depends_on" not in services[name], name


def test_schema_server_namespace_and_migration_start_in_order(services: Services) -> None:
    completed, healthy = "service_completed_successfully", "service_healthy"
    assert dependency_conditions(services, "temporal-schema") == {"postgres": healthy}
    assert dependency_conditions(services, "temporal") == {"temporal-schema": completed}
    assert dependency_conditions(services, "temporal-namespace") == {"temporal": healthy}
    assert dependency_conditions(services, "migrate") == {
        "postgres": healthy,
        "temporal-namespace": completed,
    }
    # The project is up when the proxy is.
    assert dependency_conditions(services, "proxy") == {"migrate": completed, "api": healthy}
    assert services["temporal-schema"]["image"] == services["temporal-namespace"]["image"]
    assert services["temporal"]["environment"]["NUM_HISTORY_SHARDS"] == "512"


def dependency_conditions(services: Services, name: str) -> dict[str, str]:
    return {
        other: item["condition"] for other, item in services[name].get("depends_on", {}).items()
    }


def test_api_and_worker_run_in_replicas(services: Services) -> None:
    scaled = resolve({"API_REPLICAS": "5", "WORKER_REPLICAS": "7"})["services"]
    for name, replicas in (("api", 5), ("worker", 7)):
        assert services[name]["deploy"]["replicas"] == 2
        assert scaled[name]["deploy"]["replicas"] == replicas
        assert "container_name" not in services[name]
        assert "ports" not in services[name]


def test_sizes_are_settings() -> None:
    changes = {
        "POSTGRES_CPUS": "4",
        "POSTGRES_MEMORY": "6G",
        "TEMPORAL_CPUS": "3",
        "TEMPORAL_MEMORY": "4G",
    }
    larger = resolve(changes)["services"]
    limits = {
        name: larger[name]["deploy"]["resources"]["limits"] for name in ("postgres", "temporal")
    }
    assert float(limits["postgres"]["cpus"]) == 4
    assert float(limits["temporal"]["cpus"]) == 3
    assert int(limits["postgres"]["memory"]) == 6 * 2**30
    assert int(limits["temporal"]["memory"]) == 4 * 2**30


def test_workers_are_versions_of_a_deployment(services: Services) -> None:
    assert services["worker"]["environment"]["INTEGRATOR_WORKER_DEPLOYMENT"] == "payment-integrator"


def test_every_variable_is_a_setting(services: Services) -> None:
    known = {f"{PREFIX}{field.upper()}" for field in Settings.model_fields}
    for name, service in own_services(services).items():
        named = set(service.get("environment", {}))
        assert named <= known | ADAPTER_VARIABLES | OTHER_VARIABLES, name


def test_secrets_are_passed_as_files_only(configuration: Configuration) -> None:
    for name, service in configuration["services"].items():
        granted = {entry["source"] for entry in service.get("secrets", ())}
        named = set()
        for variable, value in service.get("environment", {}).items():
            assert not SECRET.search(variable), f"{variable} of {name} is no file"
            if variable.endswith("_FILE") and variable not in OTHER_VARIABLES:
                assert value.startswith("/run/secrets/"), variable
                named.add(value.removeprefix("/run/secrets/"))
        if "build" in service:
            assert named == granted, name
        assert granted <= set(configuration["secrets"]), name


def test_no_argument_contains_a_secret_or_reads_one_into_it(written: Configuration) -> None:
    """Arguments are visible in lists of processes and containers."""
    for name, service in written["services"].items():
        for part in ("command", "entrypoint"):
            # The name of a script may say that it reads a password.
            text = re.sub(r"[\w./-]+\.sh\b", "", json.dumps(service.get(part, "")))
            assert not re.search(r"(?i)password|secret|token=|\$\$\(", text), f"{part} of {name}"
        assert not service.get("labels"), name


def test_the_script_generates_every_secret(configuration: Configuration, tmp_path: Path) -> None:
    subprocess.run([ROOT / "deploy/secrets.sh", tmp_path], check=True, capture_output=True)
    files = {Path(entry["file"]) for entry in configuration["secrets"].values()}
    assert {file.parent for file in files} == {ROOT / "deploy/secrets"}
    assert {file.name for file in files} == {file.name for file in tmp_path.iterdir()}


def test_mounted_files_exist_and_are_read_only(services: Services) -> None:
    mounts = [volume for entry in services.values() for volume in entry.get("volumes", ())]
    mounted = [volume for volume in mounts if volume["type"] == "bind"]
    assert mounted
    assert all(volume["read_only"] for volume in mounted)
    files = [Path(volume["source"]) for volume in mounted]
    assert [file for file in files if not file.exists()] == []
    assert all(file.is_relative_to(ROOT / "deploy") for file in files)


def published_addresses(services: Services) -> dict[str, set[str]]:
    return {
        name: {port.get("host_ip", "") for port in entry["ports"]}
        for name, entry in services.items()
        if "ports" in entry
    }


def test_ports_are_published_on_loopback_only(services: Services) -> None:
    published = published_addresses(services)
    assert set(published) == {
        *("proxy", "temporal-ui", "codec-server", "sandbox-psp"),
        *("prometheus", "alertmanager", "grafana"),
    }
    assert set().union(*published.values()) == {"127.0.0.1"}


def test_only_the_proxy_can_be_published_on_all_addresses() -> None:
    everywhere = "0.0.0.0"  # noqa: S104
    published = published_addresses(resolve({"PROXY_BIND": everywhere})["services"])
    assert {name for name, hosts in published.items() if hosts != {"127.0.0.1"}} == {"proxy"}
    assert published["proxy"] == {everywhere}


def test_the_grace_period_covers_drain_and_open_requests(services: Services) -> None:
    api = services["api"]
    drain = float(api["environment"]["INTEGRATOR_DRAIN_SECONDS"])
    longest = Settings.model_fields["sync_budget_seconds"].default + 5
    assert parse_seconds(api["stop_grace_period"]) >= drain + longest + 5
    assert parse_seconds(services["worker"]["stop_grace_period"]) >= 15
    assert parse_seconds(services["postgres"]["stop_grace_period"]) >= 60


def parse_seconds(text: str) -> int:
    """Return the seconds of a duration such as `1m30s`."""
    match = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", text)
    assert match is not None, text
    return 60 * int(match[1] or 0) + int(match[2] or 0)


def test_the_api_trusts_its_proxy_and_is_reached_only_through_it(services: Services) -> None:
    api, proxy = services["api"], services["proxy"]
    address = proxy["networks"]["front"]["ipv4_address"]
    assert api["environment"]["INTEGRATOR_TRUSTED_PROXIES"] == address
    assert set(proxy["networks"]) == {"front", "metrics"}
    assert set(api["networks"]) == {"default", "front"}
    assert {name for name, entry in services.items() if "front" in entry["networks"]} == {
        *("api", "proxy", "sandbox-psp")
    }


def test_every_network_is_a_setting() -> None:
    changes = {
        "DEFAULT_SUBNET": "10.9.1.0/24",
        "DEFAULT_RANGE": "10.9.1.128/25",
        "SANDBOX_ADDRESS": "10.9.1.2",
        "FRONT_SUBNET": "10.9.2.0/24",
        "FRONT_RANGE": "10.9.2.128/25",
        "PROXY_ADDRESS": "10.9.2.2",
        "METRICS_SUBNET": "10.9.3.0/24",
    }
    assert set(changes) <= set(example())
    moved = resolve(changes)
    assert {name: network["ipam"]["config"] for name, network in moved["networks"].items()} == {
        "default": [{"subnet": "10.9.1.0/24", "ip_range": "10.9.1.128/25"}],
        "front": [{"subnet": "10.9.2.0/24", "ip_range": "10.9.2.128/25"}],
        "metrics": [{"subnet": "10.9.3.0/24"}],
    }
    assert "172.31." not in json.dumps(moved)


def test_the_example_states_the_defaults() -> None:
    """A setting left out of `.env` has the value of the example."""
    required = {"INTEGRATOR_PUBLIC_URL": example()["INTEGRATOR_PUBLIC_URL"]}
    result = run_config(env=required)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == resolve()


def test_the_example_contains_no_secret() -> None:
    assert not [name for name in example() if SECRET.search(name)]
