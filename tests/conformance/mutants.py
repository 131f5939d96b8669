"""The defect catalogue: defects of other payment systems, reproduced in the sandbox adapter.

`python -m tests.conformance.mutants` writes docs/defect-catalogue.md.
"""

from importlib import import_module

from integrator.psp.conformance.checks import all_checks
from tests.conformance.mutants_base import MUTANTS, Mutant
from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "defect-catalogue.md"
SECTIONS = {
    "Idempotency": "mutants_idempotency",
    "Outcomes": "mutants_outcomes",
    "Responses": "mutants_responses",
    "Amounts": "mutants_money",
    "Notifications and lists": "mutants_notifications",
    "Movements": "mutants_movements",
    "Requests and refusals": "mutants_requests",
}
_INTRODUCTION = """# Defect catalogue

Defects that payment systems have had, each reproduced as a mutant, a defective adapter of the
sandbox PSP (`tests/conformance/mutants_*.py`), with the check of the conformance kit that fails for
it. `tests/conformance/test_mutants.py` runs that check against the mutant, where it must fail, and
against the correct adapter, where it must pass; it also compares this page with the code. The
numbers are rows of [lessons-learned.md](lessons-learned.md); defects without a number are not from
there.
"""


def all_mutants() -> list[type[Mutant]]:
    """Import every section and return its mutants."""
    for module in SECTIONS.values():
        import_module(f"tests.conformance.{module}")
    return MUTANTS


def render_catalogue() -> str:
    """Return the text of docs/defect-catalogue.md."""
    rules = {check.id: check.rule for check in all_checks()}
    mutants = all_mutants()
    lines = [_INTRODUCTION]
    for title, module in SECTIONS.items():
        lines += [f"## {title}\n", "| Lesson | Defect | Mutant | Caught by | Rule |"]
        lines.append("|---|---|---|---|---|")
        lines += [_row(mutant, rules) for mutant in mutants if mutant.__module__.endswith(module)]
        lines.append("")
    return "\n".join(lines)


def _row(mutant: type[Mutant], rules: dict[str, str]) -> str:
    lesson = "" if mutant.lesson is None else str(mutant.lesson)
    defect = " ".join((mutant.__doc__ or "").split())
    rule = rules[mutant.caught_by.partition("[")[0]]
    return f"| {lesson} | {defect} | `{mutant.__name__}` | `{mutant.caught_by}` | {rule} |"


if __name__ == "__main__":
    DOCUMENT.write_text(render_catalogue())
