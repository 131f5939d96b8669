"""Gauges of what waits in the books: read from the store now and then, shown at every scrape."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.observability.metrics import collected
from integrator.store.backlog import UNREAD, Figures, Waiting
from integrator.store.database import Store
from workflows.state import TransactionKind

EVERY = timedelta(seconds=15)
ROLES = (PublicPaymentProviderRole.CreditCard.name, PublicPaymentProviderRole.Debit.name)
"""Shown as 0 from the start; others as soon as they are used."""

Family = Callable[[], GaugeMetricFamily]

READ_AT = collected(
    "integrator_figures_read_timestamp_seconds", "When the store was last read for figures"
)
UNDECIDED = (
    collected(
        "integrator_transactions_undecided",
        "Transactions that the PSP has not decided",
        *("kind", "role"),
    ),
    collected(
        "integrator_transactions_undecided_oldest_age_seconds",
        "Since when the oldest of them is open",
        *("kind", "role"),
    ),
)
ATTENTION = (
    collected(
        "integrator_transactions_needing_attention",
        "Transactions whose state asks for a person",
        "kind",
    ),
    collected(
        "integrator_transactions_needing_attention_oldest_age_seconds",
        "Since when the one that has not changed for longest is as it is",
        "kind",
    ),
)
WEBHOOKS = (
    collected(
        "integrator_webhooks_open",
        "Transactions whose last change is not announced: `delivering`, `undelivered` (given up)",
        "state",
    ),
    collected(
        "integrator_webhooks_open_oldest_age_seconds",
        "Since when the oldest of them waits",
        "state",
    ),
)
NOTIFICATIONS = (
    collected(
        "integrator_notifications_open",
        "PSPs' notifications not read by their transaction: `stored`, `parked` (about nothing we "
        "know), `signalled`",
        "state",
    ),
    collected(
        "integrator_notifications_open_oldest_age_seconds",
        "Since when the oldest of them waits",
        "state",
    ),
)
STRAYS = (
    collected(
        "integrator_strays_open",
        "Movements at the PSP that none of our transactions asked for and nobody has resolved",
        "merchant",
    ),
    collected(
        "integrator_strays_open_oldest_age_seconds",
        "Since when the oldest of them is booked",
        "merchant",
    ),
)
COMPARED = collected(
    "integrator_reconciliation_age_seconds",
    "How old the newest movement is that has been compared with the PSP's books",
    *("merchant", "psp"),
)


class FiguresCollector(Collector):
    """Shows the figures read last; ages go on growing when nothing can be read any more."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._figures: Figures | None = None
        self._read_at = 0.0
        # What was there once is shown as 0 afterwards: a line that ends would hide an alert's end.
        self._groups: dict[str, dict[tuple[str, ...], None]] = {
            "undecided": {(kind.value, role): None for kind in TransactionKind for role in ROLES},
            "attention": {(kind.value,): None for kind in TransactionKind},
            "webhooks": {("delivering",): None, ("undelivered",): None},
            "notifications": {(state,): None for state in UNREAD},
        }

    def take(self, figures: Figures) -> None:
        """These are the newest."""
        self._figures, self._read_at = figures, self._clock()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing: the names must not be asked for before there is anything to show."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Two gauges for everything that waits: how many and for how long."""
        figures = self._figures
        if figures is None:
            return
        read_at = READ_AT()
        read_at.add_metric([], self._read_at)
        yield read_at
        yield from self._both("undecided", UNDECIDED, figures.undecided)
        yield from self._both("attention", ATTENTION, figures.attention)
        yield from self._both("webhooks", WEBHOOKS, figures.webhooks)
        yield from self._both("notifications", NOTIFICATIONS, figures.notifications)
        yield from self._both("strays", STRAYS, figures.strays)
        compared = COMPARED()
        for one in figures.compared:
            compared.add_metric([one.merchant, one.psp], self._age(one.until))
        yield compared

    def _both(
        self, name: str, families: tuple[Family, Family], waiting: Sequence[Waiting]
    ) -> Iterator[GaugeMetricFamily]:
        groups = self._groups.setdefault(name, {})
        groups.update({one.group: None for one in waiting})
        found = {one.group: one for one in waiting}
        counts, ages = (family() for family in families)
        for group in list(groups):
            one = found.get(group)
            counts.add_metric(group, one.count if one else 0)
            ages.add_metric(group, self._age(one.since) if one else 0)
        yield counts
        yield ages

    def _age(self, since: datetime) -> float:
        return max(0.0, self._clock() - since.timestamp())


class FiguresReader:
    """Reads the store for the collector."""

    def __init__(self, store: Store, collector: FiguresCollector) -> None:
        self._store = store
        self._collector = collector

    async def sweep(self) -> None:
        """Once; raises `StoreUnavailable`."""
        self._collector.take(await self._store.figures())
