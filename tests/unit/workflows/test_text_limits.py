"""Texts in the unit that Temporal counts."""

import ast
import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.crypto.keys import KeyRing
from integrator.temporal.payload_codec import encrypting_converter
from tests.support.paths import ROOT
from workflows.text_limits import (
    MAX_DETAILS_BYTES,
    MAX_KEYWORD_BYTES,
    MAX_KEYWORD_LENGTH,
    fit_details,
    fit_keyword,
    fit_summary,
)

SERVER_SUMMARY_LIMIT = 400
SERVER_DETAILS_LIMIT = 20_000
"""Defaults of `limit.userMetadataSummarySize` and `limit.userMetadataDetailsSize`."""

EMOJI, UMLAUT, NUL, QUOTE = "\N{GRINNING FACE}", "ü", "\0", '"'
CONVERTER = encrypting_converter(KeyRing({"k" * 32: bytes(32)}))
CHARACTERS = st.sampled_from([EMOJI, UMLAUT, NUL, QUOTE, "\\", "\n", "a", "\uffff"])
LONG_TEXT = st.one_of(
    st.text(max_size=300),
    st.builds(lambda character, count: character * count, CHARACTERS, st.integers(0, 5000)),
)


def encoded_size(text: str) -> int:
    """Return the size of the encrypted payload, as the server counts it."""
    (payload,) = asyncio.run(CONVERTER.encode([text]))
    return payload.ByteSize()


@given(LONG_TEXT)
def test_a_keyword_fits(text: str) -> None:
    fitted = fit_keyword(text)
    assert text.startswith(fitted)
    assert len(json.dumps(fitted)) <= MAX_KEYWORD_BYTES
    assert len(fitted) <= MAX_KEYWORD_LENGTH
    one_more = text[: len(fitted) + 1]
    assert (
        fitted == text
        or len(fitted) == MAX_KEYWORD_LENGTH
        or len(json.dumps(one_more)) > MAX_KEYWORD_BYTES
    )


@pytest.mark.parametrize(
    ("text", "length"), [("a" * 300, 255), (UMLAUT * 300, 255), (EMOJI * 255, 170), ("a1", 2)]
)
def test_keywords(text: str, length: int) -> None:
    assert len(fit_keyword(text)) == length


@given(LONG_TEXT)
def test_a_summary_fits_when_it_is_encrypted(text: str) -> None:
    assert encoded_size(fit_summary(text)) <= SERVER_SUMMARY_LIMIT


def test_a_short_summary_is_unchanged() -> None:
    text = "capture of 49.90 EUR of preauth 20260115-65a7f1c2c2d3e4f506172a02, via sandbox"
    assert fit_summary(text) == text
    assert fit_summary("a" * 300).endswith("a…")


@given(*[st.lists(LONG_TEXT, max_size=5)] * 2, st.integers(0, 400))
def test_details_fit_when_they_are_encrypted(past: list[str], rest: list[str], count: int) -> None:
    entries = [*past, *("- an entry" for _ in range(count))]
    assert encoded_size(fit_details(["head"], entries, rest)) <= SERVER_DETAILS_LIMIT


def test_long_details_lose_their_oldest_entries() -> None:
    past = [f"- entry {number} {'x' * 200}" for number in range(200)]
    lines = fit_details(["**head**"], past, ["next"]).splitlines()
    assert lines[0] == "**head**"
    assert lines[-2:] == [past[-1], "next"]
    omitted = 200 - (len(lines) - 3)
    assert lines[1] == f"- {omitted} earlier entries are not shown here"
    assert len("\n".join(lines)) > MAX_DETAILS_BYTES * 0.8


def test_short_details_are_unchanged() -> None:
    assert fit_details(["head", ""], ["- one"], ["", "next"]) == "head\n\n- one\n\nnext"


# --- summaries of activities and timers ----------------------------------------------------------

BOUNDED = {
    "plan.name",
    "self.name",
    "self._plan.name",
    "step.name",
    "number",
    "version",
    "self._parent_kind.value",
    "self._deadline.summary",
}
"""Values of our own that summaries may contain."""


def summary_arguments(tree: ast.AST) -> Iterator[ast.expr]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            for keyword in node.keywords:
                if keyword.arg in ("summary", "timeout_summary"):
                    yield keyword.value


def interpolated(argument: ast.expr) -> Iterator[str]:
    if isinstance(argument, ast.JoinedStr):
        for part in argument.values:
            if isinstance(part, ast.FormattedValue):
                yield ast.unparse(part.value)
    elif not isinstance(argument, ast.Constant):
        name = ast.unparse(argument)
        if name != "summary":  # passed on
            yield name


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.py")), ids=lambda p: p.stem)
def test_no_summary_contains_what_a_caller_or_a_psp_sends(path: Path) -> None:
    """Their length has no limit; ids belong to the activity's input."""
    arguments = list(summary_arguments(ast.parse(path.read_text())))
    assert {name for one in arguments for name in interpolated(one)} <= BOUNDED
