"""Configuration of the benchmark."""

import os
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True)
class BenchConfig:
    """Settings of a run; times in seconds. `growth`: numbers of open payments to measure with."""

    rounds: int = 5
    phase: float = 4.0
    warm_up: float = 4.0
    notifications: int = 60
    callers: int = 8
    crowd: int = 32
    growth: tuple[int, ...] = ()
    variants: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls) -> Self:
        """Read `BENCH_ROUNDS`, `BENCH_QUICK`, `BENCH_GROWTH` and `BENCH_VARIANTS`."""
        quick = os.environ.get("BENCH_QUICK") == "1"
        growth: tuple[int, ...] = ()
        if os.environ.get("BENCH_GROWTH") == "1":
            growth = (0, 200, 1_000) if quick else (0, 10_000, 50_000)
        return cls(
            rounds=int(os.environ.get("BENCH_ROUNDS", "2" if quick else "5")),
            phase=1.0 if quick else 4.0,
            warm_up=1.0 if quick else 4.0,
            notifications=15 if quick else 60,
            growth=growth,
            variants=tuple(filter(None, os.environ.get("BENCH_VARIANTS", "").split(","))),
        )
