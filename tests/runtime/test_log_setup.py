"""Log lines say when, who and on whose behalf, for people or for programs."""

import io
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from integrator.observability import log_setup
from integrator.observability.log_setup import FORMAT, JsonLines, OnBehalfOf, set_up
from integrator.observability.workflow_context import of_workflow

ID = "demo/payment/20260115-aaaaaaaaaaaaaaaaaaaaaaaa"


def logging_to(stream: io.StringIO, formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(OnBehalfOf(of_workflow))
    return handler


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    form = JsonLines() if request.param == "json" else logging.Formatter(FORMAT)
    handler = logging_to(stream, form)
    log = logging.getLogger("tests.store")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def environment(id: str = ID) -> ActivityEnvironment:
    made = ActivityEnvironment()
    made.info = replace(made.info, workflow_id=id)
    return made


@activity.defn
async def work() -> None:
    log_setup.bind(psp="sandbox")
    logging.getLogger("tests.store").warning("slow")


@pytest.mark.parametrize("lines", ["text"], indirect=True)
async def test_of_an_activity_whoever_writes_them(lines: io.StringIO) -> None:
    await environment().run(work)
    logging.getLogger("tests.store").warning("idle")
    first, second = lines.getvalue().splitlines()
    assert first.endswith(f"tests.store [{ID}] slow")
    assert second.endswith("tests.store [-] idle")


@pytest.mark.parametrize("lines", ["json"], indirect=True)
async def test_as_objects_with_everything_that_is_known(lines: io.StringIO) -> None:
    await environment().run(work)
    await environment("demo/reconcile-2026-01-15T12:00:00Z").run(work)
    logging.getLogger("tests.store").error("idle: %s", "Ü", extra={"psp": "stripe"})
    first, second, third = map(json.loads, lines.getvalue().splitlines())
    moment = datetime.fromisoformat(first.pop("time"))
    assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert moment.tzinfo is not None
    assert first == {
        "level": "WARNING",
        "logger": "tests.store",
        "message": "slow",
        "workflow_id": ID,
        "merchant": "demo",
        "kind": "payment",
        "transaction_id": ID.rpartition("/")[2],
        "psp": "sandbox",
    }
    assert (second["merchant"], "transaction_id" in second) == ("demo", False)
    assert (third["level"], third["message"], third["psp"]) == ("ERROR", "idle: Ü", "stripe")
    assert "merchant" not in third


def test_a_traceback_stays_in_its_line() -> None:
    stream = io.StringIO()
    log = logging.getLogger("tests.tracebacks")
    log.addHandler(logging_to(stream, JsonLines()))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: two\nlines" in json.loads(line)["exc_info"]


def test_what_is_told_of_one_piece_of_work_is_not_said_of_another() -> None:
    with log_setup.log_context(request_id="1"):
        log_setup.bind(merchant="demo")
        with log_setup.log_context(request_id="2"):
            assert log_setup.bound() == {"request_id": "2"}
        assert log_setup.bound() == {"request_id": "1", "merchant": "demo"}
    assert log_setup.bound() == {}


@pytest.mark.parametrize(
    ("form", "shown"), [("text", "INFO api [req-1] hello"), ("json", '"request_id": "req-1"')]
)
def test_a_process_has_one_handler(monkeypatch: pytest.MonkeyPatch, form: str, shown: str) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging.getLogger("httpx"), "level", 0)
    monkeypatch.setattr(logging, "captureWarnings", lambda on: None)
    set_up(lambda: {"request_id": "req-1"}, "json" if form == "json" else "text")
    (handler,) = root.handlers
    record = logging.LogRecord("api", logging.INFO, "", 0, "hello", (), None)
    assert handler.filter(record)
    assert shown in handler.format(record)
