"""Documents as data: code blocks, headings, links and inline code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.paths import ROOT

_MARKDOWN = MarkdownIt("commonmark").enable("table")
_GENERATED = re.compile(r"<!-- generated: ([\w/ -]+) -->\n(.*?)\n<!-- /generated -->", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """Code block; `line` is the number of its first line, `language` is "" if not given."""

    page: str
    line: int
    language: str
    text: str


@dataclass(frozen=True)
class Page:
    """Document; `name` is its path from the root of the repository."""

    name: str
    text: str
    blocks: tuple[Block, ...]
    indented: tuple[int, ...]
    links: tuple[str, ...]
    anchors: frozenset[str]
    codes: tuple[str, ...] = field(repr=False)

    @property
    def path(self) -> Path:
        """Return the document's path."""
        return ROOT / self.name

    def fenced(self, *languages: str) -> list[Block]:
        """Return the blocks in one of these languages."""
        return [block for block in self.blocks if block.language in languages]


@cache
def pages() -> tuple[Page, ...]:
    """Return the README, then the guides by name."""
    guides = sorted((ROOT / "docs").glob("*.md"))
    return tuple(read(path) for path in [ROOT / "README.md", *guides])


def read(path: Path) -> Page:
    """Parse a document as CommonMark with tables."""
    name, text = str(path.relative_to(ROOT)), path.read_text()
    tokens = _MARKDOWN.parse(text)
    inline = [child for token in tokens for child in token.children or ()]
    fences = (token for token in tokens if token.type == "fence")
    return Page(
        name=name,
        text=text,
        blocks=tuple(
            Block(name, _line(token) + 1, token.info.strip(), token.content) for token in fences
        ),
        indented=tuple(_line(token) for token in tokens if token.type == "code_block"),
        links=tuple(str(token.attrs["href"]) for token in inline if token.type == "link_open"),
        anchors=frozenset(_slugs(tokens)),
        codes=tuple(token.content for token in inline if token.type == "code_inline"),
    )


def generated(page: Page) -> dict[str, str]:
    """Return the generated parts of a document by name."""
    return {match[1]: match[2].strip() for match in _GENERATED.finditer(page.text)}


def with_generated(text: str, name: str, content: str) -> str:
    """Return the text with the generated part `name` replaced."""
    marker = re.escape(f"<!-- generated: {name} -->")
    pattern = re.compile(rf"({marker}\n).*?(\n<!-- /generated -->)", re.DOTALL)
    return pattern.sub(lambda match: f"{match[1]}\n{content.strip()}\n{match[2]}", text)


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 0


def _slugs(tokens: list[Token]) -> Iterator[str]:
    """Yield the anchors of headings in GitHub's format: repeated ones are numbered."""
    seen: dict[str, int] = {}
    for token, inline in pairwise(tokens):
        if token.type != "heading_open":
            continue
        heading = "".join(child.content for child in inline.children or ())
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = seen[slug] = seen.get(slug, -1) + 1
        yield f"{slug}-{count}" if count else slug
