"""Settings of a campaign."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Settings of one campaign.

    `transactions` is the number to plan; `seed` determines plan and faults; `fault_kinds` limits
    the kinds of faults; `psp` is the PSP that the sandbox PSP emulates. With `operator`, the
    encryption keys are replaced under load and some customers are erased.

    `key_seconds` is for how long the sandbox PSP remembers an idempotency key, and what its adapter
    declares; other PSPs keep theirs. `quiescence_seconds` is the time limit for pending work after
    the last fault; what is undecided then counts as stuck; reconciliation gets its rounds in any
    case. `planted_bug` is enabled in the product's processes. `keep_data` keeps the data folder
    after a violation.
    """

    transactions: int = 2000
    seed: int = 1
    minutes: float = 20.0
    quiescence_seconds: float = 420.0
    sync_budget_seconds: float = 3.0
    settle_seconds: float = 1.0
    slow_seconds: float = 4.0
    key_seconds: float = 120.0
    reconcile_seconds: float = 15.0
    reconcile_rounds: int | None = None
    fault_rounds: int | None = None
    fault_kinds: frozenset[str] | None = None
    psp: str = "sandbox"
    operator: bool = False
    planted_bug: str | None = None
    max_diagnostics: int = 5
    keep_data: bool = False


def from_environment(env: Mapping[str, str] = os.environ) -> Config:
    """Read CAMPAIGN_N, _SEED, _MINUTES, _PSP, _OPERATOR, _QUIET_SECONDS, _STORIES, _KEEP."""
    return Config(
        transactions=int(env.get("CAMPAIGN_N", "2000")),
        seed=int(env.get("CAMPAIGN_SEED") or secrets.randbelow(10**6)),
        minutes=float(env.get("CAMPAIGN_MINUTES", "20")),
        quiescence_seconds=float(env.get("CAMPAIGN_QUIET_SECONDS", "420")),
        max_diagnostics=int(env.get("CAMPAIGN_STORIES", "5")),
        psp=env.get("CAMPAIGN_PSP", "sandbox"),
        operator=bool(env.get("CAMPAIGN_OPERATOR")),
        keep_data=bool(env.get("CAMPAIGN_KEEP")),
    )
