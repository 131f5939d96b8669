"""Gauges of the backlog: read from the store periodically, exported at every scrape."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.observability.metrics import collected_gauge
from integrator.store.backlog import OPEN_NOTIFICATION_STATES, UNDECIDED_REASONS
from integrator.store.database import Store
from integrator.store.models import BacklogCounts, BacklogGroup
from workflows.state import TransactionKind

INTERVAL = timedelta(seconds=15)
ROLES = (PublicPaymentProviderRole.CreditCard.name, PublicPaymentProviderRole.Debit.name)
"""Exported as 0 from the start; other roles as soon as they are used."""

FamilyFactory = Callable[[], GaugeMetricFamily]

READ_AT = collected_gauge(
    "integrator_figures_read_timestamp_seconds", "When the backlog was last read from the store"
)
UNDECIDED = (
    collected_gauge(
        "integrator_transactions_undecided",
        "Transactions that the PSP has not decided",
        *("kind", "role"),
    ),
    collected_gauge(
        "integrator_transactions_undecided_oldest_age_seconds",
        "Age of the oldest undecided transaction",
        *("kind", "role"),
    ),
)
UNDECIDED_BY_REASON = (
    collected_gauge(
        "integrator_transactions_undecided_by_reason",
        "The same transactions by reason: `waiting_for_customer`, `waiting_for_day`, "
        "`waiting_for_psp`, `not_sent`, `unanswered`, `inconclusive` (no answer, and look-ups "
        "cannot say)",
        "reason",
    ),
    collected_gauge(
        "integrator_transactions_undecided_by_reason_oldest_age_seconds",
        "Age of the oldest of them",
        "reason",
    ),
)
ATTENTION = (
    collected_gauge(
        "integrator_transactions_needing_attention",
        "Transactions whose state needs an operator's attention",
        "kind",
    ),
    collected_gauge(
        "integrator_transactions_needing_attention_oldest_age_seconds",
        "Age of the least recently changed of them",
        "kind",
    ),
)
WEBHOOKS = (
    collected_gauge(
        "integrator_webhooks_open",
        "Transactions whose last change is not announced: `delivering`, `undelivered` (given up)",
        "state",
    ),
    collected_gauge(
        "integrator_webhooks_open_oldest_age_seconds",
        "Age of the oldest of them",
        "state",
    ),
)
NOTIFICATIONS = (
    collected_gauge(
        "integrator_notifications_open",
        "PSPs' notifications not read by their transaction: `stored`, `parked` (about no known "
        "transaction), `signalled`",
        "state",
    ),
    collected_gauge(
        "integrator_notifications_open_oldest_age_seconds",
        "Age of the oldest of them",
        "state",
    ),
)
UNMATCHED_MOVEMENTS = (
    collected_gauge(
        "integrator_strays_open",
        "Movements at the PSP that match no transaction and are unresolved",
        "merchant",
    ),
    collected_gauge(
        "integrator_strays_open_oldest_age_seconds",
        "Age of the oldest of them, by booking time",
        "merchant",
    ),
)
COMPARED = collected_gauge(
    "integrator_reconciliation_age_seconds",
    "Age of the point in time up to which movements have been compared with the PSP",
    *("merchant", "psp"),
)


class BacklogCollector(Collector):
    """Exports the backlog read last; ages go on growing when the store cannot be read any more."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._figures: BacklogCounts | None = None
        self._read_at = 0.0
        # A group seen once is exported as 0 afterwards: a missing series would hide an alert's end.
        self._groups: dict[str, dict[tuple[str, ...], None]] = {
            "undecided": {(kind.value, role): None for kind in TransactionKind for role in ROLES},
            "undecided_reasons": {(reason,): None for reason in UNDECIDED_REASONS},
            "attention": {(kind.value,): None for kind in TransactionKind},
            "webhooks": {("delivering",): None, ("undelivered",): None},
            "notifications": {(state,): None for state in OPEN_NOTIFICATION_STATES},
        }

    def update(self, figures: BacklogCounts) -> None:
        """Replace the backlog to export."""
        self._figures, self._read_at = figures, self._clock()

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Return nothing: the registry must not collect names before there are values."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield two gauges for every kind of backlog: count and age of the oldest."""
        figures = self._figures
        if figures is None:
            return
        read_at = READ_AT()
        read_at.add_metric([], self._read_at)
        yield read_at
        yield from self._count_and_age("undecided", UNDECIDED, figures.undecided)
        yield from self._count_and_age(
            "undecided_reasons", UNDECIDED_BY_REASON, figures.undecided_reasons
        )
        yield from self._count_and_age("attention", ATTENTION, figures.attention)
        yield from self._count_and_age("webhooks", WEBHOOKS, figures.webhooks)
        yield from self._count_and_age("notifications", NOTIFICATIONS, figures.notifications)
        yield from self._count_and_age(
            "unmatched", UNMATCHED_MOVEMENTS, figures.unmatched_movements
        )
        compared = COMPARED()
        for account in figures.comparisons:
            compared.add_metric([account.merchant, account.psp], self._age(account.until))
        yield compared

    def _count_and_age(
        self,
        name: str,
        families: tuple[FamilyFactory, FamilyFactory],
        entries: Sequence[BacklogGroup],
    ) -> Iterator[GaugeMetricFamily]:
        groups = self._groups.setdefault(name, {})
        groups.update({entry.group: None for entry in entries})
        by_group = {entry.group: entry for entry in entries}
        counts, ages = (family() for family in families)
        for group in list(groups):
            entry = by_group.get(group)
            counts.add_metric(group, entry.count if entry else 0)
            ages.add_metric(group, self._age(entry.since) if entry else 0)
        yield counts
        yield ages

    def _age(self, since: datetime) -> float:
        return max(0.0, self._clock() - since.timestamp())


class BacklogReader:
    """Reads the backlog from the store for the collector."""

    def __init__(self, store: Store, collector: BacklogCollector) -> None:
        self._store = store
        self._collector = collector

    async def run(self) -> None:
        """Read the backlog once; raises `StoreUnavailable`."""
        self._collector.update(await self._store.backlog.get_counts())
