"""Test a client generated from the OpenAPI document by a third-party generator."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stack.environment import CARD, Environment
from tests.support.billwerk import new_id

PYTHON = os.environ.get("CLIENT_GENERATOR_PYTHON", "")
SCRIPT = Path(__file__).with_name("generated_client_script.py")

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(
        not PYTHON, reason="CLIENT_GENERATOR_PYTHON names no Python with openapi-python-client"
    ),
]


@pytest.fixture(scope="module")
def generated(environment: Environment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Generate the package `integrator_client` from the served document; return its folder."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    with httpx.Client(trust_env=False) as http:
        document.write_text(http.get(f"{environment.stack.run['api']}/openapi.json").text)
    config = folder / "config.yaml"
    config.write_text("post_hooks: []\n")  # formatting, by a program that may be missing
    subprocess.run(
        [
            str(Path(PYTHON).with_name("openapi-python-client")),
            *("generate", "--path", str(document), "--config", str(config), "--meta", "none"),
            *("--output-path", str(folder / "integrator_client")),
        ],
        check=True,
    )
    return folder


@pytest.fixture(scope="module")
def statuses(environment: Environment, generated: Path) -> dict[str, Any]:
    """Run the script and return its output."""
    given = {
        "url": environment.stack.run["api"],
        "token": environment.stack.token,
        "card_agreement": environment.agreements[CARD],
        "webhook_target": environment.billwerk.webhook_target,
        "ids": [new_id() for _ in range(5)],
    }
    ran = subprocess.run(
        [PYTHON, "-P", str(SCRIPT)],
        input=json.dumps(given),
        env={**os.environ, "PYTHONPATH": str(generated)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    content: dict[str, Any] = json.loads(ran.stdout)
    return content


def test_the_client_signs_up_charges_refunds_and_cancels(statuses: dict[str, Any]) -> None:
    assert {name: statuses[name] for name in statuses if name != "methods"} == {
        "sign-up": "Succeeded",
        "payment at first": "Pending",
        "payment": "Succeeded",
        "paid": [49.9],
        "refund": "Succeeded",
        "refunded": 19.0,
        "reservation": "Succeeded",
        "cancellation": "Succeeded",
        "cancelled": "Cancelled",
        "unknown payment": 404,
    }


def test_every_operation_of_the_contract_has_a_function(generated: Path) -> None:
    functions = {
        path.stem
        for path in (generated / "integrator_client" / "api").rglob("*.py")
        if path.stem != "__init__"
    }
    assert functions >= {
        *("create_payment", "get_payment", "create_refund", "get_refund", "create_preauth"),
        *("get_preauth", "cancel_preauth", "finalize_preauth", "get_settings", "update_settings"),
        *("get_integration_info", "issue_access_token", "get_liveness", "get_readiness"),
    }
