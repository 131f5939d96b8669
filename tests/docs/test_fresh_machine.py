"""What `make run` installs is enough: these tests have more at hand, which would hide a gap."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

from tests.docs.pages import ROOT

STARTED = (
    "api.__main__",
    "integrator.cli.main",
    "integrator.codec_server.__main__",
    "devtools.sandbox_psp.__main__",
    "worker",
)
_LATER = (
    "devtools.devstack.run",
    "devtools.devstack.demo.main",
    "integrator.store.migrate",
    "aiosqlite",
    "asyncpg",
    "alembic",
)
_OURS = {"payment-integrator", "payment-integrator-devtools", "setuptools", "pip"}


def test_every_process_needs_only_what_is_locked() -> None:
    code = f"import {', '.join(STARTED + _LATER)}, json, sys; print(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    providers = packages_distributions()
    needed = {_name(one) for module in loaded for one in providers.get(module, ())}
    locks = [ROOT / f"requirements{part}.lock" for part in ("", "-devtools")]
    text = "\n".join(lock.read_text() for lock in locks)
    locked = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert needed > {"fastapi", "temporalio", "greenlet"}
    assert needed - {_name(one) for one in locked} - _OURS == set()


def _name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
