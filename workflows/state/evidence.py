"""Proofs: why a state may be believed, and who said what."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class EvidenceKind(StrEnum):
    """Why a terminal state may be believed."""

    ANSWER = "answer"  # the PSP's synchronous answer, a replayed one included
    NOTIFICATION = "notification"  # a verified notification
    READ = "read"  # a consistent read at the PSP
    VOID = "void"  # a confirmed void
    NOT_SENT = "not_sent"  # refused by ourselves before anything was sent to the PSP
    DECISION = "decision"  # a person has found out what the PSP does not tell


class Evidence(BaseModel):
    """One proof: its kind, where it came from (event id, operation), and when we had it.

    The source of a decision is `Decision.source`.
    """

    model_config = ConfigDict(frozen=True)

    kind: EvidenceKind
    source: str
    at: datetime
