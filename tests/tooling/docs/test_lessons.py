"""Every lesson learned elsewhere has a test, or a reason why it needs none."""

import re

from tests.support.paths import ROOT

LESSONS = (ROOT / "docs" / "lessons-learned.md").read_text()
ROWS = dict(re.findall(r"^\| (\d+) \| (.+) \|$", LESSONS, re.MULTILINE))


def test_every_lesson_is_listed_once() -> None:
    assert sorted(map(int, ROWS)) == list(range(1, 43))
    assert len(re.findall(r"^\| \d+ \|", LESSONS, re.MULTILINE)) == len(ROWS)


def test_every_lesson_has_a_test_or_a_reason() -> None:
    rows = {number: row.split(" | ", 1)[1] for number, row in ROWS.items()}
    reasons = ("tests/", "Cannot happen", "not covered yet")
    assert [n for n, answer in rows.items() if not any(r in answer for r in reasons)] == []
