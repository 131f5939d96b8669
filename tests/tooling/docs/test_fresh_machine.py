"""`make run` installs all required packages: the tests' environment has more, hiding a gap."""

import json
import re
import subprocess
import sys
from importlib.metadata import packages_distributions

from tests.support.paths import ROOT

PROCESS_MODULES = (
    "api.__main__",
    "integrator.cli.main",
    "integrator.codec_server.__main__",
    "devtools.sandbox_psp.__main__",
    "worker",
)
_LAZY_MODULES = (
    "devtools.devstack.run",
    "devtools.devstack.demo.main",
    "integrator.store.migrate",
    "aiosqlite",
    "asyncpg",
    "alembic",
)
_OWN_DISTRIBUTIONS = {"payment-integrator", "payment-integrator-devtools", "setuptools", "pip"}


def test_every_process_imports_only_locked_packages() -> None:
    modules = ", ".join(PROCESS_MODULES + _LAZY_MODULES)
    code = f"import {modules}, json, sys; print(json.dumps(list(sys.modules)))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in json.loads(result.stdout)}
    providers = packages_distributions()
    needed = {
        _name(distribution) for module in loaded for distribution in providers.get(module, ())
    }
    locks = [ROOT / f"requirements{part}.lock" for part in ("", "-devtools")]
    text = "\n".join(lock.read_text() for lock in locks)
    locked = re.findall(r"^([\w.-]+)==", text, re.MULTILINE)
    assert needed > {"fastapi", "temporalio", "greenlet"}
    assert needed - {_name(distribution) for distribution in locked} - _OWN_DISTRIBUTIONS == set()


def _name(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()
