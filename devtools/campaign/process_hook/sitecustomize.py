"""Enable one planted bug in the worker and the API of a campaign's stack.

Python imports this module at the start of every process that has this folder on its path.
"""

import importlib
import os
import sys

if os.environ.get("CAMPAIGN_PLANTED") and sys.orig_argv[-2:] in (["-m", "worker"], ["-m", "api"]):
    sys.path.insert(0, os.getcwd())
    importlib.import_module("planted_bugs").plant(os.environ["CAMPAIGN_PLANTED"])
