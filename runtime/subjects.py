"""On whose behalf the worker is at work, for its log."""

import re

from runtime import tracing
from runtime.logs import Subject
from runtime.temporal import current_workflow

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
