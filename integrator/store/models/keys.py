"""Which keys have sealed the blobs of a column, and whether they open."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyUsage:
    """How many blobs of a column the keys of the ring have sealed, by key id, and data keys.

    `column` is "table.column"; `erased` counts the blobs that are empty.
    """

    column: str
    by_key: dict[str, int]
    data_key: int
    erased: int


@dataclass(frozen=True)
class Resealed:
    """What became of a batch of blobs; `skipped` are those that somebody else was writing."""

    column: str
    resealed: int
    skipped: int
    unreadable: int


@dataclass(frozen=True)
class KeyCheck:
    """How many blobs of a column's sample opened with the key ring and the data keys."""

    column: str
    read: int
    unreadable: int
