"""Requests made up from the OpenAPI document, right and wrong ones, with and without a token."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.platform import World

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("comes_last")]

ROOT = Path(__file__).parents[2]
EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "5")
"""For each operation; the document's own examples and edge cases come on top."""

NOT_CHECKED = ("not_a_server_error", "positive_data_acceptance")
"""What the schema allows may be refused all the same (unknown ids, preconditions), some of it with
status 500 and a code of its own: see `api_checks`."""


@pytest.mark.parametrize("authenticated", [True, False])
def test_answers_are_as_documented(world: World, tmp_path: Path, authenticated: bool) -> None:
    headers = ["-H", f"Authorization: Bearer {world.stack.token}"] if authenticated else []
    fuzzing = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run"),
            f"{world.stack.run['api']}/openapi.json",
            *("--checks", "all", "--exclude-checks", ",".join(NOT_CHECKED)),
            *("--max-examples", EXAMPLES, "--seed", "1", "--continue-on-failure", "--no-color"),
            *headers,
        ],
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.api_checks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert fuzzing.returncode == 0, fuzzing.stdout[-6000:] + fuzzing.stderr[-2000:]
    generated = re.search(r"(\d+) generated", fuzzing.stdout)
    assert generated is not None
    assert int(generated[1]) >= 500
