"""One trace leads from a request to the PSP, and contains no secrets."""

import pytest

from tests.e2e.observability.collector import Span
from tests.e2e.observability.conftest import ObservedStack
from tests.e2e.stack.environment import wait_until

pytestmark = pytest.mark.e2e


def wait_for_trace(observed: ObservedStack, name: str, last: str, **attributes: str) -> list[Span]:
    """Return the trace of a span of this name, once its span `last` has arrived."""
    wait_until(
        lambda: any(s.name == last for s in observed.collector.find_trace(name, **attributes)),
        f"{last} in the trace of {name}",
    )
    return observed.collector.find_trace(name, **attributes)


def ancestor_names(spans: list[Span], span: Span) -> list[str]:
    """Return the names from a span up to the root of its trace."""
    by_id = {other.span_id: other for other in spans}
    names = [span.name]
    while span.parent_id:
        span = by_id[span.parent_id]
        names.append(span.name)
    return names


def test_a_trace_leads_from_the_request_to_the_psp(observed: ObservedStack) -> None:
    id = f"demo/payment/{observed.ids['paid']}"
    start = "StartUpdateWithStartWorkflow:PaymentWorkflow"
    # The span of the request ends last.
    spans = wait_for_trace(observed, start, "POST /api/Payment", temporalWorkflowID=id)
    (call,) = [s for s in spans if s.name == "POST" and s.service == "integrator-worker"]
    assert ancestor_names(spans, call) == [
        "POST",
        "RunActivity:charge",
        "StartActivity:charge",
        start,
        "POST /api/Payment",
    ]
    (request,) = [s for s in spans if s.name == "POST /api/Payment"]
    assert request.service == "integrator-api"
    (workflow,) = [s for s in spans if s.name == "RunWorkflow:PaymentWorkflow"]
    assert ancestor_names(spans, workflow)[1:] == [start, "POST /api/Payment"]
    assert request.attributes["http.status_code"] == "200"


def test_a_trace_includes_the_webhook_delivery(observed: ObservedStack) -> None:
    id = f"demo/payment/{observed.ids['pending']}"
    spans = wait_for_trace(observed, "RunActivity:deliver_webhook", "POST", temporalWorkflowID=id)
    callers = {ancestor_names(spans, span)[1] for span in spans if span.name == "POST"}
    assert callers == {"RunActivity:charge", "RunActivity:deliver_webhook"}


def test_a_trace_links_a_notification_to_its_transaction(observed: ObservedStack) -> None:
    """The transaction keeps its own, earlier trace; the span of the signal links to the other.

    A second notification about the same payment may arrive before or after the first.
    """
    id = f"demo/payment/{observed.ids['pending']}"
    trace = wait_for_trace(
        observed, "HandleSignal:notify", "HandleSignal:notify", temporalWorkflowID=id
    )
    handled = next(span for span in trace if span.name == "HandleSignal:notify")
    assert "POST /api/Payment" in {span.name for span in trace}
    (origin,) = handled.linked
    wait_until(
        lambda: (
            {s.name for s in observed.collector.spans if s.trace_id == origin}
            >= {"POST /api/notifications/{psp}/{pspSettingsId}", "SignalWorkflow:notify"}
        ),
        "the notification's own trace",
    )


def test_no_span_holds_a_secret(observed: ObservedStack) -> None:
    spans = observed.collector.spans
    assert len(spans) > 50
    exported = "\n".join(span.text for span in spans)
    assert observed.ids["paid"] in exported  # ids are there, so a secret would be found
    assert [secret for secret in observed.secrets if secret in exported] == []


def test_a_log_line_contains_its_trace_id(observed: ObservedStack) -> None:
    id = f"demo/payment/{observed.ids['failing']}"
    (trace,) = {
        s.trace_id
        for s in observed.collector.find_trace("RunActivity:charge", temporalWorkflowID=id)
    }
    log = (observed.world.stack.data_dir / "logs" / "worker.log").read_text()
    assert f'"trace_id": "{trace}"' in log
