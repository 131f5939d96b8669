"""The logs of a stack that writes JSON: every line of every process."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.e2e.platform import wait_until
from tests.observability.conftest import REQUEST_ID, Watched

pytestmark = pytest.mark.e2e


def lines(watched: Watched, process: str) -> list[dict[str, Any]]:
    """Every complete line; fails on one that is no JSON object."""
    text = (watched.world.stack.data_dir / "logs" / f"{process}.log").read_text()
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


@pytest.mark.parametrize("process", ["api", "worker", "codec_server"])
def test_every_line_says_when_and_who(watched: Watched, process: str) -> None:
    found = lines(watched, process)
    assert found
    for line in found:
        assert {"time", "level", "logger", "message"} <= set(line), line
        assert datetime.fromisoformat(line["time"]).utcoffset() == timedelta(0)


def test_the_servers_own_lines_are_among_them(watched: Watched) -> None:
    assert "uvicorn.error" in {line["logger"] for line in lines(watched, "api")}


def test_a_line_about_a_request_says_whose_it_is(watched: Watched) -> None:
    (line,) = [
        line
        for line in lines(watched, "api")
        if line["logger"] == "api.access" and line.get("request_id") == REQUEST_ID
    ]
    assert line["message"].startswith("POST /api/Payment 200")
    known = {name: line[name] for name in ("merchant", "psp", "transaction_id")}
    assert known == {
        "merchant": "demo",
        "psp": "sandbox",
        "transaction_id": watched.ids["paid"],
    }
    assert len(line["trace_id"]) == 32


def test_a_line_about_an_activity_says_for_what(watched: Watched) -> None:
    id = watched.ids["failing"]

    def about_the_psp() -> list[dict[str, Any]]:
        return [
            line
            for line in lines(watched, "worker")
            if line["logger"] == "activities.errors" and line.get("transaction_id") == id
        ]

    wait_until(lambda: len(about_the_psp()) >= 2, "two failed attempts in the log")
    line = about_the_psp()[0]
    assert line["workflow_id"] == f"demo/payment/{id}"
    assert (line["merchant"], line["kind"], line["psp"]) == ("demo", "payment", "sandbox")


def test_no_line_holds_a_secret(watched: Watched) -> None:
    folder = watched.world.stack.data_dir / "logs"
    for process in ("api", "worker", "codec_server"):
        text = (folder / f"{process}.log").read_text()
        assert [secret for secret in watched.secrets if secret in text] == []
