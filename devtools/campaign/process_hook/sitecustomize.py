"""Change the worker and the API of a campaign's stack: the PSP's key window, and a planted bug.

Python imports this module at the start of every process that has this folder on its path.
"""

import importlib
import os
import sys

if sys.orig_argv[-2:] in (["-m", "worker"], ["-m", "api"]):
    key_seconds, planted = (
        os.environ.get("CAMPAIGN_KEY_SECONDS"),
        os.environ.get("CAMPAIGN_PLANTED"),
    )
    sys.path.insert(0, os.getcwd())
    if key_seconds:
        importlib.import_module("key_window").declare(float(key_seconds))
    if planted:
        importlib.import_module("planted_bugs").plant(planted)
