"""Mermaid can parse the diagrams, and they name declared participants only."""

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import mermaidx
import pytest
import quickjs

from tests.support.paths import ROOT
from tests.tooling.docs.pages import Block, pages
from tests.tooling.docs.tables import MODULES, imported_modules

DIAGRAMS = [block for page in pages() for block in page.fenced("mermaid")]
SEQUENCES = [block for block in DIAGRAMS if block.text.startswith("sequenceDiagram")]
_PARTICIPANT = re.compile(r"^\s*(?:create )?(?:participant|actor) (\w+)", re.MULTILINE)
_ARROW = re.compile(r"^\s*(\w+)\s*(?:<<)?--?(?:>>|>|x|\))[+-]?\s*(\w+):", re.MULTILINE)
_NOTE = re.compile(r"^\s*note (?:over|left of|right of) ([\w, ]+):", re.MULTILINE | re.IGNORECASE)

each_diagram = pytest.mark.parametrize(
    "diagram", DIAGRAMS, ids=lambda block: f"{block.page}:{block.line}"
)
each_sequence = pytest.mark.parametrize(
    "diagram", SEQUENCES, ids=lambda block: f"{block.page}:{block.line}"
)

Parse = Callable[[str], str]


@pytest.fixture(scope="module")
def parse() -> Parse:
    """Return a function that parses a diagram and returns Mermaid's error, "" if there is none.

    `mermaidx` contains Mermaid and the browser functions it needs. Its `render` loads both for
    every diagram, which takes a second each.
    """
    assets = Path(mermaidx.__file__).parent / "assets"
    context = quickjs.Context()
    context.set_max_stack_size(4 * 1024 * 1024)
    for name in ("dom_shim.js", "mermaid.js"):
        context.eval((assets / name).read_text())
    context.eval("mermaid = __esbuild_esm_mermaid_nm.mermaid.default; result = null")

    def parse_diagram(text: str) -> str:
        call = f"mermaid.parse({json.dumps(text)})"
        context.eval(f"{call}.then(() => {{ result = '' }}, error => {{ result = `${{error}}` }})")
        while context.execute_pending_job():
            pass
        return str(context.eval("result"))

    return parse_diagram


@each_diagram
def test_mermaid_parses_every_diagram(diagram: Block, parse: Parse) -> None:
    assert parse(diagram.text) == ""


def test_an_invalid_diagram_is_reported(parse: Parse) -> None:
    assert "Parse error" in parse("sequenceDiagram\n    A->>B without a colon\n")


@each_sequence
def test_every_participant_is_declared(diagram: Block) -> None:
    declared = set(_PARTICIPANT.findall(diagram.text))
    arrows = _ARROW.findall(diagram.text)
    noted = [name.strip() for names in _NOTE.findall(diagram.text) for name in names.split(",")]
    assert arrows
    assert {name for arrow in arrows for name in arrow} | set(noted) == declared


def module_arrows() -> list[tuple[str, str]]:
    """Return the solid arrows of the module diagram as pairs of entries of `MODULES`."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("\n## The modules\n")[2].partition("\n## ")[0]
    diagram = re.search(r"```mermaid\n(.*?)```", section, re.DOTALL)
    assert diagram is not None
    labels = dict(re.findall(r'(\w+)\["([\w/.]+)"\]', diagram[1]))
    arrows: list[tuple[str, str]] = []
    for line in re.sub(r'\["[\w/.]+"\]', "", diagram[1]).splitlines():
        if "-." in line:
            continue
        groups = [re.findall(r"\w+", group) for group in line.split("-->")]
        for left, right in pairwise(groups):
            arrows += [(labels.get(a, a), labels.get(b, b)) for a in left for b in right]
    return arrows


def test_arrows_of_the_module_diagram_are_imports() -> None:
    arrows = module_arrows()
    assert len(arrows) > 15
    assert [arrow for arrow in arrows if arrow[1] not in imported_modules(arrow[0])] == []


def test_the_module_diagram_shows_every_module() -> None:
    shown = {module for arrow in module_arrows() for module in arrow}
    assert shown == set(MODULES)
