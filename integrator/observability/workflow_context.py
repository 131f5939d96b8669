"""On whose behalf the worker is at work, for its log."""

import re

from temporalio import activity, workflow

from integrator.observability import tracing
from integrator.observability.log_setup import Subject

_TRANSACTION = re.compile(r"(?P<merchant>[^/]+)/(?P<kind>[a-z]+)/(?P<transaction_id>[^/]+)")
_RECONCILIATION = re.compile(r"(?P<merchant>[^/]+)/reconcile.*")


def of_workflow() -> Subject:
    """The workflow that this code runs in or for, with what its id says, and what was told."""
    id = current_workflow()
    if id is None:
        return tracing.subject()
    parts = _TRANSACTION.fullmatch(id) or _RECONCILIATION.fullmatch(id)
    named = parts.groupdict() if parts is not None else {}
    return {"workflow_id": id, **named, **tracing.subject()}


def current_workflow() -> str | None:
    """The id of the workflow that this code runs in or for, which ends in its transaction's id."""
    if activity.in_activity():
        return activity.info().workflow_id
    if workflow.in_workflow():
        return workflow.info().workflow_id
    return None
