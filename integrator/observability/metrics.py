"""What a process counts: every metric is made here, so that one table can name them all.

Labels have few values: ids of transactions, addresses and texts never become one. A merchant's
name may, where there is one series per merchant.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

disable_created_metrics()  # type: ignore[no-untyped-call]  # one more series for each, for nobody

PREFIX = "integrator_"

QUICK = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""Bounds in seconds for what a caller waits for."""

PATIENT = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 302_400.0)
"""Bounds in seconds for what may take up to the 84 hours of a change notification."""


@dataclass(frozen=True)
class Described:
    """A metric as its readers know it: the name of a counter ends in `_total`."""

    name: str
    shape: str
    labels: tuple[str, ...]
    meaning: str


CATALOGUE: list[Described] = []
"""Every metric of the modules that have been imported."""


def counter(name: str, meaning: str, *labels: str) -> Counter:
    """A count that only grows; `name` ends in `_total`."""
    return Counter(*_described(name, "counter", meaning, labels))


def gauge(name: str, meaning: str, *labels: str) -> Gauge:
    """A value that comes and goes."""
    return Gauge(*_described(name, "gauge", meaning, labels))


def histogram(name: str, meaning: str, *labels: str, buckets: Sequence[float] = QUICK) -> Histogram:
    """A distribution; `buckets` are upper bounds in the unit of the name."""
    return Histogram(*_described(name, "histogram", meaning, labels), buckets=buckets)


def collected(name: str, meaning: str, *labels: str) -> Callable[[], GaugeMetricFamily]:
    """A gauge whose values a collector adds anew at every reading."""
    _described(name, "gauge", meaning, labels)
    return lambda: GaugeMetricFamily(name, meaning, labels=labels)


def table(metrics: Iterable[Described]) -> str:
    """Metrics as a Markdown table, by name."""
    rows = [
        f"| `{one.name}` | {one.shape} | {_shown(one.labels)} | {one.meaning} |"
        for one in sorted(metrics, key=lambda one: one.name)
    ]
    return "\n".join(["| Metric | Type | Labels | Meaning |", "|---|---|---|---|", *rows]) + "\n"


def _shown(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "-"


def _described(
    name: str, shape: str, meaning: str, labels: tuple[str, ...]
) -> tuple[str, str, tuple[str, ...]]:
    if not name.startswith(PREFIX):
        raise ValueError(f"{name} does not begin with {PREFIX}")
    CATALOGUE.append(Described(name, shape, labels, meaning))
    return name, meaning, labels
