"""Counts of open items in the store, for gauges that are read every few seconds.

Each count is one statement that uses an index, so its cost does not grow with the closed items.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, exists, func, select, text

from integrator.store.session import Session
from integrator.store.tables import (
    OPEN_DELIVERY,
    UNDECIDED,
    deliveries,
    merchants,
    notifications,
    reconciliation,
    transactions,
    unmatched_movements,
)

OPEN_NOTIFICATION_STATES = ("stored", "parked", "signalled")


@dataclass(frozen=True)
class BacklogGroup:
    """Number of open items in a group, and the time of the oldest."""

    group: tuple[str, ...]
    count: int
    since: datetime


@dataclass(frozen=True)
class ComparisonProgress:
    """Time until which a merchant's transactions were compared with the PSP's."""

    merchant: str
    psp: str
    until: datetime


@dataclass(frozen=True)
class BacklogCounts:
    """Open items by group; groups without any are left out.

    `undecided` by kind and role, `attention` by kind since the last change, `webhooks` by state of
    the last delivery, `notifications` by state, `unmatched_movements` by merchant.
    """

    undecided: list[BacklogGroup]
    attention: list[BacklogGroup]
    webhooks: list[BacklogGroup]
    notifications: list[BacklogGroup]
    unmatched_movements: list[BacklogGroup]
    comparisons: list[ComparisonProgress]


class BacklogReads(Session):
    """Reads the counts of open items."""

    async def backlog_counts(self) -> BacklogCounts:
        """Return the current counts."""
        async with self._read_connection() as connection:

            async def groups(statement: Select[Any]) -> list[BacklogGroup]:
                rows = await connection.execute(statement)
                return [BacklogGroup(tuple(row[:-2]), row[-2], row[-1]) for row in rows]

            comparisons = await connection.execute(_COMPARISONS)
            return BacklogCounts(
                undecided=await groups(_UNDECIDED),
                attention=await groups(_ATTENTION),
                webhooks=await groups(_WEBHOOKS),
                notifications=await groups(_NOTIFICATIONS),
                unmatched_movements=await groups(_UNMATCHED_MOVEMENTS),
                comparisons=[ComparisonProgress(*row) for row in comparisons],
            )


_UNDECIDED = (
    select(
        transactions.c.kind,
        transactions.c.role,
        func.count(),
        func.min(transactions.c.created_at),
    )
    .where(text(UNDECIDED))
    .group_by(transactions.c.kind, transactions.c.role)
)

_ATTENTION = (
    select(transactions.c.kind, func.count(), func.min(transactions.c.updated_at))
    .where(transactions.c.needs_attention)
    .group_by(transactions.c.kind)
)

_later = deliveries.alias("later")

_WEBHOOKS = (
    select(deliveries.c.state, func.count(), func.min(deliveries.c.began_at))
    .where(
        text(f"deliveries.{OPEN_DELIVERY}"),
        # A later version replaces the notification of an earlier one.
        ~exists().where(
            and_(
                _later.c.merchant_id == deliveries.c.merchant_id,
                _later.c.transaction_id == deliveries.c.transaction_id,
                _later.c.version > deliveries.c.version,
            )
        ),
    )
    .group_by(deliveries.c.state)
)

_NOTIFICATIONS = (
    select(notifications.c.state, func.count(), func.min(notifications.c.received_at))
    .where(notifications.c.state.in_(OPEN_NOTIFICATION_STATES))
    .group_by(notifications.c.state)
)

_UNMATCHED_MOVEMENTS = (
    select(merchants.c.id, func.count(), func.min(unmatched_movements.c.booked_at))
    .join(unmatched_movements, unmatched_movements.c.psp_settings_id == merchants.c.psp_settings_id)
    .where(unmatched_movements.c.resolved_at.is_(None))
    .group_by(merchants.c.id)
)

_COMPARISONS = (
    select(merchants.c.id, merchants.c.psp, reconciliation.c.checked_until)
    .join(reconciliation, reconciliation.c.psp_settings_id == merchants.c.psp_settings_id)
    .where(reconciliation.c.checked_until.is_not(None))
)
