"""The state shared by all parts of one running PSP."""

import asyncio
from dataclasses import dataclass, field

from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.faults import FaultStore
from devtools.sandbox_psp.settings import Settings


@dataclass
class Context:
    """State of one running PSP.

    `in_flight` holds the (account, idempotency key) pairs of the requests in progress. Memory on
    purpose: a killed process has booked nothing for them, so their keys must be free again.
    """

    settings: Settings
    db: Database
    faults: FaultStore
    in_flight: set[tuple[str, str]] = field(default_factory=set)
    tasks: set[asyncio.Task[object]] = field(default_factory=set)
