"""The documents about lessons learned and threats refer only to tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LESSONS = (ROOT / "docs" / "lessons-learned.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
ROWS = dict(re.findall(r"^\| (\d+) \| (.+) \|$", LESSONS, re.MULTILINE))
TEST_IDS = sorted(set(re.findall(r"`(tests/[\w/]+\.py::[\w:]+)`", LESSONS + SECURITY)))


def list_tests(path: Path) -> set[str]:
    """Return the names of the tests in a file, those in classes as `Class::test`."""
    names = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (
                m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            names |= {f"{node.name}::{method.name}" for method in methods}
    return {name for name in names if name.rpartition("::")[2].startswith("test_")}


def test_every_lesson_is_listed_once() -> None:
    assert sorted(map(int, ROWS)) == list(range(1, 43))
    assert len(re.findall(r"^\| \d+ \|", LESSONS, re.MULTILINE)) == len(ROWS)


def test_every_lesson_has_a_test_or_a_reason() -> None:
    rows = {number: row.split(" | ", 1)[1] for number, row in ROWS.items()}
    reasons = ("tests/", "Cannot happen", "not covered yet")
    assert [n for n, answer in rows.items() if not any(r in answer for r in reasons)] == []


@pytest.mark.parametrize("test_id", TEST_IDS)
def test_a_referenced_test_exists(test_id: str) -> None:
    path, _, name = test_id.partition("::")
    assert (ROOT / path).is_file()
    assert name in list_tests(ROOT / path)


def test_test_files_referenced_by_threats_exist() -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", SECURITY)
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_reference_to_a_test_is_checked() -> None:
    mentioned = re.findall(r"tests/[^\s`]+::", LESSONS)
    assert len(mentioned) == len(re.findall(r"`tests/[\w/]+\.py::[\w:]+`", LESSONS))
