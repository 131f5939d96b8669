"""Factory of all metrics, so that one table can list them.

Labels have few values: never ids of transactions, addresses or texts. A merchant's name is used
where there is one series per merchant.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import GaugeMetricFamily

disable_created_metrics()  # type: ignore[no-untyped-call]  # an unused additional series per metric

PREFIX = "integrator_"

REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0)
"""Upper bounds in seconds for durations a caller waits for."""

LONG_BUCKETS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 21_600.0, 86_400.0, 302_400.0)
"""Upper bounds in seconds for durations up to the 84 hours of a change notification."""


@dataclass(frozen=True)
class MetricDescription:
    """Metric as it is exported; the name of a counter ends in `_total`."""

    name: str
    type: str
    labels: tuple[str, ...]
    description: str


CATALOGUE: list[MetricDescription] = []
"""All metrics of the imported modules."""


def counter(name: str, description: str, *labels: str) -> Counter:
    """Create a counter; `name` ends in `_total`."""
    return Counter(*_register(name, "counter", description, labels))


def gauge(name: str, description: str, *labels: str) -> Gauge:
    """Create a gauge."""
    return Gauge(*_register(name, "gauge", description, labels))


def histogram(
    name: str, description: str, *labels: str, buckets: Sequence[float] = REQUEST_BUCKETS
) -> Histogram:
    """Create a histogram; `buckets` are upper bounds in the unit of the name."""
    return Histogram(*_register(name, "histogram", description, labels), buckets=buckets)


def collected_gauge(name: str, description: str, *labels: str) -> Callable[[], GaugeMetricFamily]:
    """Register a gauge whose values a collector adds at every scrape; returns its factory."""
    _register(name, "gauge", description, labels)
    return lambda: GaugeMetricFamily(name, description, labels=labels)


def markdown_table(metrics: Iterable[MetricDescription]) -> str:
    """Render metrics as a Markdown table, sorted by name."""
    rows = [
        f"| `{metric.name}` | {metric.type} | {_format_labels(metric.labels)} | "
        f"{metric.description} |"
        for metric in sorted(metrics, key=lambda metric: metric.name)
    ]
    return "\n".join(["| Metric | Type | Labels | Meaning |", "|---|---|---|---|", *rows]) + "\n"


def _format_labels(labels: tuple[str, ...]) -> str:
    return ", ".join(f"`{label}`" for label in labels) or "-"


def _register(
    name: str, metric_type: str, description: str, labels: tuple[str, ...]
) -> tuple[str, str, tuple[str, ...]]:
    if not name.startswith(PREFIX):
        raise ValueError(f"the name of metric {name} does not begin with {PREFIX}")
    CATALOGUE.append(MetricDescription(name, metric_type, labels, description))
    return name, description, labels
