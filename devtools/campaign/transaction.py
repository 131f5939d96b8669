"""One transaction in the platform's own books: what was asked, answered and announced."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from devtools.campaign.responses import Answer, View, view
from devtools.campaign.scenario import Kind

RESOURCES: Mapping[Kind, str] = {"preauth": "Preauth", "payment": "Payment", "refund": "Refund"}


@dataclass(frozen=True)
class Exchange:
    """Something that happened between the platform and the service, `at` on the wall clock."""

    at: float
    what: str
    result: str


@dataclass
class Transaction:
    """`known` is the newest state told by answers and by reads after webhooks.

    `expected` are the outcomes it may have; `owner` is what it takes money from. `claims` are
    final outcomes that were told; `final` is the read after everything has come to rest.
    """

    id: str
    kind: Kind
    label: str
    amount: Decimal
    body: dict[str, Any]
    expected: frozenset[str]
    owner: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    webhooks: list[float] = field(default_factory=list)
    claims: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    known: View | None = None
    final: Answer | None = None
    answered: bool = False
    cancelled: bool = False
    clash_accepted: bool = False

    @property
    def resource(self) -> str:
        """Where it is found."""
        return RESOURCES[self.kind]

    def note(self, what: str, result: str) -> None:
        """Keep what happened for the story."""
        self.exchanges.append(Exchange(time.time(), what, result))

    def told(self, answer: Answer, *, asked: bool) -> None:
        """An answer to a POST (`asked`) or to a GET: keep the newest, drop what is older.

        A refused POST is no state of the transaction: it may be asked again and be accepted.
        """
        seen = view(answer)
        if answer.status != 200 and asked:
            self.refused.append(seen.outcome)
        elif answer.status == 404:
            return
        elif seen.decided:
            self.claims.append(seen.outcome)
        if self.known is None or _newer(seen, self.known, final=answer.status != 200):
            self.known = seen


def _newer(seen: View, known: View, *, final: bool) -> bool:
    """An error has the time it was received at, which a state before it may share."""
    return seen.stamp > known.stamp or (final and seen.stamp == known.stamp)
