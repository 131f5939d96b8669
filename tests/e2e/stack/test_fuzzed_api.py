"""Fuzz the API with valid and invalid requests from the OpenAPI document."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.stack.environment import Environment
from tests.support.paths import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("run_last")]

EXAMPLES = os.environ.get("FUZZ_EXAMPLES", "5")
"""Per operation, in addition to the document's own examples and edge cases."""

NOT_CHECKED = ("not_a_server_error", "positive_data_acceptance")
"""Requests valid by the schema may be refused (unknown ids, preconditions), some of them with
status 500 and a specific code: see `api_checks`."""


@pytest.mark.parametrize("authenticated", [True, False])
def test_responses_are_as_documented(
    environment: Environment, tmp_path: Path, authenticated: bool
) -> None:
    headers = ["-H", f"Authorization: Bearer {environment.stack.token}"] if authenticated else []
    fuzzing = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run"),
            f"{environment.stack.run['api']}/openapi.json",
            *("--checks", "all", "--exclude-checks", ",".join(NOT_CHECKED)),
            *("--max-examples", EXAMPLES, "--seed", "1", "--continue-on-failure", "--no-color"),
            *headers,
        ],
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.e2e.stack.api_checks",
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert fuzzing.returncode == 0, fuzzing.stdout[-6000:] + fuzzing.stderr[-2000:]
    generated = re.search(r"(\d+) generated", fuzzing.stdout)
    assert generated is not None
    assert int(generated[1]) >= 500
