"""The tutorial's adapter, installed as a package of its own, is found and conforms."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tutorial_psp.blocks import DOCUMENT, PACKAGE, ROOT, refreshed, shown

ADAPTER = ("__init__.py", "adapter.py", "connection.py", "wire.py")
_SUMMARY = re.compile(r"(\d+) checks were run, (\d+) passed")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built and installed without the network into a folder of its own."""
    place = tmp_path_factory.mktemp("tutorial")
    # Copied, so that building leaves nothing behind in the tree.
    shutil.copytree(PACKAGE, place / "source", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline]
    target = place / "installed"
    subprocess.run([*command, "--target", str(target), str(place / "source")], check=True)
    return target


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the package, away from this project's folder and configuration."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=installed, env=environment, capture_output=True, text=True, check=False
    )


def test_the_system_finds_it(installed: Path) -> None:
    code = "from integrator.psp import registry; print(registry.names(), registry.adapter('tallypay').name)"
    done = python(installed, "-c", code)
    assert "'tallypay'" in done.stdout, done.stderr
    assert done.stdout.strip().endswith("tallypay")


def test_it_conforms(installed: Path) -> None:
    done = python(installed, "-m", "pytest", "--psp=tallypay", "-q", "-p", "no:cacheprovider")
    found = _SUMMARY.search(done.stdout)
    assert found is not None, done.stdout + done.stderr
    run, passed = map(int, found.groups())
    assert (done.returncode, run - passed) == (0, 0), done.stdout
    assert run >= 200


def test_the_document_shows_the_package() -> None:
    text = DOCUMENT.read_text()
    files = {f"tallypay/{name}" for name in (*ADAPTER, "harness.py")} | {"pyproject.toml"}
    assert set(shown(text)) == files
    assert refreshed(text) == text, "run: python -m tests.tutorial_psp.blocks"
    assert len(re.findall("^```(?:python|toml)$", text, re.MULTILINE)) == len(files)


def test_it_is_as_short_as_promised() -> None:
    assert sum(code_lines((PACKAGE / "tallypay" / name).read_text()) for name in ADAPTER) < 150


def code_lines(source: str) -> int:
    """Lines that hold code, imports and docstrings aside."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            first, last = node.lineno, node.end_lineno or node.lineno
            body = getattr(node, "body", None)
            lines |= set(range(first, body[0].lineno if body else last + 1))
    return len(lines)
