"""The bug museum: defects of other payment systems, rebuilt in the sandbox adapter.

`python -m tests.conformance.mutants` writes docs/defect-catalogue.md anew.
"""

from importlib import import_module
from pathlib import Path

from integrator.psp.conformance.checks import all_checks
from tests.conformance.mutants_base import EXHIBITS, Exhibit

DOCUMENT = Path(__file__).parents[2] / "docs" / "defect-catalogue.md"
ROOMS = {
    "Keys and repetitions": "mutants_idempotency",
    "Outcomes": "mutants_outcomes",
    "Answers": "mutants_answers",
    "Money": "mutants_money",
    "Notifications and lists": "mutants_notifications",
}
_INTRODUCTION = """# The bug museum

Defects that payment systems have had, each rebuilt as a defective adapter of the sandbox PSP
(`tests/conformance/mutants_*.py`), and the check of the conformance kit that fails for it.
`tests/conformance/test_mutants.py` runs that check against the defect, where it must fail, and against the
sound adapter, where it must pass; it also compares this page with the code. The numbers are rows
of [lessons-learned.md](lessons-learned.md); defects without a number are not from there.
"""


def exhibits() -> list[type[Exhibit]]:
    """Everything on show, room by room."""
    for room in ROOMS.values():
        import_module(f"tests.conformance.{room}")
    return EXHIBITS


def page() -> str:
    """The text of docs/defect-catalogue.md."""
    rules = {check.id: check.rule for check in all_checks()}
    shown = exhibits()
    lines = [_INTRODUCTION]
    for title, room in ROOMS.items():
        lines += [f"## {title}\n", "| Lesson | Defect | Exhibit | Caught by | Rule |"]
        lines.append("|---|---|---|---|---|")
        lines += [_row(e, rules) for e in shown if e.__module__.endswith(room)]
        lines.append("")
    return "\n".join(lines)


def _row(exhibit: type[Exhibit], rules: dict[str, str]) -> str:
    lesson = "" if exhibit.lesson is None else str(exhibit.lesson)
    defect = " ".join((exhibit.__doc__ or "").split())
    rule = rules[exhibit.caught_by.partition("[")[0]]
    return f"| {lesson} | {defect} | `{exhibit.__name__}` | `{exhibit.caught_by}` | {rule} |"


if __name__ == "__main__":
    DOCUMENT.write_text(page())
