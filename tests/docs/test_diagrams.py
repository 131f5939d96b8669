"""The diagrams can be drawn, by Mermaid itself, and name nobody who was not introduced."""

import re

import mermaidx
import pytest

from tests.docs.pages import Block, pages

DIAGRAMS = [block for page in pages() for block in page.fenced("mermaid")]
_PARTICIPANT = re.compile(r"^\s*(?:create )?(?:participant|actor) (\w+)", re.MULTILINE)
_ARROW = re.compile(r"^\s*(\w+)\s*(?:<<)?--?(?:>>|>|x|\))[+-]?\s*(\w+):", re.MULTILINE)
_NOTE = re.compile(r"^\s*note (?:over|left of|right of) ([\w, ]+):", re.MULTILINE | re.IGNORECASE)


@pytest.mark.parametrize("diagram", DIAGRAMS, ids=lambda block: f"{block.page}:{block.line}")
def test_can_be_drawn(diagram: Block) -> None:
    assert mermaidx.render(diagram.text).svg().startswith("<svg")


@pytest.mark.parametrize(
    "diagram",
    [block for block in DIAGRAMS if block.text.startswith("sequenceDiagram")],
    ids=lambda block: f"{block.page}:{block.line}",
)
def test_everybody_was_introduced(diagram: Block) -> None:
    introduced = set(_PARTICIPANT.findall(diagram.text))
    arrows = _ARROW.findall(diagram.text)
    noted = [name.strip() for names in _NOTE.findall(diagram.text) for name in names.split(",")]
    assert arrows
    assert {name for arrow in arrows for name in arrow} | set(noted) == introduced
