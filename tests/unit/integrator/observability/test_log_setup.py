"""Log lines have a time, a logger and a subject, as text or as JSON."""

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
from integrator.observability.log_setup import FORMAT, JsonLines, SubjectFilter, set_up
from integrator.observability.workflow_context import workflow_subject

ID = "demo/payment/20260115-aaaaaaaaaaaaaaaaaaaaaaaa"


def create_handler(stream: io.StringIO, formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    handler.addFilter(SubjectFilter(workflow_subject))
    return handler


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    form = JsonLines() if request.param == "json" else logging.Formatter(FORMAT)
    handler = create_handler(stream, form)
    log = logging.getLogger("tests.integration.integrator.store")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


def create_environment(id: str = ID) -> ActivityEnvironment:
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, workflow_id=id)
    return environment


@activity.defn
async def log_activity() -> None:
    log_setup.bind(psp="sandbox")
    logging.getLogger("tests.integration.integrator.store").warning("slow")


@pytest.mark.parametrize("lines", ["text"], indirect=True)
async def test_text_lines_of_an_activity_have_its_workflow_id(lines: io.StringIO) -> None:
    await create_environment().run(log_activity)
    logging.getLogger("tests.integration.integrator.store").warning("idle")
    first, second = lines.getvalue().splitlines()
    assert first.endswith(f"tests.integration.integrator.store [{ID}] slow")
    assert second.endswith("tests.integration.integrator.store [-] idle")


@pytest.mark.parametrize("lines", ["json"], indirect=True)
async def test_json_lines_have_all_bound_fields(lines: io.StringIO) -> None:
    await create_environment().run(log_activity)
    await create_environment("demo/reconcile-2026-01-15T12:00:00Z").run(log_activity)
    logging.getLogger("tests.integration.integrator.store").error(
        "idle: %s", "Ü", extra={"psp": "stripe"}
    )
    first, second, third = map(json.loads, lines.getvalue().splitlines())
    time = datetime.fromisoformat(first.pop("time"))
    assert abs((datetime.now(UTC) - time).total_seconds()) < 60
    assert time.tzinfo is not None
    assert first == {
        "level": "WARNING",
        "logger": "tests.integration.integrator.store",
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


def test_a_traceback_is_part_of_its_json_line() -> None:
    stream = io.StringIO()
    log = logging.getLogger("tests.tracebacks")
    log.addHandler(create_handler(stream, JsonLines()))
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: two\nlines" in json.loads(line)["exc_info"]


def test_bound_fields_do_not_leak_into_other_contexts() -> None:
    with log_setup.log_context(request_id="1"):
        log_setup.bind(merchant="demo")
        with log_setup.log_context(request_id="2"):
            assert log_setup.bound() == {"request_id": "2"}
        assert log_setup.bound() == {"request_id": "1", "merchant": "demo"}
    assert log_setup.bound() == {}


@pytest.mark.parametrize(
    ("form", "expected"), [("text", "INFO api [req-1] hello"), ("json", '"request_id": "req-1"')]
)
def test_a_process_has_one_handler(
    monkeypatch: pytest.MonkeyPatch, form: str, expected: str
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging.getLogger("httpx"), "level", 0)
    monkeypatch.setattr(logging, "captureWarnings", lambda on: None)
    set_up(lambda: {"request_id": "req-1"}, "json" if form == "json" else "text")
    (handler,) = root.handlers
    record = logging.LogRecord("api", logging.INFO, "", 0, "hello", (), None)
    assert handler.filter(record)
    assert expected in handler.format(record)
