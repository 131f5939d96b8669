"""Parse shell blocks into commands, and commands into the programs they call."""

import re
import shlex
import subprocess
from dataclasses import dataclass

from tests.tooling.docs.pages import Block, Page

SHELLS = ("sh", "bash", "console")
_ENDS = re.compile(r"[();|&]+")
_REDIRECTS = re.compile(r"[<>&]*[<>][<>&]*")
_ASSIGNMENT = re.compile(r"\w+\+?=.*", re.DOTALL)
_KEYWORDS = frozenset(
    ["if", "then", "elif", "else", "fi", "while", "until", "do", "done", "for", "{", "}", "!"]
)


@dataclass(frozen=True)
class Command:
    """Command entered at a prompt; it may have several lines."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        """Return page and line, for messages."""
        return f"{self.page}:{self.line}"


def commands(page: Page) -> list[Command]:
    """Return all commands of a document in order."""
    return [command for block in page.fenced(*SHELLS) for command in _parse_commands(block)]


def simple_commands(text: str) -> list[list[str]]:
    """Return the programs called by a command with their arguments, without redirections."""
    lexer = shlex.shlex(text.replace("\\\n", " "), posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True
    parsed: list[list[str]] = [[]]
    skip = False
    for token in lexer:
        if token.startswith("#"):
            break
        if _REDIRECTS.fullmatch(token):
            skip = True
        elif _ENDS.fullmatch(token):
            parsed.append([])
        elif skip:
            skip = False
        else:
            parsed[-1].append(token)
    return [words for words in map(_strip_prefix, parsed) if words]


def incomplete(text: str) -> bool:
    """Return whether the command is incomplete or invalid for bash."""
    check = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
    return check.returncode != 0 or bool(check.stderr) or text.rstrip().endswith("\\")


def _parse_commands(block: Block) -> list[Command]:
    parsed: list[Command] = []
    command, first_line = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line):
        text = _strip_prompt(block, line, continued=bool(command))
        if text is None or (not command and (not text.strip() or text.startswith("#"))):
            continue
        first_line = first_line if command else number
        command += f"{text}\n"
        if not incomplete(command):
            parsed.append(Command(block.page, first_line, command.strip()))
            command = ""
    if command:
        parsed.append(Command(block.page, first_line, command.strip()))
    return parsed


def _strip_prompt(block: Block, line: str, *, continued: bool) -> str | None:
    """Return the command line; None for a line of output in a `console` block."""
    if block.language != "console" or continued:
        return line
    return line.removeprefix("$ ") if line.startswith("$ ") else None


def _strip_prefix(words: list[str]) -> list[str]:
    while words and (words[0] in _KEYWORDS or _ASSIGNMENT.fullmatch(words[0])):
        words = words[1:]
    return words
