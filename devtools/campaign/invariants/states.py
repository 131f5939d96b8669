"""Checks of states: final status, agreement of the records, unfinished work. Pure.

Each check yields a sentence for every violation of a transaction.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from devtools.campaign.responses import TransactionView
from devtools.campaign.scenario import NEVER_SENT, OWN_REFUSALS, WAITING
from devtools.campaign.violations import TransactionCase, booked_amounts


def wrong_final_states(case: TransactionCase) -> Iterator[str]:
    """Check that the final status is an expected one and no other was reported as final before."""
    transaction = case.transaction
    expected = transaction.expected
    if transaction.interrupted or expected & OWN_REFUSALS:
        expected |= {NEVER_SENT}
    if not case.undecided and case.outcome not in expected:
        yield f"{case.outcome}, expected one of {sorted(expected)}"
    others = {outcome for outcome in transaction.final_outcomes if outcome != case.outcome}
    if transaction.kind == "preauth" and case.outcome in ("Cancelled", "Expired"):
        others.discard("Succeeded")
    if others and not case.undecided:
        yield f"reported {sorted(others)} before, now {case.outcome}"
    if transaction.cancelled and case.outcome != "Cancelled":
        yield f"the cancellation was confirmed, now {case.outcome}"


def inconsistent_states(case: TransactionCase) -> Iterator[str]:
    """Check that API, store and workflow report the same state."""
    row, workflow = case.row, case.workflow
    if (row is None) == case.stored:
        yield f"the read shows {case.outcome}, the store has {'it' if row else 'nothing'}"
    if row is None:
        return
    if case.final is not None and row.status != case.final.outcome.partition(":")[0]:
        yield f"the read shows {case.final.outcome}, the store {row.status}"
    state = workflow.state if workflow is not None else None
    if state is not None and int(state["version"]) > row.version:
        yield f"the workflow is at version {state['version']}, the store at {row.version}"
    newest = case.newest_state
    if newest is not None and _is_captured(case) and not newest.get("captured"):
        yield "it was captured, but its workflow has not recorded the capture"


def stuck(case: TransactionCase) -> Iterator[str]:
    """Check that only transactions waiting for a customer are open, and no reservation is left."""
    transaction, workflow = case.transaction, case.workflow
    if not transaction.answered:
        yield "the request was never answered"
    if case.undecided and WAITING not in transaction.expected:
        yield f"still {case.outcome}"
    yield from _leftover_reservations(case)
    if case.row is not None and case.row.due and not case.undecided:
        yield f"still due: {case.row.due}"
    if workflow is None or workflow.status not in ("RUNNING", "COMPLETED"):
        if case.stored and (case.undecided or not transaction.interrupted):
            yield "has no workflow" if workflow is None else f"its workflow is {workflow.status}"
        return
    if workflow.pending_work:
        yield f"its workflow is busy: {', '.join(workflow.pending_work)}"
    if workflow.delivery is not None and workflow.delivery["state"] != "idle":
        yield f"its change notification is {workflow.delivery['state']}"


def stale_webhooks(case: TransactionCase) -> Iterator[str]:
    """Check that responses and reads after webhooks show the same state as the final read."""
    if case.final is None or case.undecided:
        return
    latest = case.transaction.latest
    if latest is None or latest.differs_from(case.final, case.transaction.kind):
        description = "nothing" if latest is None else _describe_view(latest)
        webhooks = len(case.transaction.webhooks)
        final = _describe_view(case.final)
        yield f"last saw {description}; a read shows {final}; {webhooks} webhooks were received"


def _leftover_reservations(case: TransactionCase) -> Iterator[str]:
    """Yield reservations that remain after their transaction was decided."""
    state = case.newest_state
    if state is None:
        return
    reservations: Mapping[str, Any] = state.get("reservations") or {}
    for refund_id, amount in reservations.items():
        yield f"{amount} is still reserved for the refund {refund_id}"
    capture_id = state.get("captured_by")
    if capture_id and not state.get("captured"):
        yield f"still reserved for the capture {capture_id}"
    if state.get("cancelling") and case.outcome == "Succeeded":
        yield "still being cancelled"


def _is_captured(case: TransactionCase) -> bool:
    """Return whether a payment has captured this preauth."""
    capture_ids = [t.id for t in case.transactions.values() if t.parent == case.transaction.id]
    captures = (booked_amounts(case.ledger, id, "capture") for id in capture_ids)
    return case.transaction.kind == "preauth" and any(captures)


def _describe_view(view: TransactionView) -> str:
    return (
        f"{view.outcome} held {view.authorized} paid {[str(a) for _, a in view.paid]} "
        f"charged back {[str(a) for _, a in view.charged_back]} refunded {view.refunded}"
    )
