"""The code in docs/writing-an-adapter.md is the text of the tutorial package's files.

`python -m tests.tutorial_psp.blocks` copies the files into the document.
"""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "writing-an-adapter.md"
PACKAGE = ROOT / "examples" / "tutorial-psp"
_BLOCK = re.compile(r"^`([\w./]+)`:\n\n```(\w+)\n(.*?)```$", re.MULTILINE | re.DOTALL)


def shown(document: str) -> dict[str, str]:
    """The files shown in a document, and the text it shows of each."""
    return {match[1]: match[3] for match in _BLOCK.finditer(document)}


def refreshed(document: str) -> str:
    """The document with every file's present text."""
    return _BLOCK.sub(
        lambda match: f"`{match[1]}`:\n\n```{match[2]}\n{(PACKAGE / match[1]).read_text()}```",
        document,
    )


if __name__ == "__main__":
    DOCUMENT.write_text(refreshed(DOCUMENT.read_text()))
