"""The checks of states: how it ended, who knows it, what is still open. Pure.

Each yields a sentence for everything that is wrong with a transaction.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from devtools.campaign.responses import View
from devtools.campaign.scenario import WAITING
from devtools.campaign.violations import Case, entries


def wrong_final_states(case: Case) -> Iterator[str]:
    """It ended as it may end, and was never told to have ended otherwise."""
    of = case.of
    if not case.undecided and case.outcome not in of.expected:
        yield f"{case.outcome}, where only {sorted(of.expected)} can be"
    others = {claim for claim in of.claims if claim != case.outcome}
    if of.kind == "preauth" and case.outcome in ("Cancelled", "Expired"):
        others.discard("Succeeded")
    if others and not case.undecided:
        yield f"told {sorted(others)} before, now {case.outcome}"
    if of.cancelled and case.outcome != "Cancelled":
        yield f"the cancel was confirmed, now {case.outcome}"


def books_disagree(case: Case) -> Iterator[str]:
    """Platform, store and workflow say the same."""
    row, flow = case.row, case.workflow
    if (row is None) == case.stored:
        yield f"the read says {case.outcome}, the store has {'it' if row else 'nothing'}"
    if row is None:
        return
    if case.final is not None and row.status != case.final.outcome.partition(":")[0]:
        yield f"the read says {case.final.outcome}, the store {row.status}"
    state = flow.state if flow is not None else None
    if state is not None and int(state["version"]) > row.version:
        yield f"the workflow is at version {state['version']}, the store at {row.version}"
    if state is not None and _taken(case) and not state.get("captured"):
        yield "its money was captured, and its workflow does not know"


def stuck(case: Case) -> Iterator[str]:
    """Nothing is open but what waits for a customer, and nothing is held for nobody."""
    of, flow = case.of, case.workflow
    if not of.answered:
        yield "the request was never answered"
    if case.undecided and WAITING not in of.expected:
        yield f"still {case.outcome}"
    if flow is None:
        if case.stored:
            yield "has no workflow"
        return
    if flow.status not in ("RUNNING", "COMPLETED"):
        yield f"its workflow is {flow.status}"
    if flow.busy:
        yield f"its workflow is busy: {', '.join(flow.busy)}"
    if flow.delivery is not None and flow.delivery["state"] != "idle":
        yield f"its change notification is {flow.delivery['state']}"
    yield from _held(case)


def stale_webhooks(case: Case) -> Iterator[str]:
    """Who listened to answers and webhooks knows what a read shows."""
    if case.final is None or case.undecided:
        return
    known = case.of.known
    if known is None or known.differs(case.final, case.of.kind):
        heard = "nothing" if known is None else _shown(known)
        webhooks = len(case.of.webhooks)
        yield f"knows {heard}; a read shows {_shown(case.final)}; {webhooks} webhooks came"


def _held(case: Case) -> Iterator[str]:
    """Reservations of what has long been decided."""
    state = case.workflow.state if case.workflow is not None else None
    if state is None:
        return
    reservations: Mapping[str, Any] = state.get("reservations") or {}
    for by, amount in reservations.items():
        yield f"{amount} are still reserved for the refund {by}"
    taker = state.get("captured_by")
    if taker and not state.get("captured"):
        yield f"still reserved for the capture {taker}"
    if state.get("cancelling") and case.outcome == "Succeeded":
        yield "still being cancelled"


def _taken(case: Case) -> bool:
    """Whether a payment has captured this preauth."""
    takers = [t.id for t in case.others.values() if t.owner == case.of.id]
    captures = (entries(case.ledger, id, "capture") for id in takers)
    return case.of.kind == "preauth" and any(captures)


def _shown(seen: View) -> str:
    return (
        f"{seen.outcome} held {seen.held} paid {[str(a) for _, a in seen.paid]} "
        f"charged back {[str(a) for _, a in seen.returned]} refunded {seen.given_back}"
    )
