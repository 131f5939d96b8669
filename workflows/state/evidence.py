"""Evidence for the facts and the status of a transaction."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class EvidenceKind(StrEnum):
    """Kinds of evidence for a terminal status."""

    ANSWER = "answer"  # the PSP's synchronous response, also a replayed one
    NOTIFICATION = "notification"  # a verified notification
    READ = "read"  # a consistent read at the PSP
    VOID = "void"  # a confirmed void
    NOT_SENT = "not_sent"  # refused by this service before anything was sent to the PSP
    DECISION = "decision"  # an operator found out what the PSP does not report


class Evidence(BaseModel):
    """One piece of evidence: its kind, its source (event id, operation) and when it was received.

    The source of a decision is `decision N`, its number in the state's `decisions`.
    """

    model_config = ConfigDict(frozen=True)

    kind: EvidenceKind
    source: str
    at: datetime
