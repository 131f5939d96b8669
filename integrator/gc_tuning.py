"""How often a long-running process looks for garbage that refers to itself."""

import gc

_THRESHOLDS = (2_000, 10, 5)
"""Python's own 700 objects are made by a small part of one request."""


def collect_seldom() -> None:
    """To be called when everything is loaded, which from then on is not looked at any more.

    A search of the worker's cached workflows takes a third of a second. How seldom is a matter of
    memory: what has left the cache is garbage of this kind, 100 MB in half a million objects.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
