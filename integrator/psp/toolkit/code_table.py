"""Tables of a PSP's words."""

from collections.abc import Mapping
from typing import TypeVar

M = TypeVar("M")


def meanings(words: Mapping[M, str]) -> dict[str, M]:
    """The meaning of each word: `{A: "x y", B: "z"}` becomes `{"x": A, "y": A, "z": B}`."""
    return {word: meaning for meaning, listed in words.items() for word in listed.split()}
