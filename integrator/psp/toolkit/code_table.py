"""Tables of a PSP's codes and their meanings."""

from collections.abc import Mapping
from typing import TypeVar

M = TypeVar("M")


def build_code_table(codes: Mapping[M, str]) -> dict[str, M]:
    """Return the meaning of each code: `{A: "x y", B: "z"}` becomes `{"x": A, "y": A, "z": B}`."""
    return {word: meaning for meaning, listed in codes.items() for word in listed.split()}
