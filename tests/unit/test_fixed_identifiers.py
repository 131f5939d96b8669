"""Names in Temporal, the database, metrics, settings and commands change only on purpose."""

import subprocess
import sys

from tests.support.paths import ROOT
from tests.unit.fixed_identifiers import FILE

RENDER = "from tests.unit.fixed_identifiers import render; print(render(), end='')"


def test_identifiers_that_others_rely_on_are_unchanged() -> None:
    """In a process of its own: an import by another test must not add a class."""
    command = [sys.executable, "-c", RENDER]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == FILE.read_text(), (
        "What others rely on has changed. If that is meant, run "
        "`python -m tests.unit.fixed_identifiers` and say in CHANGELOG.md what to do about it."
    )
