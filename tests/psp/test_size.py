"""Adapters stay small: what they share is in integrator/psp/toolkit, and documented."""

import ast
import re
from pathlib import Path

import pytest

from integrator.psp.registry import adapter_names

ROOT = Path(__file__).parents[2]
COMMON = ROOT / "integrator" / "psp" / "toolkit"
LIMIT = 500
# Stripe has most to translate: three kinds of sign-up object, captures that are found on the
# balance only, disputes with fees, an event list that has no beginning. It must not grow.
LARGER = {"stripe": 571}
ADAPTERS = sorted(path.parent.name for path in (ROOT / "integrator" / "psp").glob("*/adapter.py"))


def statements(source: str) -> int:
    """Logical statements; imports and docstrings do not count."""
    return sum(_counts(node) for node in ast.walk(ast.parse(source)))


def declarations(source: str) -> int:
    """Of those, the classes and fields that say what the PSP's JSON looks like."""
    models = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    members = [line for model in models for line in model.body]
    return len(models) + sum(isinstance(line, ast.Assign | ast.AnnAssign) for line in members)


def own_statements(adapter: Path) -> int:
    """What an adapter does, apart from the declarations of its wire models."""
    whole = sum(statements(path.read_text()) for path in adapter.glob("*.py"))
    return whole - declarations((adapter / "wire.py").read_text())


def _counts(node: ast.AST) -> bool:
    if not isinstance(node, ast.stmt) or isinstance(node, ast.Import | ast.ImportFrom):
        return False
    return not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def test_what_counts() -> None:
    source = '''
"""Text."""
import os

class Money(Wire):
    """Text."""

    amount: int
    currency: str = "EUR"

    def cents(self) -> int:
        """Text."""
        if self.currency == "JPY":
            return self.amount * 100
        return self.amount
'''
    assert (statements(source), declarations(source)) == (7, 3)


def test_every_built_in_adapter_is_looked_at() -> None:
    built_in = {name for name in adapter_names() if (ROOT / "integrator" / "psp" / name).is_dir()}
    assert built_in == set(ADAPTERS) - {"toolkit"}


@pytest.mark.parametrize("name", [name for name in ADAPTERS if name != "toolkit"])
def test_an_adapter_is_small(name: str) -> None:
    found, limit = own_statements(ROOT / "integrator" / "psp" / name), LARGER.get(name, LIMIT)
    assert found <= limit, (
        f"psp/{name} has {found} statements apart from its wire models; {limit} are allowed. "
        "Move what another adapter needs, too, to integrator/psp/toolkit."
    )
    assert name not in LARGER or found == limit, f"Lower LARGER[{name!r}] to {found}."


def test_the_toolbox_is_documented() -> None:
    text = (ROOT / "docs" / "writing-an-adapter.md").read_text()
    section = text.partition("## The toolbox")[2].partition("\n## ")[0]
    rows = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert documented == {path.stem for path in COMMON.glob("*.py")} - {"__init__"}
