"""Newer versions of the libraries in the lock files, by pip."""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from devtools.outdated.programs import Run

_PINNED = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)


ENVIRONMENTS: Mapping[str, tuple[str, ...]] = {
    ".venv": (
        "requirements.lock",
        "requirements-dev.lock",
        "requirements-devtools.lock",
        "requirements-temporal.lock",
    ),
    ".localstripe": ("requirements-localstripe.lock",),
    ".client-generator": ("requirements-client-generator.lock",),
}
"""Lock files by the virtual environment that is installed from them."""

PINNED_ON_PURPOSE = frozenset({"requirements-temporal-oldest.lock"})
"""Lock files whose versions stay: the oldest supported Temporal server."""

_PROBE = "temporalio"
"""A library that every package index has: without an index pip lists nothing and exits with 0."""


@dataclass(frozen=True)
class PythonResult:
    """A library with a newer version; `held_by` is the requirement that excludes that version."""

    name: str
    locked: str
    latest: str
    lock_files: tuple[str, ...]
    held_by: str | None


@dataclass(frozen=True)
class EnvironmentResult:
    """Libraries of an environment with newer versions; `reason` says why they are not known."""

    name: str
    packages: tuple[PythonResult, ...] = ()
    reason: str = ""


def read_locks(root: Path, lock_files: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the locked versions by lock file and normalized name of the library."""
    return {
        name: {
            canonicalize_name(package): version
            for package, version in _PINNED.findall((root / name).read_text())
        }
        for name in lock_files
    }


def read_requirements(root: Path) -> dict[str, Requirement]:
    """Return the direct requirements of `pyproject.toml`, by normalized name."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    optional = chain.from_iterable(project["optional-dependencies"].values())
    requirements = map(Requirement, chain(project["dependencies"], optional))
    return {canonicalize_name(item.name): item for item in requirements}


def check_environments(root: Path, run: Run) -> list[EnvironmentResult]:
    """Look for newer versions of the libraries of each environment of the repository."""
    requirements = read_requirements(root)
    return [
        _check_environment(root, name, read_locks(root, lock_files), requirements, run)
        for name, lock_files in ENVIRONMENTS.items()
    ]


def _check_environment(
    root: Path,
    name: str,
    locks: Mapping[str, Mapping[str, str]],
    requirements: Mapping[str, Requirement],
    run: Run,
) -> EnvironmentResult:
    pip = (str(root / name / "bin/python"), "-m", "pip", "--disable-pip-version-check")
    try:
        probe = run((*pip, "index", "versions", _PROBE))
        if probe.code != 0:
            return EnvironmentResult(name, reason=f"no package index reachable: {probe.reason}")
        listed = run((*pip, "list", "--outdated", "--format", "json"))
    except FileNotFoundError:
        return EnvironmentResult(name, reason="not installed; `.ci/run` installs it")
    if listed.code != 0:
        return EnvironmentResult(name, reason=f"pip failed: {listed.reason}")
    latest: dict[str, str] = {
        canonicalize_name(item["name"]): item["latest_version"]
        for item in json.loads(listed.stdout)
    }
    return EnvironmentResult(name, tuple(_compare(latest, locks, requirements)))


def _compare(
    latest_versions: Mapping[str, str],
    locks: Mapping[str, Mapping[str, str]],
    requirements: Mapping[str, Requirement],
) -> Iterator[PythonResult]:
    """Yield the libraries whose locked version is not the latest, by version and lock files."""
    for name, latest in sorted(latest_versions.items()):
        files_by_version: dict[str, list[str]] = {}
        for file, pins in locks.items():
            if pins.get(name, latest) != latest:
                files_by_version.setdefault(pins[name], []).append(file)
        held = _holding_requirement(requirements.get(name), latest)
        for version, files in files_by_version.items():
            yield PythonResult(name, version, latest, tuple(files), held)


def _holding_requirement(requirement: Requirement | None, latest: str) -> str | None:
    if requirement is None or requirement.specifier.contains(latest):
        return None
    return str(requirement)
