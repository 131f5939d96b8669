"""Kinds of faults and their schedule. Pure: the same random seed gives the same schedule."""

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

FaultGroup = Literal[
    "psp",
    "kill",
    "pause",
    "target",
    "workflow",
    "activity",
    "signal",
    "backup",
    "credentials",
    "erasure",
]

_MONEY_OPERATIONS = ["charge", "capture", "refund", "authorize", "void"]


@dataclass(frozen=True)
class FaultKind:
    """Kind of fault: its target, its duration, and its parameters for the PSP's control API.

    `limit` is how often it may occur in a campaign. The target is a process, a mode of the webhook
    receiver, or an operation in `devtools.campaign.operator_faults`.
    """

    group: FaultGroup
    seconds: tuple[float, float]
    target: str = ""
    psp_fault: Mapping[str, Any] = field(default_factory=dict)
    limit: int | None = None


def _workflow_fault(operation: str) -> FaultKind:
    return FaultKind("workflow", (0, 0), operation)


def _signal_fault(malformation: str) -> FaultKind:
    return FaultKind("signal", (0, 0), malformation)


_UNKNOWN_OUTCOMES: dict[str, Any] = {
    **{"kind": "error", "share": 0.8, "status": 503, "when": "after", "count": 12},
    "operations": _MONEY_OPERATIONS,
}
"""Attempts that the PSP books and does not confirm: those that an operator is tempted to touch."""


def _activity_fault(operation: str) -> FaultKind:
    return FaultKind("activity", (3, 5), operation, psp_fault=_UNKNOWN_OUTCOMES)


RESTORE = "Temporal restored from a backup"

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
    "PSP refuses searches": FaultKind(
        "psp", (3, 6), psp_fault={"kind": "refuse", "operations": ["search"]}
    ),
    "PSP stores failures": FaultKind(
        "psp",
        (2, 4),
        psp_fault={"kind": "error", "share": 0.4, "stored": True, "operations": ["creation"]},
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
    "workflow reset to its first task": _workflow_fault("reset to the first task"),
    "workflow reset to its last task": _workflow_fault("reset to the last task"),
    "workflow reset to any task": _workflow_fault("reset to any task"),
    "workflow reset without messages": _workflow_fault("reset without messages"),
    "workflow terminated": _workflow_fault("terminate"),
    "workflow cancelled": _workflow_fault("cancel"),
    "workflow deleted": _workflow_fault("delete"),
    "PSP call reset": _activity_fault("reset"),
    "PSP call completed by an operator": _activity_fault("complete"),
    "PSP call failed by an operator": _activity_fault("fail"),
    "PSP call paused": _activity_fault("pause"),
    "signal without argument": _signal_fault("no argument"),
    "signal with too many arguments": _signal_fault("too many arguments"),
    "signal of a wrong type": _signal_fault("wrong type"),
    "signal of garbage": _signal_fault("garbage"),
    "signal in an unknown encoding": _signal_fault("unknown encoding"),
    "signal with an unknown key": _signal_fault("unknown key"),
    "signal cut short": _signal_fault("truncated"),
    RESTORE: FaultKind("backup", (4, 12), limit=4),
    "customer erased while a charge is unknown": FaultKind(
        "erasure", (6, 8), psp_fault=_UNKNOWN_OUTCOMES | {"share": 1.0, "operations": ["charge"]}
    ),
    # Once: a second one within minutes would be the second rejection that means LoginError.
    "PSP key rotated": FaultKind("credentials", (3, 6), psp_fault=_UNKNOWN_OUTCOMES, limit=1),
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


def _may_occur(kind: str, times: int) -> bool:
    """Return whether a kind that has occurred so often may occur again."""
    limit = FAULT_KINDS[kind].limit
    return limit is None or times < limit


def schedule_faults(
    rng: random.Random,
    transactions: int,
    rounds: int | None = None,
    only: Collection[str] | None = None,
) -> Sequence[FaultInjection]:
    """Schedule every kind once per round, in random order, spread over the traffic.

    Without `rounds`, there is one round per 400 transactions. No fault begins during the first
    twentieth, so that there are transactions to affect.
    """
    kinds = [kind for kind in FAULT_KINDS if only is None or kind in only]
    order: list[str] = []
    for done in range(rounds or max(1, transactions // 400)):
        order += [kind for kind in rng.sample(kinds, len(kinds)) if _may_occur(kind, done)]
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
