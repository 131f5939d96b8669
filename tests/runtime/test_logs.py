"""Log lines say on whose behalf they were written."""

import io
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest
from temporalio import activity
from temporalio.testing import ActivityEnvironment

from runtime.logs import FORMAT, OnBehalfOf, set_up
from runtime.temporal import current_workflow


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter(FORMAT))
    handler.addFilter(OnBehalfOf(current_workflow))
    log = logging.getLogger("tests.store")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


async def test_of_an_activity_whoever_writes_them(lines: io.StringIO) -> None:
    @activity.defn
    async def work() -> None:
        logging.getLogger("tests.store").warning("slow")

    environment = ActivityEnvironment()
    id = "demo/payment/20260115-aaaaaaaaaaaaaaaaaaaaaaaa"
    environment.info = replace(environment.info, workflow_id=id)
    await environment.run(work)
    logging.getLogger("tests.store").warning("idle")
    first, second = lines.getvalue().splitlines()
    assert first.endswith(f"tests.store [{id}] slow")
    assert second.endswith("tests.store [-] idle")


def test_a_process_has_one_handler(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)
    monkeypatch.setattr(logging.getLogger("httpx"), "level", 0)
    set_up(lambda: "req-1")
    (handler,) = root.handlers
    record = logging.LogRecord("api", logging.INFO, "", 0, "hello", (), None)
    assert handler.filter(record)
    assert handler.format(record).endswith("INFO api [req-1] hello")
