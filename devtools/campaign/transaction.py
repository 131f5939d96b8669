"""Transaction as recorded by the simulated Billwerk+: requests, responses and webhooks."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from devtools.campaign.responses import Response, TransactionView, parse_view
from devtools.campaign.scenario import TransactionKind

RESOURCES: Mapping[TransactionKind, str] = {
    "preauth": "Preauth",
    "payment": "Payment",
    "refund": "Refund",
}


@dataclass(frozen=True)
class Exchange:
    """Request to the integrator and its result, `at` a Unix time."""

    at: float
    request: str
    response: str


@dataclass
class Transaction:
    """Transaction with its exchanges and the state last seen.

    `latest` is the newest state in responses and in reads after webhooks. `expected` are the
    possible outcomes; `parent` is the id of the captured preauth or the refunded payment.
    `interrupted`: an operator has rewound or ended its workflow, or given a PSP call a result.
    `final_outcomes` are the final outcomes seen; `final` is the read at the end of the campaign.
    """

    id: str
    kind: TransactionKind
    label: str
    amount: Decimal
    body: dict[str, Any]
    expected: frozenset[str]
    parent: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    webhooks: list[float] = field(default_factory=list)
    final_outcomes: list[str] = field(default_factory=list)
    rejections: list[str] = field(default_factory=list)
    latest: TransactionView | None = None
    final: Response | None = None
    answered: bool = False
    cancelled: bool = False
    conflict_accepted: bool = False
    interrupted: bool = False

    @property
    def resource(self) -> str:
        """Return the name of its API resource."""
        return RESOURCES[self.kind]

    def record_exchange(self, request: str, response: str) -> None:
        """Record an exchange for the diagnostics."""
        self.exchanges.append(Exchange(time.time(), request, response))

    def record_response(self, response: Response, *, posted: bool) -> None:
        """Record a response to a POST (`posted`) or to a GET; keep the newest state.

        A rejected POST is not a state of the transaction: a repetition may be accepted.
        """
        view = parse_view(response)
        if response.status != 200 and posted:
            self.rejections.append(view.outcome)
        elif response.status == 404:
            return
        elif view.decided:
            self.final_outcomes.append(view.outcome)
        if self.latest is None or _is_newer(view, self.latest, final=response.status != 200):
            self.latest = view


def _is_newer(view: TransactionView, latest: TransactionView, *, final: bool) -> bool:
    """Return whether `view` is newer; an error may have the timestamp of the state before it."""
    return view.timestamp > latest.timestamp or (final and view.timestamp == latest.timestamp)
