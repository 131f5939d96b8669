"""The JSON logs of all processes of a stack."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.observability.conftest import REQUEST_ID, ObservedStack
from tests.e2e.stack.environment import wait_until

pytestmark = pytest.mark.e2e


def read_log(observed: ObservedStack, process: str) -> list[dict[str, Any]]:
    """Return all complete lines; fails on a line that is not a JSON object."""
    text = (observed.world.stack.data_dir / "logs" / f"{process}.log").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.parametrize("process", ["api", "worker", "codec_server"])
def test_every_line_has_a_time_and_a_logger(observed: ObservedStack, process: str) -> None:
    log = read_log(observed, process)
    assert log
    for line in log:
        assert {"time", "level", "logger", "message"} <= set(line), line
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)


def test_lines_of_uvicorn_are_included(observed: ObservedStack) -> None:
    assert "uvicorn.error" in {line["logger"] for line in read_log(observed, "api")}


def test_a_line_about_a_request_names_its_merchant_and_transaction(observed: ObservedStack) -> None:
    (line,) = [
        line
        for line in read_log(observed, "api")
        if line["logger"] == "api.access" and line.get("request_id") == REQUEST_ID
    ]
    assert line["message"].startswith("POST /api/Payment 200")
    subject = {name: line[name] for name in ("merchant", "psp", "transaction_id")}
    assert subject == {
        "merchant": "demo",
        "psp": "sandbox",
        "transaction_id": observed.ids["paid"],
    }
    assert len(line["trace_id"]) == 32


def test_a_line_about_an_activity_names_its_workflow(observed: ObservedStack) -> None:
    id = observed.ids["failing"]

    def psp_failures() -> list[dict[str, Any]]:
        return [
            line
            for line in read_log(observed, "worker")
            if line["logger"] == "activities.errors" and line.get("transaction_id") == id
        ]

    wait_until(lambda: len(psp_failures()) >= 2, "two failed attempts in the log")
    line = psp_failures()[0]
    assert line["workflow_id"] == f"demo/payment/{id}"
    assert (line["merchant"], line["kind"], line["psp"]) == ("demo", "payment", "sandbox")


def test_no_line_holds_a_secret(observed: ObservedStack) -> None:
    folder = observed.world.stack.data_dir / "logs"
    for process in ("api", "worker", "codec_server"):
        text = (folder / f"{process}.log").read_text()
        assert [secret for secret in observed.secrets if secret in text] == []
