"""How often a long-running process looks for garbage that refers to itself."""

import gc

_YOUNG = 20_000
"""Python's own 700 objects are made by a small part of one request."""
_OLDER = 20


def collect_seldom() -> None:
    """To be called when everything is loaded, which from then on is not looked at any more.

    Searching was a tenth of the worker's time: hundreds of cached workflows are looked through
    again and again, and hardly ever are they garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _OLDER, _OLDER)
