"""Copies the tutorial package's files into docs/writing-an-adapter.md.

Run `python -m tests.conformance.tutorial_psp.blocks`.
"""

import re

from tests.support.paths import ROOT

DOCUMENT = ROOT / "docs" / "writing-an-adapter.md"
PACKAGE = ROOT / "examples" / "tutorial-psp"
_BLOCK = re.compile(r"^`([\w./]+)`:\n\n```(\w+)\n(.*?)```$", re.MULTILINE | re.DOTALL)


def extract_blocks(document: str) -> dict[str, str]:
    """Return the text of each file shown in the document, by file name."""
    return {match[1]: match[3] for match in _BLOCK.finditer(document)}


def refresh_blocks(document: str) -> str:
    """Return the document with every file's present text."""
    return _BLOCK.sub(
        lambda match: f"`{match[1]}`:\n\n```{match[2]}\n{(PACKAGE / match[1]).read_text()}```",
        document,
    )


if __name__ == "__main__":
    DOCUMENT.write_text(refresh_blocks(DOCUMENT.read_text()))
