"""Tuning of the cyclic garbage collector for long-running processes."""

import gc

_THRESHOLDS = (2_000, 10, 5)
"""A small part of one request creates the 700 objects of Python's default threshold."""


def raise_gc_thresholds() -> None:
    """Collect less often, and never the objects that exist now; to be called after start-up.

    A full collection with the worker's cached workflows takes a third of a second. The thresholds
    are limited by memory: workflows evicted from the cache are cyclic garbage, 100 MB in half a
    million objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
