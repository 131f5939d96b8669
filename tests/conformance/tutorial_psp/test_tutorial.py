"""The tutorial's adapter, installed as a package of its own, is found and conforms to the port."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.tutorial_psp.blocks import DOCUMENT, PACKAGE, extract_blocks, refresh_blocks
from tests.support.paths import ROOT

ADAPTER = ("__init__.py", "adapter.py", "connection.py", "wire.py")
_SUMMARY = re.compile(r"(\d+) checks were run, (\d+) passed")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build and install the package without the network, and return its directory."""
    directory = tmp_path_factory.mktemp("tutorial")
    # Copied, so that building leaves no files in the repository.
    shutil.copytree(PACKAGE, directory / "source", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", "--quiet", *offline]
    target = directory / "installed"
    subprocess.run([*command, "--target", str(target), str(directory / "source")], check=True)
    return target


def python(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the package, outside this project's directory and configuration."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(installed), str(ROOT)])}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=installed, env=environment, capture_output=True, text=True, check=False
    )


def test_the_registry_finds_the_adapter(installed: Path) -> None:
    code = (
        "from integrator.psp.registry import adapter_names, get_adapter;"
        "print(adapter_names(), get_adapter('tallypay').name)"
    )
    result = python(installed, "-c", code)
    assert "'tallypay'" in result.stdout, result.stderr
    assert result.stdout.strip().endswith("tallypay")


def test_the_adapter_conforms(installed: Path) -> None:
    result = python(installed, "-m", "pytest", "--psp=tallypay", "-q", "-p", "no:cacheprovider")
    summary = _SUMMARY.search(result.stdout)
    assert summary is not None, result.stdout + result.stderr
    run, passed = map(int, summary.groups())
    assert (result.returncode, run - passed) == (0, 0), result.stdout
    assert run >= 200


def test_the_document_shows_the_package() -> None:
    text = DOCUMENT.read_text()
    files = {f"tallypay/{name}" for name in (*ADAPTER, "harness.py")} | {"pyproject.toml"}
    assert set(extract_blocks(text)) == files
    assert refresh_blocks(text) == text, "run: python -m tests.conformance.tutorial_psp.blocks"
    assert len(re.findall("^```(?:python|toml)$", text, re.MULTILINE)) == len(files)


def test_the_adapter_has_less_than_150_lines_of_code() -> None:
    assert (
        sum(count_code_lines((PACKAGE / "tallypay" / name).read_text()) for name in ADAPTER) < 150
    )


def count_code_lines(source: str) -> int:
    """Count the lines of code without imports and docstrings."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.stmt) and not isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            first, last = node.lineno, node.end_lineno or node.lineno
            body = getattr(node, "body", None)
            lines |= set(range(first, body[0].lineno if body else last + 1))
    return len(lines)


def test_every_toolkit_module_is_documented() -> None:
    section = DOCUMENT.read_text().partition("## The toolkit")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    toolkit = ROOT / "integrator" / "psp" / "toolkit"
    assert documented == {path.stem for path in toolkit.glob("*.py")} - {"__init__"}
