"""Words of the former vocabulary do not come back: not in code, not in documents.

A name or a sentence is split into words (`told_by` and `toldBy` hold `told` and `by`). A name that
others rely on (a table, a signal, an option) is exempt by its full name.
"""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.paths import ROOT

INSTEAD = {
    "adopt": "record (an external movement)",
    "adopted": "recorded, external",
    "adoption": "external movement",
    "adoptions": "external movements",
    "anew": "again",
    "dealings": "a name for each part",
    "desk": "operator context",
    "exhibit": "mutant",
    "exhibits": "mutants",
    "heeds": "accepts",
    "museum": "defect catalogue, mutants",
    "nobody": "no one by role: no caller, no operator, no worker",
    "overtaken": "superseded",
    "overtakes": "supersedes",
    "owe": "request, be due",
    "owed": "requested, due",
    "owes": "requests, is due",
    "somebody": "the role: an operator, the merchant, another process",
    "standin": "emulator, fake",
    "standins": "emulators, fakes",
    "stray": "unmatched movement",
    "strays": "unmatched movements",
    "tell": "return, record, notify, say",
    "telling": "timeline",
    "tells": "returns, records, notifies, says",
    "told": "notified, responded, recorded",
    "untold": "unanswered",
    "whoever": "the role: the operator, the caller",
}

FIXED = frozenset(
    {
        *("--stray", "LoginErrorTold", "StraysOpen", "integrator-nobody-else"),
        *("integrator_strays_open", "integrator_strays_open_oldest_age_seconds"),
        *("ix_strays_psp_settings_id", "ix_transactions_untold", "strays_since", "told_at"),
        *("to_adopt", "told_by"),
    }
)
"""Names that other programs, databases or histories hold, as they are written there."""

FIXED_WORDS = frozenset({"adopt", "adopted", "overtaken", "stray", "strays"})
"""The same, where the name is a single word: exempt as code only, not in a sentence."""

FIXED_TEXTS = (
    "somebody should ask it why.",  # compared with what operators have acknowledged
    "PSP webhook overtaken",  # a kind of fault in the campaign's reports
    "nobody\\x00",  # a made-up name of a client
)

SUFFIXES = {".html", ".js", ".md", ".py", ".sh", ".toml", ".yaml", ".yml"}
NAMES = {"Dockerfile", "Makefile", "run", "Caddyfile"}
LEFT_OUT = (
    "integrator/store/migrations/versions/",  # applied already: their text is part of the schema
    "tests/replay/histories/",
    "docs/decisions/layout-and-names/",  # the table of renames
    "tests/tooling/docs/test_vocabulary.py",
)

_TOKEN = re.compile(r"--?[a-z][\w-]+|[A-Za-z][\w]*(?:-[A-Za-z]\w*)*")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def files() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    return [
        name
        for name in listed
        if (Path(name).suffix in SUFFIXES or Path(name).name in NAMES)
        and not name.startswith(LEFT_OUT)
        and (ROOT / name).exists()
    ]


def violations(text: str) -> Iterator[tuple[int, str, str]]:
    """Line number, the name or word as written, and the word of the former vocabulary in it."""
    for number, line in enumerate(text.splitlines(), 1):
        for fixed in FIXED_TEXTS:
            line = line.replace(fixed, "")
        for match in _TOKEN.finditer(line):
            token = match.group()
            if token in FIXED or (token in FIXED_WORDS and _is_code(line, match)):
                continue
            words = {word.lower() for word in _WORD.findall(token.replace("stand-in", "standin"))}
            yield from ((number, token, word) for word in words & INSTEAD.keys())


def _is_code(line: str, match: re.Match[str]) -> bool:
    """Whether a word is quoted, or an attribute, a field or an argument."""
    before, after = line[: match.start()][-1:], line[match.end() :][:1]
    return (before in ("'", '"', "`") and after == before) or before == "." or after in (":", "=")


@pytest.mark.parametrize("folder", sorted({name.partition("/")[0] for name in files()}))
def test_words_of_the_former_vocabulary_stay_away(folder: str) -> None:
    found = [
        f"{name}:{number}: {token}: instead of {word!r} write: {INSTEAD[word]}"
        for name in files()
        if name.partition("/")[0] == folder
        for number, token, word in violations((ROOT / name).read_text())
    ]
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("text", ["def tell_owner(): ...", "class AdoptionReply:", "A stand-in."])
def test_a_word_is_found_inside_a_name(text: str) -> None:
    assert list(violations(text))


def test_a_fixed_name_is_exempt_as_code_only() -> None:
    assert (
        list(violations('Signal "adopt", the table `strays`, `told_by`, --stray, x.adopted')) == []
    )
    assert [word for _, _, word in violations("It was adopted; strays remain.")] == [
        "adopted",
        "strays",
    ]


def test_words_that_only_look_alike_are_left_alone() -> None:
    assert list(violations("untouched, settled, intelligent, desktop, Astray9")) == []
