"""Shell blocks taken apart: commands as a person enters them, and the programs they call."""

import re
import shlex
import subprocess
from dataclasses import dataclass

from tests.docs.pages import Block, Page

SHELLS = ("sh", "bash", "console")
_ENDS = re.compile(r"[();|&]+")
_REDIRECTS = re.compile(r"[<>&]*[<>][<>&]*")
_ASSIGNMENT = re.compile(r"\w+\+?=.*", re.DOTALL)
_KEYWORDS = frozenset(
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "{", "}", "!"]
)


@dataclass(frozen=True)
class Command:
    """What is entered at a prompt and ended with the return key; it may have several lines."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.page}:{self.line}"


def commands(page: Page) -> list[Command]:
    """All commands of a document, in its order."""
    return [command for block in page.fenced(*SHELLS) for command in _of_block(block)]


def simple_commands(text: str) -> list[list[str]]:
    """The programs called by a command, each with its arguments; without redirections."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    found: list[list[str]] = [[]]
    skip = False
    for token in lexer:
        if token.startswith("#"):
            break
        if _REDIRECTS.fullmatch(token):
            skip = True
        elif _ENDS.fullmatch(token):
            found.append([])
        elif skip:
            skip = False
        else:
            found[-1].append(token)
    return [words for words in map(_called, found) if words]


def incomplete(text: str) -> bool:
    """Whether the shell would wait for more, or not understand it."""
    done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return done.returncode != 0 or bool(done.stderr) or text.rstrip().endswith("\\")


def _of_block(block: Block) -> list[Command]:
    found: list[Command] = []
    entered, began = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        shown = _entered(block, line, more=bool(entered))
        if shown is None or (not entered and (not shown.strip() or shown.startswith("#"))):
            continue
        began = began if entered else number
        entered += f"{shown}\n"
        if not incomplete(entered):
            found.append(Command(block.page, began, entered.strip()))
            entered = ""
    if entered:
        found.append(Command(block.page, began, entered.strip()))
    return found


def _entered(block: Block, line: str, *, more: bool) -> str | None:
    """In a `console` block what follows a prompt is entered, and the rest is output."""
    if block.language != "console" or more:
        return line
    return line.removeprefix("$ ") if line.startswith("$ ") else None


def _called(words: list[str]) -> list[str]:
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    return words
