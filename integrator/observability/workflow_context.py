"""Log fields of the current workflow or activity."""

import re

from temporalio import activity, workflow

from integrator.observability import tracing
from integrator.observability.log_setup import Subject

_TRANSACTION = re.compile(r"(?P<merchant>[^/]+)/(?P<kind>[a-z]+)/(?P<transaction_id>[^/]+)")
_RECONCILIATION = re.compile(r"(?P<merchant>[^/]+)/reconcile.*")


def workflow_subject() -> Subject:
    """Return the current workflow id, the parts of the id, and the log fields of the context."""
    id = current_workflow_id()
    if id is None:
        return tracing.subject()
    match = _TRANSACTION.fullmatch(id) or _RECONCILIATION.fullmatch(id)
    parts = match.groupdict() if match is not None else {}
    return {"workflow_id": id, **parts, **tracing.subject()}


def current_workflow_id() -> str | None:
    """Return the id of the current workflow, or of the workflow of the current activity.

    It ends in the transaction's id.
    """
    if activity.in_activity():
        return activity.info().workflow_id
    if workflow.in_workflow():
        return workflow.info().workflow_id
    return None
