"""The documents about failures elsewhere and about threats name only tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LESSONS = (ROOT / "docs" / "lessons-learned.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
ROWS = dict(re.findall(r"^\| (\d+) \| (.+) \|$", LESSONS, re.MULTILINE))
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py::[\w:]+)`", LESSONS + SECURITY)))


def in_file(path: Path) -> set[str]:
    """The names of the tests in a file, those in classes as `Class::test`."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (
                m for m in node.body if isinstance(m, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            found |= {f"{node.name}::{method.name}" for method in methods}
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


def test_every_lesson_is_there_once() -> None:
    assert sorted(map(int, ROWS)) == list(range(1, 43))
    assert len(re.findall(r"^\| \d+ \|", LESSONS, re.MULTILINE)) == len(ROWS)


def test_every_lesson_has_a_test_or_a_reason() -> None:
    answers = {number: row.split(" | ", 1)[1] for number, row in ROWS.items()}
    reasons = ("tests/", "Cannot happen", "not covered yet")
    assert [n for n, answer in answers.items() if not any(r in answer for r in reasons)] == []


@pytest.mark.parametrize("named", NAMED)
def test_a_named_test_exists(named: str) -> None:
    path, _, name = named.partition("::")
    assert (ROOT / path).is_file()
    assert name in in_file(ROOT / path)


def test_files_of_tests_named_for_a_threat_exist() -> None:
    files = re.findall(r"`(tests/[\w/]+\.py)`", SECURITY)
    assert files
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_every_name_of_a_test_is_checked() -> None:
    mentioned = re.findall(r"tests/[^\s`]+::", LESSONS)
    assert len(mentioned) == len(re.findall(r"`tests/[\w/]+\.py::[\w:]+`", LESSONS))
