"""Checks of the Dockerfile that need no container engine."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from zipfile import ZipFile

from tests.support.paths import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text()
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
TOP_LEVEL = {"activities", "api", "integrator", "worker.py", "workflows"}
PACKAGES = {pattern.rstrip("*") for pattern in SETUPTOOLS["packages"]["find"]["include"]}


def copy_instructions() -> list[tuple[list[str], str]]:
    """Return sources and target of every COPY from the project."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M)
    return [(line.split()[:-1], line.split()[-1]) for line in lines]


def test_every_package_is_copied_and_not_ignored() -> None:
    sources = {source for paths, _ in copy_instructions() for source in paths}
    modules = {f"{name}.py" for name in SETUPTOOLS["py-modules"]}
    locks = {"requirements.lock", "requirements-devtools.lock"}
    assert sources == PACKAGES | modules | locks | {"devtools", "pyproject.toml", "README.md"}
    assert all((ROOT / source).exists() for source in sources)
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignore
    assert {line[1:] for line in ignore if line.startswith("!")} == sources


def test_every_package_is_in_the_distribution() -> None:
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")}
    assert packages - {"tests", "devtools"} == PACKAGES


def test_the_copied_files_build_a_complete_wheel(tmp_path: Path) -> None:
    """The wheel contains all modules, templates and migrations."""
    context, wheels = tmp_path / "context", tmp_path / "wheels"
    for sources, target in copy_instructions():
        for source in set(sources) - {"devtools"}:
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, context / target, ignore=ignored)
            else:
                (context / target).mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, context / target)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    options = [
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--wheel-dir",
        str(wheels),
        str(context),
    ]
    subprocess.run([*pip, *options], check=True)
    with ZipFile(next(wheels.iterdir())) as wheel:
        contents = set(wheel.namelist())
    expected = {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert expected - contents == set()
    assert "worker.py" in contents
    assert {name.split("/")[0] for name in contents if ".dist-info/" not in name} == TOP_LEVEL


def test_the_image_runs_unprivileged_with_a_health_check() -> None:
    runtime, _, final_stage = DOCKERFILE.partition(" AS runtime\n")[2].rpartition("FROM ")
    assert re.search(r"^USER 10001:10001$", runtime, re.M)
    assert not re.search(r"^USER ", final_stage, re.M)
    assert re.search(r"^STOPSIGNAL SIGTERM$", runtime, re.M)
    assert re.search(r"^LABEL ", runtime, re.M)
    for instruction in ("HEALTHCHECK", "CMD ["):
        assert f"\n{instruction}" in final_stage
    assert "--require-hashes --only-binary :all: -r requirements.lock" in DOCKERFILE


def test_all_stages_use_the_same_base_image() -> None:
    """The image is a build argument: all stages must be pinned together."""
    stages = re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.M)
    names = {name for _, name in stages}
    assert {base for base, _ in stages if base not in names} == {"${PYTHON_IMAGE}"}


def test_development_tools_have_a_separate_target() -> None:
    """The last stage, built without `--target`, contains no development tools."""
    stages = {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)", DOCKERFILE, re.M)}
    assert list(stages)[-1] == "production"
    parts = re.split(r"^FROM \S+ AS (\S+)$", DOCKERFILE, flags=re.M)[1:]
    bodies = dict(zip(parts[::2], parts[1::2], strict=True))
    for name in ("build", "build-product", "runtime", "production"):
        assert not re.search(r"^(COPY|RUN|CMD) .*devtools", bodies[name], re.M), name
    assert "COPY --from=build-product " in bodies["production"]
    assert stages["devtools"] == stages["production"] == "runtime"
