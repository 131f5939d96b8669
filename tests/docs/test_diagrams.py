"""Mermaid itself can read the diagrams, and they name nobody who was not introduced."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import mermaidx
import pytest
import quickjs

from tests.docs.pages import Block, pages

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
    """Mermaid's complaint about a diagram, empty if there is none.

    `mermaidx` brings Mermaid and what it needs of a browser. Its own `render` loads both for every
    diagram, which takes a second each.
    """
    assets = Path(mermaidx.__file__).parent / "assets"
    context = quickjs.Context()
    context.set_max_stack_size(4 * 1024 * 1024)
    for name in ("dom_shim.js", "mermaid.js"):
        context.eval((assets / name).read_text())
    context.eval("mermaid = __esbuild_esm_mermaid_nm.mermaid.default; said = null")

    def complaint(text: str) -> str:
        call = f"mermaid.parse({json.dumps(text)})"
        context.eval(f"{call}.then(() => {{ said = '' }}, error => {{ said = `${{error}}` }})")
        while context.execute_pending_job():
            pass
        return str(context.eval("said"))

    return complaint


@each_diagram
def test_mermaid_reads_it(diagram: Block, parse: Parse) -> None:
    assert parse(diagram.text) == ""


def test_mermaid_complains_of_what_is_no_diagram(parse: Parse) -> None:
    assert "Parse error" in parse("sequenceDiagram\n    A->>B without a colon\n")


@each_sequence
def test_everybody_was_introduced(diagram: Block) -> None:
    introduced = set(_PARTICIPANT.findall(diagram.text))
    arrows = _ARROW.findall(diagram.text)
    noted = [name.strip() for names in _NOTE.findall(diagram.text) for name in names.split(",")]
    assert arrows
    assert {name for arrow in arrows for name in arrow} | set(noted) == introduced
