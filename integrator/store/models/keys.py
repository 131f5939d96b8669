"""Usage of keys per column, results of a rotation and of a check of the keys."""

from dataclasses import dataclass


@dataclass(frozen=True)
class KeyUsage:
    """Numbers of blobs of a column that each key of the ring, or a data key, has encrypted.

    `column` is "table.column"; `by_key` is by key id; `erased` counts the empty blobs.
    """

    column: str
    by_key: dict[str, int]
    data_key: int
    erased: int


@dataclass(frozen=True)
class ReencryptedBatch:
    """Result of re-encrypting a batch of blobs; `skipped` were locked by another writer."""

    column: str
    reencrypted: int
    skipped: int
    unreadable: int


@dataclass(frozen=True)
class KeyCheck:
    """Numbers of blobs that were sampled from a column, and that the keys cannot decrypt."""

    column: str
    read: int
    unreadable: int
