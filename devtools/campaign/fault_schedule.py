"""Which faults strike when. Pure: the same dice give the same plan."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Group = Literal["psp", "kill", "pause", "target", "none"]

_MONEY = ["charge", "capture", "refund", "authorize", "void"]


@dataclass(frozen=True)
class FaultKind:
    """A kind of fault: what it acts on, for how long, and what the PSP is told about it."""

    group: Group
    seconds: tuple[float, float]
    acts_on: str = ""
    psp: Mapping[str, Any] = field(default_factory=dict)


KINDS: Mapping[str, FaultKind] = {
    "PSP drops before booking": FaultKind("psp", (2, 5), psp={"kind": "drop", "share": 0.4}),
    "PSP drops after booking": FaultKind(
        "psp", (2, 5), psp={"kind": "drop", "share": 0.5, "when": "after", "operations": _MONEY}
    ),
    "PSP delays": FaultKind("psp", (2, 5), psp={"kind": "delay", "share": 0.4, "seconds": 1.5}),
    "PSP too late": FaultKind(
        "psp",
        (2, 4),
        psp={"kind": "delay", "share": 0.3, "seconds": 9.0, "count": 4, "operations": _MONEY},
    ),
    "PSP 500 before booking": FaultKind("psp", (2, 5), psp={"kind": "error", "share": 0.4}),
    "PSP 503 after booking": FaultKind(
        "psp",
        (2, 5),
        psp={
            **{"kind": "error", "share": 0.5, "status": 503, "when": "after"},
            "operations": _MONEY,
        },
    ),
    "PSP 429": FaultKind("psp", (2, 5), psp={"kind": "rate", "share": 0.5, "seconds": 1.0}),
    "PSP look-ups fail": FaultKind(
        "psp", (3, 6), psp={"kind": "error", "share": 0.7, "operations": ["fetch"]}
    ),
    "PSP webhook lost": FaultKind("psp", (2, 4), psp={"kind": "drop_webhook", "share": 0.5}),
    "PSP webhook doubled": FaultKind("psp", (3, 6), psp={"kind": "duplicate", "share": 0.7}),
    "PSP webhook overtaken": FaultKind("psp", (3, 6), psp={"kind": "reorder", "share": 0.5}),
    "PSP webhook late": FaultKind(
        "psp", (3, 6), psp={"kind": "delay_webhook", "share": 0.5, "seconds": 4.0}
    ),
    "PSP webhook's first try lost": FaultKind(
        "psp", (3, 6), psp={"kind": "drop", "share": 0.7, "operations": ["webhook"]}
    ),
    "worker killed": FaultKind("kill", (0, 0), "worker"),
    "API killed": FaultKind("kill", (0, 0), "api"),
    "PSP killed": FaultKind("kill", (0, 0), "sandbox_psp"),
    "Temporal killed": FaultKind("kill", (0, 0), "temporal"),
    "worker paused": FaultKind("pause", (2, 5), "worker"),
    "Temporal paused": FaultKind("pause", (2, 4), "temporal"),
    "webhook target down": FaultKind("target", (2, 4), "down"),
    "webhook target slow": FaultKind("target", (2, 4), "slow"),
    "webhook target answers 500": FaultKind("target", (2, 4), "500"),
    "webhook target answers 503": FaultKind("target", (2, 4), "503"),
}

MOST_HITS = 60
"""A PSP fault counts what it struck only if it is limited."""


@dataclass(frozen=True)
class FaultInjection:
    """One fault: it begins when `at` transactions have been asked for."""

    kind: str
    at: int
    seconds: float
    seed: int


def strikes(
    dice: random.Random,
    transactions: int,
    rounds: int | None = None,
    only: Collection[str] | None = None,
) -> Sequence[FaultInjection]:
    """Every kind once per round, in random order, spread over the traffic.

    A round for every 250 transactions, unless said otherwise. The first twentieth is left in
    peace, so that there is something to break.
    """
    kinds = [kind for kind in KINDS if only is None or kind in only]
    order: list[str] = []
    for _ in range(rounds or max(1, transactions // 250)):
        order += dice.sample(kinds, len(kinds))
    first, last = transactions * 0.05, transactions * 0.9
    step = (last - first) / max(1, len(order))
    return [
        FaultInjection(
            kind, int(first + step * n), dice.uniform(*KINDS[kind].seconds), dice.getrandbits(31)
        )
        for n, kind in enumerate(order)
    ]
