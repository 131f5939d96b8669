"""Kinds of faults and their schedule. Pure: the same random seed gives the same schedule."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FaultGroup = Literal["psp", "kill", "pause", "target", "none"]

_MONEY_OPERATIONS = ["charge", "capture", "refund", "authorize", "void"]


@dataclass(frozen=True)
class FaultKind:
    """Kind of fault: its target, its duration, and its parameters for the PSP's control API."""

    group: FaultGroup
    seconds: tuple[float, float]
    target: str = ""
    psp_fault: Mapping[str, Any] = field(default_factory=dict)


FAULT_KINDS: Mapping[str, FaultKind] = {
    "PSP drops before booking": FaultKind("psp", (2, 5), psp_fault={"kind": "drop", "share": 0.4}),
    "PSP drops after booking": FaultKind(
        "psp",
        (2, 5),
        psp_fault={"kind": "drop", "share": 0.5, "when": "after", "operations": _MONEY_OPERATIONS},
    ),
    "PSP delays": FaultKind(
        "psp", (2, 5), psp_fault={"kind": "delay", "share": 0.4, "seconds": 1.5}
    ),
    "PSP too late": FaultKind(
        "psp",
        (2, 4),
        psp_fault={
            "kind": "delay",
            "share": 0.3,
            "seconds": 9.0,
            "count": 4,
            "operations": _MONEY_OPERATIONS,
        },
    ),
    "PSP 500 before booking": FaultKind("psp", (2, 5), psp_fault={"kind": "error", "share": 0.4}),
    "PSP 503 after booking": FaultKind(
        "psp",
        (2, 5),
        psp_fault={
            **{"kind": "error", "share": 0.5, "status": 503, "when": "after"},
            "operations": _MONEY_OPERATIONS,
        },
    ),
    "PSP 429": FaultKind("psp", (2, 5), psp_fault={"kind": "rate", "share": 0.5, "seconds": 1.0}),
    "PSP look-ups fail": FaultKind(
        "psp", (3, 6), psp_fault={"kind": "error", "share": 0.7, "operations": ["fetch"]}
    ),
    "PSP webhook lost": FaultKind("psp", (2, 4), psp_fault={"kind": "drop_webhook", "share": 0.5}),
    "PSP webhook doubled": FaultKind("psp", (3, 6), psp_fault={"kind": "duplicate", "share": 0.7}),
    "PSP webhook overtaken": FaultKind("psp", (3, 6), psp_fault={"kind": "reorder", "share": 0.5}),
    "PSP webhook late": FaultKind(
        "psp", (3, 6), psp_fault={"kind": "delay_webhook", "share": 0.5, "seconds": 4.0}
    ),
    "PSP webhook's first try lost": FaultKind(
        "psp", (3, 6), psp_fault={"kind": "drop", "share": 0.7, "operations": ["webhook"]}
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

MAX_HITS = 60
"""A PSP fault counts its hits only if they are limited."""


@dataclass(frozen=True)
class FaultInjection:
    """One fault; it begins when `after_transactions` transactions have been requested."""

    kind: str
    after_transactions: int
    seconds: float
    seed: int


def schedule_faults(
    rng: random.Random,
    transactions: int,
    rounds: int | None = None,
    only: Collection[str] | None = None,
) -> Sequence[FaultInjection]:
    """Schedule every kind once per round, in random order, spread over the traffic.

    Without `rounds`, there is one round per 250 transactions. No fault begins during the first
    twentieth, so that there are transactions to affect.
    """
    kinds = [kind for kind in FAULT_KINDS if only is None or kind in only]
    order: list[str] = []
    for _ in range(rounds or max(1, transactions // 250)):
        order += rng.sample(kinds, len(kinds))
    first, last = transactions * 0.05, transactions * 0.9
    step = (last - first) / max(1, len(order))
    return [
        FaultInjection(
            kind,
            int(first + step * n),
            rng.uniform(*FAULT_KINDS[kind].seconds),
            rng.getrandbits(31),
        )
        for n, kind in enumerate(order)
    ]
