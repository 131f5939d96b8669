"""Counts of open items in the store, for operators and for gauges that are read every few seconds.

Each count is one statement that uses an index, so its cost does not grow with the closed items.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, case, exists, func, select, text

from integrator.store.deliveries import delivery_state
from integrator.store.models import (
    NOT_SENT,
    BacklogCounts,
    BacklogGroup,
    BacklogTotals,
    ComparisonProgress,
)
from integrator.store.repository import Repository
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

UNDECIDED_REASONS = {
    "waiting_for_customer": "the customer has not finished the hosted page",
    "waiting_for_day": "the debit is sent once the PSP takes its date; nothing was sent",
    "waiting_for_psp": "the PSP knows the transaction and has not decided it",
    "not_sent": "the PSP is unavailable or rejects the credentials; nothing was sent",
    "unanswered": "no answer yet; the call is repeated while the PSP remembers its key",
    "inconclusive": "no answer, and look-ups cannot say whether the PSP received the call",
}
"""Why a transaction is undecided, as far as its row shows."""

OPEN_NOTIFICATION_STATES = ("stored", "parked", "signalled")


def _is_last_version() -> ColumnElement[bool]:
    # A later version replaces the notification of an earlier one.
    later = deliveries.alias()
    return ~exists().where(
        later.c.merchant_id == deliveries.c.merchant_id,
        later.c.transaction_id == deliveries.c.transaction_id,
        later.c.version > deliveries.c.version,
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

_REASON = case(
    (transactions.c.send_at.is_not(None), "waiting_for_day"),
    (
        and_(
            transactions.c.kind == "preauth",
            transactions.c.status == "Initiated",
            transactions.c.version > 0,
        ),
        "waiting_for_customer",
    ),
    (transactions.c.psp_transaction_id.is_not(None), "waiting_for_psp"),
    (transactions.c.send_mark == NOT_SENT, "not_sent"),
    (transactions.c.needs_attention, "inconclusive"),
    else_="unanswered",
).label("reason")

_UNDECIDED_REASONS = (
    select(_REASON, func.count(), func.min(transactions.c.created_at))
    .where(text(UNDECIDED))
    .group_by("reason")  # PostgreSQL takes the expression with its parameters for another one
)

_ATTENTION = (
    select(transactions.c.kind, func.count(), func.min(transactions.c.updated_at))
    .where(transactions.c.needs_attention)
    .group_by(transactions.c.kind)
)

_WEBHOOKS = (
    select(deliveries.c.state, func.count(), func.min(deliveries.c.began_at))
    .where(text(f"deliveries.{OPEN_DELIVERY}"), _is_last_version())
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


class Backlog(Repository):
    """Counts of open items, in groups or for one merchant."""

    async def get_counts(self) -> BacklogCounts:
        """Count the open items of all merchants, in groups."""
        async with self._session.read_connection() as connection:

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
                undecided_reasons=await groups(_UNDECIDED_REASONS),
            )

    async def list_undecided_reasons(self, merchant_id: str | None = None) -> list[BacklogGroup]:
        """Count the undecided transactions of one merchant or of all by reason, oldest first."""
        statement = _UNDECIDED_REASONS
        if merchant_id is not None:
            statement = statement.where(transactions.c.merchant_id == merchant_id)
        async with self._session.read_connection() as connection:
            rows = await connection.execute(statement)
            found = [BacklogGroup((row[0],), row[1], row[2]) for row in rows]
        return sorted(found, key=lambda item: item.since)

    async def get_totals(self, merchant_id: str | None = None) -> BacklogTotals:
        """Count the open items of one merchant or of all."""
        now = datetime.now(UTC)
        account = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
        conditions = {
            table.name: [] if merchant_id is None else [table.c.merchant_id == merchant_id]
            for table in (transactions, deliveries)
        }
        conditions["strays"] = (
            [] if merchant_id is None else [unmatched_movements.c.psp_settings_id.in_(account)]
        )
        delivering = delivery_state(now) == "delivering"
        is_open = text(OPEN_DELIVERY)
        return BacklogTotals(
            *await self._count_and_oldest(
                transactions.c.created_at, text(UNDECIDED), *conditions["transactions"]
            ),
            *await self._count_and_oldest(
                transactions.c.created_at,
                transactions.c.needs_attention,
                *conditions["transactions"],
            ),
            *await self._count_and_oldest(
                unmatched_movements.c.seen_at,
                unmatched_movements.c.resolved_at.is_(None),
                *conditions["strays"],
            ),
            *await self._count_and_oldest(
                deliveries.c.began_at,
                is_open,
                delivering,
                _is_last_version(),
                *conditions["deliveries"],
            ),
            *await self._count_and_oldest(
                deliveries.c.began_at,
                is_open,
                ~delivering,
                _is_last_version(),
                *conditions["deliveries"],
            ),
        )

    async def _count_and_oldest(
        self, since: ColumnElement[datetime], *conditions: Any
    ) -> tuple[int, datetime | None]:
        statement = select(func.count(), func.min(since)).where(*conditions)
        async with self._session.read_connection() as connection:
            count, oldest = (await connection.execute(statement)).one()
        return count, oldest
