"""One trace leads from a request to the PSP, and says nothing that it should not."""

import pytest

from tests.e2e.platform import wait_until
from tests.observability.collector import Span
from tests.observability.conftest import Watched

pytestmark = pytest.mark.e2e


def trace_with(watched: Watched, name: str, last: str, **attributes: str) -> list[Span]:
    """The trace of a span of this name, once its span called `last` has arrived."""
    wait_until(
        lambda: any(s.name == last for s in watched.collector.trace_of(name, **attributes)),
        f"{last} in the trace of {name}",
    )
    return watched.collector.trace_of(name, **attributes)


def ancestors(spans: list[Span], span: Span) -> list[str]:
    """The names from a span up to the root of its trace."""
    by_id = {one.span_id: one for one in spans}
    names = [span.name]
    while span.parent_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


def test_from_the_request_to_the_psp(watched: Watched) -> None:
    id = f"demo/payment/{watched.ids['paid']}"
    start = "StartUpdateWithStartWorkflow:PaymentWorkflow"
    # The request's own span ends last.
    spans = trace_with(watched, start, "POST /api/Payment", temporalWorkflowID=id)
    (call,) = [s for s in spans if s.name == "POST" and s.service == "integrator-worker"]
    assert ancestors(spans, call) == [
        "POST",
        "RunActivity:charge",
        "StartActivity:charge",
        start,
        "POST /api/Payment",
    ]
    (request,) = [s for s in spans if s.name == "POST /api/Payment"]
    assert request.service == "integrator-api"
    (ran,) = [s for s in spans if s.name == "RunWorkflow:PaymentWorkflow"]
    assert ancestors(spans, ran)[1:] == [start, "POST /api/Payment"]
    assert request.attributes["http.status_code"] == "200"


def test_to_the_webhooks_target(watched: Watched) -> None:
    id = f"demo/payment/{watched.ids['pending']}"
    spans = trace_with(watched, "RunActivity:deliver_webhook", "POST", temporalWorkflowID=id)
    callers = {ancestors(spans, span)[1] for span in spans if span.name == "POST"}
    assert callers == {"RunActivity:charge", "RunActivity:deliver_webhook"}


def test_from_a_notification_to_its_transaction(watched: Watched) -> None:
    """The transaction keeps its own trace, which began long before; the signal points to the other.

    A second notification about the same payment may come before or after the first.
    """
    id = f"demo/payment/{watched.ids['pending']}"
    trace = trace_with(watched, "HandleSignal:notify", "HandleSignal:notify", temporalWorkflowID=id)
    handled = next(span for span in trace if span.name == "HandleSignal:notify")
    assert "POST /api/Payment" in {span.name for span in trace}
    (origin,) = handled.linked
    wait_until(
        lambda: (
            {s.name for s in watched.collector.spans if s.trace_id == origin}
            >= {"POST /api/notifications/{psp}/{pspSettingsId}", "SignalWorkflow:notify"}
        ),
        "the notification's own trace",
    )


def test_no_span_holds_a_secret(watched: Watched) -> None:
    spans = watched.collector.spans
    assert len(spans) > 50
    told = "\n".join(span.text for span in spans)
    assert watched.ids["paid"] in told  # ids are there, so a secret would be found
    assert [secret for secret in watched.secrets if secret in told] == []


def test_a_line_of_the_log_names_its_trace(watched: Watched) -> None:
    id = f"demo/payment/{watched.ids['failing']}"
    (trace,) = {
        s.trace_id for s in watched.collector.trace_of("RunActivity:charge", temporalWorkflowID=id)
    }
    log = (watched.world.stack.data_dir / "logs" / "worker.log").read_text()
    assert f'"trace_id": "{trace}"' in log
