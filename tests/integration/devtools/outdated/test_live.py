"""Test the report against the package index and the Go module proxy; skipped without them."""

import shutil
import subprocess
import sys
import venv
from datetime import date
from pathlib import Path

import pytest

from devtools.outdated.images import check_images
from devtools.outdated.programs import run
from devtools.outdated.python_packages import check_environments
from devtools.outdated.versions_file import ImageVersion
from tests.support.paths import ROOT

OLD_PACKAGE = "iniconfig==1.0.0"
"""A small library whose newer versions have existed for years."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A repository whose only environment has an old library."""
    venv.create(tmp_path / ".venv", with_pip=True)
    python = str(tmp_path / ".venv/bin/python")
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    installed = subprocess.run([*pip, OLD_PACKAGE], capture_output=True, text=True, check=False)
    if installed.returncode != 0:
        pytest.skip(f"no package index is reachable: {installed.stderr.strip()}")
    for lock_file in ROOT.glob("requirements*.lock"):
        (tmp_path / lock_file.name).write_text(f"{OLD_PACKAGE} \\\n")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_a_newer_library_is_found(root: Path) -> None:
    dev, *others = check_environments(root, run)
    assert dev.reason == ""
    [package] = dev.packages
    assert (package.name, package.locked) == ("iniconfig", "1.0.0")
    assert package.latest > "2"
    assert [other.reason for other in others] == ["not installed; `.ci/run` installs it"] * 2


def test_a_newer_temporal_server_is_found() -> None:
    if shutil.which("go") is None and shutil.which("crane") is None:
        pytest.skip("neither go nor crane is installed")
    old = ImageVersion("OLD_IMAGE", "temporalio/server", "1.29.1", None, date(2026, 11, 30))
    [result] = check_images([old], run)
    if result.newer is None:
        pytest.skip(f"no list of versions is reachable: {result.reason}")
    assert result.newer.newest is not None
    assert tuple(int(part) for part in result.newer.newest.split(".")) >= (1, 32, 0)


def test_a_program_that_fails_is_no_exception() -> None:
    done = run([sys.executable, "-c", "import sys; sys.exit('no access')"])
    assert (done.code, done.reason) == (1, "no access")
