"""Comparison of image tags: only tags of the same form are versions of the same image."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TAG = re.compile(r"(?P<prefix>v?)(?P<numbers>\d+(?:\.\d+)*)(?P<suffix>(?:-[a-z]+)?)")
"""`17`, `3.13-slim`, `v2.53.3`. Other tags (release candidates, builds) have no order."""


@dataclass(frozen=True)
class Newer:
    """Newest tag of the same minor version, and newest of all; None where the tag is newest."""

    patch: str | None
    newest: str | None


def find_newer(tag: str, candidates: Iterable[str]) -> Newer:
    """Return the newer ones of the candidates; raises `ValueError` for a tag without an order."""
    own = _numbers(tag)
    if own is None:
        raise ValueError(f"{tag} is no version")
    form = _form(tag)
    newer = sorted(
        (numbers, candidate)
        for candidate in set(candidates)
        if _form(candidate) == form and (numbers := _numbers(candidate)) and numbers > own
    )
    patches = [candidate for numbers, candidate in newer if numbers[:-1] == own[:-1]]
    has_patches = len(own) > 2
    return Newer(
        patch=patches[-1] if patches and has_patches else None,
        newest=newer[-1][1] if newer else None,
    )


def _numbers(tag: str) -> tuple[int, ...] | None:
    match = _TAG.fullmatch(tag)
    return tuple(int(part) for part in match["numbers"].split(".")) if match else None


def _form(tag: str) -> tuple[str, int, str] | None:
    """Return what tags must have in common: prefix, count of numbers, suffix."""
    match = _TAG.fullmatch(tag)
    return (match["prefix"], match["numbers"].count("."), match["suffix"]) if match else None
