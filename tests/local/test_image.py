"""The Dockerfile, as far as it can be checked without an engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
PACKAGES = {pattern.rstrip("*") for pattern in SETUPTOOLS["packages"]["find"]["include"]}


def copied() -> list[tuple[list[str], str]]:
    """Sources and target of every COPY from the project."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
    return [(line.split()[:-1], line.split()[-1]) for line in lines]


def test_every_package_is_copied_and_let_through() -> None:
    sources = {source for several, _ in copied() for source in several}
    modules = {f"{name}.py" for name in SETUPTOOLS["py-modules"]}
    assert sources == PACKAGES | modules | {"requirements.lock", "pyproject.toml", "README.md"}
    assert all((ROOT / source).exists() for source in sources)
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == sources


def test_every_package_of_the_product_is_installed() -> None:
    found = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert found - {"tests", "campaign", "bench"} == PACKAGES


def test_what_is_copied_builds_a_whole_package(tmp_path: Path) -> None:
    """Modules, templates and migrations: as `pip install` of the image finds them."""
    context, wheels = tmp_path / "context", tmp_path / "wheels"
    for sources, target in copied():
        for source in sources:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, context / target, ignore=ignored)
            else:
                (context / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, context / target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    how = [
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(wheels),
        str(context),
    ]
    subprocess.run([*pip, *how], check=True)
    with ZipFile(next(wheels.iterdir())) as wheel:
        inside = set(wheel.namelist())
    wanted = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert wanted - inside == set()
    assert {"worker.py", "cli.py"} <= inside


def test_it_runs_as_nobody_special_and_says_how_it_is() -> None:
    last = DOCKERFILE.rpartition("FROM ")[2]
    assert re.search(r"^USER 10001:10001$", last, re.M)
    for instruction in ("HEALTHCHECK", "STOPSIGNAL SIGTERM", "LABEL", "CMD ["):
        assert f"\n{instruction}" in last
    assert "--require-hashes --only-binary :all: -r requirements.lock" in DOCKERFILE


@pytest.mark.parametrize("stage", [0, 1])
def test_both_stages_have_the_same_base(stage: int) -> None:
    """Its digest is an argument: one must not be pinned without the other."""
    assert re.findall(r"^FROM (\S+)", DOCKERFILE, re.M)[stage] == "${PYTHON_IMAGE}"
