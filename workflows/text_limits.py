"""Limits of Temporal for the texts of a workflow, in the unit that the server counts: bytes.

Ids of callers and PSPs may have any characters. A longer search attribute makes the server
terminate the workflow that sets it; a longer summary is refused by servers that check it.
"""

import json
from collections.abc import Iterable, Sequence

MAX_KEYWORD_LENGTH = 255
"""Characters of the column in PostgreSQL and MySQL; a longer value would never be indexed."""

MAX_KEYWORD_BYTES = 2048
"""The server's `limit.searchAttributesSizeOfValue`, which counts the JSON that the SDK writes.

The JSON is ASCII: an umlaut has 6 bytes there, an emoji 12.
"""

MAX_SUMMARY_BYTES = 200
"""The server's `limit.userMetadataSummarySize` is 400 bytes of the encoded payload.

Half of that is left for the encryption: id of the key, nonce, tag and metadata.
"""

MAX_DETAILS_BYTES = 18_000
"""The server's `limit.userMetadataDetailsSize` is 20,000 bytes of the encoded payload."""

MAX_LINE_BYTES = 1000
"""One line of the details: texts of a PSP and of a receiver of notifications may be long."""

_CUT = "…"


def fit_keyword(text: str) -> str:
    """Return the longest beginning of `text` that a keyword search attribute may hold."""
    return _fit(text[:MAX_KEYWORD_LENGTH], MAX_KEYWORD_BYTES)


def fit_summary(text: str) -> str:
    """Return `text` as a summary, cut if it is too long."""
    if _json_size(text[: MAX_SUMMARY_BYTES + 1]) <= MAX_SUMMARY_BYTES:
        return text
    return _fit(text, MAX_SUMMARY_BYTES - _json_size(_CUT)) + _CUT


def fit_details(head: Sequence[str], past: Sequence[str], rest: Sequence[str]) -> str:
    """Return the lines as one text; if it is too long, without the oldest lines of the `past`.

    Long lines are cut, and so is the end if `head` and `rest` alone are too long.
    """
    first, last = _cut_lines(head), _cut_lines(rest)
    room = MAX_DETAILS_BYTES - MAX_LINE_BYTES - _json_size("\n".join([*first, *last]))
    kept = _take_newest(_cut_lines(past), room)
    omitted = len(past) - len(kept)
    note = [f"- {omitted} earlier entries are not shown here"] if omitted else []
    return _fit("\n".join([*first, *note, *kept, *last]), MAX_DETAILS_BYTES)


def _take_newest(lines: Sequence[str], room: int) -> list[str]:
    """Return the last of the lines, as many as have `room` bytes as JSON."""
    kept: list[str] = []
    for line in reversed(lines):
        room -= _json_size(line)
        if room < 0:
            break
        kept.append(line)
    return kept[::-1]


def _cut_lines(lines: Iterable[str]) -> list[str]:
    return [_fit(line, MAX_LINE_BYTES) for line in lines]


def _fit(text: str, max_bytes: int) -> str:
    """Return the longest beginning of `text` whose JSON has at most `max_bytes` bytes."""
    text = text[:max_bytes]
    if _json_size(text) <= max_bytes:
        return text
    room = max_bytes - _json_size("")
    for end, character in enumerate(text):
        room -= _json_size(character) - _json_size("")
        if room < 0:
            return text[:end]
    return text


def _json_size(text: str) -> int:
    return len(json.dumps(text))
