"""deploy/preflight.sh finds what would not start or would connect what must not be connected."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT

NETWORK = "172.31.254.0/24"
OWN_NETWORK = "0123456789ab"
"""Id of a network that belongs to this project."""


class Machine:
    """A folder with the deployment's files, and programs that describe a machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "integrator"
        self._programs = folder / "programs"
        self._programs.mkdir()
        shutil.copytree(ROOT / "deploy", self.folder / "deploy")
        shutil.rmtree(self.folder / "deploy/secrets", ignore_errors=True)
        subprocess.run([self.folder / "deploy/secrets.sh"], check=True, capture_output=True)
        shutil.copy(ROOT / "deploy/.env.example", self.folder / ".env")
        self.set_docker(version="2.26.1-4")
        self.set_program("nproc", "echo 2")
        self.set_routes("default via 10.0.0.1 dev eth0", "10.0.0.0/24 dev eth0 proto kernel")

    def set_program(self, name: str, script: str) -> None:
        """Replace a program by a script."""
        program = self._programs / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def set_docker(self, version: str, info: int = 0, networks: str = "") -> None:
        """Replace Docker by one with this version, result of `info`, and ids of networks."""
        answers = f"compose) echo {version} ;; info) exit {info} ;; network) echo {networks} ;;"
        self.set_program("docker", f'case "$1" in {answers} *) exit 9 ;; esac')

    def set_routes(self, *routes: str) -> None:
        """Replace the machine's routes."""
        lines = "\n".join(routes)
        self.set_program("ip", f"cat <<'END'\n{lines}\nEND")

    def change(self, **settings: str) -> None:
        """Add variables to `.env`; the last of a name counts."""
        with (self.folder / ".env").open("a") as file:
            file.writelines(f"{name}={value}\n" for name, value in settings.items())

    def check(self, **env: str) -> "subprocess.CompletedProcess[str]":
        """Run the script."""
        return subprocess.run(
            [self.folder / "deploy/preflight.sh"],
            env={"PATH": f"{self._programs}:{os.environ['PATH']}"} | env,
            capture_output=True,
            text=True,
            check=False,
        )

    def problems(self, **env: str) -> list[str]:
        """Run the script; return the lines of the problems it found."""
        result = self.check(**env)
        assert result.returncode == 1, result.stdout
        *problems, last = result.stderr.splitlines()
        assert last == f"{len(problems)} problems: nothing was changed."
        return problems


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_example_has_no_problem(machine: Machine) -> None:
    result = machine.check()
    assert (result.returncode, result.stdout, result.stderr) == (0, "No problem found.\n", "")


def test_missing_settings_file(machine: Machine) -> None:
    (machine.folder / ".env").unlink()
    result = machine.check()
    assert result.returncode == 1
    assert "cp deploy/.env.example .env" in result.stderr


@pytest.mark.parametrize("name", ["integrator_keys", "temporal_db_password", "alert_webhook_url"])
def test_missing_or_empty_secret(machine: Machine, name: str) -> None:
    secret = machine.folder / "deploy/secrets" / name
    secret.write_text("")
    expected = [f"deploy/secrets/{name} is missing: run deploy/secrets.sh."]
    assert machine.problems() == expected
    secret.unlink()
    assert machine.problems() == expected


def test_every_secret_of_the_script_is_checked(machine: Machine) -> None:
    secrets = list((machine.folder / "deploy/secrets").iterdir())
    for secret in secrets:
        secret.unlink()
    assert len(machine.problems()) == len(secrets)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("", "set the address at which"),
        ("http://pay.example", "https://..."),
        ("https://pay.example/", "remove the slash"),
    ],
)
def test_wrong_public_url(machine: Machine, url: str, remedy: str) -> None:
    machine.change(INTEGRATOR_PUBLIC_URL=url)
    (problem,) = machine.problems()
    assert problem.startswith("INTEGRATOR_PUBLIC_URL is ")
    assert remedy in problem


def test_variables_of_the_shell_take_precedence(machine: Machine) -> None:
    (problem,) = machine.problems(INTEGRATOR_PUBLIC_URL="http://pay.example")
    assert "http://pay.example" in problem


def test_absent_docker(machine: Machine) -> None:
    machine.set_program("docker", "exit 1")
    (problem,) = machine.problems()
    assert "install Docker" in problem


@pytest.mark.parametrize(
    ("version", "accepted"),
    [("1.29.2", False), ("2.9.0", False), ("v2.24.0", True), ("v5.0.1", True)],
)
def test_version_of_compose(machine: Machine, version: str, accepted: bool) -> None:
    machine.set_docker(version)
    if accepted:
        assert machine.check().returncode == 0
    else:
        assert machine.problems() == [
            f"docker compose is version {version}: 2.24 or newer is needed."
        ]


def test_stopped_daemon(machine: Machine) -> None:
    machine.set_docker("2.26.1", info=1)
    (problem,) = machine.problems()
    assert "daemon does not answer" in problem


@pytest.mark.parametrize("name", ["POSTGRES_CPUS", "TEMPORAL_CPUS"])
def test_limits_above_the_machines_cpus(machine: Machine, name: str) -> None:
    machine.change(**{name: "4"})
    (problem,) = machine.problems()
    assert problem.startswith(f"{name} is 4, but this machine has 2 CPUs")
    machine.set_program("nproc", "echo 4")
    assert machine.check().returncode == 0


def test_a_fraction_above_the_machines_cpus(machine: Machine) -> None:
    machine.change(TEMPORAL_CPUS="2.5")
    (problem,) = machine.problems()
    assert problem.startswith("TEMPORAL_CPUS is 2.5")


def test_overlapping_networks_of_the_project(machine: Machine) -> None:
    machine.change(METRICS_SUBNET="172.31.254.64/26")
    (problem,) = machine.problems()
    assert "METRICS_SUBNET 172.31.254.64/26 overlap" in problem


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"PROXY_ADDRESS": "172.31.250.2"}, "PROXY_ADDRESS 172.31.250.2 is not in FRONT_SUBNET"),
        (
            {"SANDBOX_ADDRESS": "172.31.250.2"},
            "SANDBOX_ADDRESS 172.31.250.2 is not in DEFAULT_SUBNET",
        ),
        (
            {"DEFAULT_RANGE": "172.31.250.0/25"},
            f"DEFAULT_RANGE 172.31.250.0/25 is not in the network {NETWORK}",
        ),
        (
            {"FRONT_RANGE": "172.31.255.0/24"},
            "FRONT_RANGE 172.31.255.0/24 contains 172.31.255.2",
        ),
    ],
)
def test_addresses_outside_of_their_network(
    machine: Machine, settings: dict[str, str], expected: str
) -> None:
    machine.change(**settings)
    (problem,) = machine.problems()
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("route", "named"),
    [
        ("172.31.0.0/16 dev tun0 proto static", "172.31.0.0/16 (tun0)"),
        ("172.31.254.7 via 10.0.0.3 dev tun0", "172.31.254.7 (tun0)"),
        ("unreachable 172.31.254.0/25", "172.31.254.0/25 (-)"),
    ],
)
def test_routes_of_the_machine_into_a_network_of_the_project(
    machine: Machine, route: str, named: str
) -> None:
    machine.set_routes("default via 10.0.0.1 dev eth0", route)
    problems = machine.problems()
    assert problems
    assert all(f"overlaps this machine's route to {named}:" in problem for problem in problems)
    assert any(problem.startswith(f"DEFAULT_SUBNET {NETWORK}") for problem in problems)


def test_both_halves_of_a_default_route_are_no_problem(machine: Machine) -> None:
    """Some VPNs replace the default route by two halves."""
    machine.set_routes("0.0.0.0/1 via 10.8.0.1 dev tun0", "128.0.0.0/1 via 10.8.0.1 dev tun0")
    assert machine.check().returncode == 0


def test_networks_of_the_running_project_are_no_problem(machine: Machine) -> None:
    route = f"{NETWORK} dev br-{OWN_NETWORK} proto kernel"
    machine.set_routes(route)
    assert len(machine.problems()) == 1
    machine.set_docker("2.26.1", networks=OWN_NETWORK)
    assert machine.check().returncode == 0


@pytest.mark.parametrize("network", ["172.31.0.0/16", NETWORK, "172.31.254.5", "172.31.255.2/32"])
def test_outbound_networks_with_containers_of_the_project(machine: Machine, network: str) -> None:
    machine.change(INTEGRATOR_OUTBOUND_NETWORKS=f"10.1.0.0/16,{network}")
    problems = machine.problems()
    assert problems
    assert all(
        problem.startswith(f"INTEGRATOR_OUTBOUND_NETWORKS contains {network},")
        for problem in problems
    )


@pytest.mark.parametrize("networks", ["172.31.254.2/32", "172.31.254.2,10.1.0.0/16", "fd00::/8"])
def test_outbound_networks_without_containers_of_the_project(
    machine: Machine, networks: str
) -> None:
    machine.change(INTEGRATOR_OUTBOUND_NETWORKS=networks)
    assert machine.check().returncode == 0
