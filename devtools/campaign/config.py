"""How large a campaign is, and what is special about one."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """`transactions` planned, faults drawn from `seed`; `only` limits the kinds of faults, `psp`
    names who is played by the sandbox PSP. With `operator`, the encryption keys are changed under
    load and some customers are erased.

    `quiet_seconds` is how long things may take to settle after the last fault; what is undecided
    then counts as stuck; reconciliation gets its rounds in any case. `planted` names a bug to
    switch on in the product's processes. `keep`: leave the data folder when something is wrong.
    """

    transactions: int = 2000
    seed: int = 1
    minutes: float = 20.0
    quiet_seconds: float = 420.0
    sync_budget_seconds: float = 3.0
    settle_seconds: float = 1.0
    slow_seconds: float = 4.0
    reconcile_seconds: float = 15.0
    reconcile_rounds: int | None = None
    rounds: int | None = None
    only: frozenset[str] | None = None
    psp: str = "sandbox"
    operator: bool = False
    planted: str | None = None
    stories: int = 5
    keep: bool = False


def from_environment(env: Mapping[str, str] = os.environ) -> Config:
    """CAMPAIGN_N, _SEED, _MINUTES, _PSP, _OPERATOR, _QUIET_SECONDS, _STORIES, _KEEP."""
    return Config(
        transactions=int(env.get("CAMPAIGN_N", "2000")),
        seed=int(env.get("CAMPAIGN_SEED") or secrets.randbelow(10**6)),
        minutes=float(env.get("CAMPAIGN_MINUTES", "20")),
        quiet_seconds=float(env.get("CAMPAIGN_QUIET_SECONDS", "420")),
        stories=int(env.get("CAMPAIGN_STORIES", "5")),
        psp=env.get("CAMPAIGN_PSP", "sandbox"),
        operator=bool(env.get("CAMPAIGN_OPERATOR")),
        keep=bool(env.get("CAMPAIGN_KEEP")),
    )
