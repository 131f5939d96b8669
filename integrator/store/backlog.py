"""What waits in the books, in figures: for gauges that are read every few seconds.

Each is one statement that an index answers, whatever has been decided and delivered before.
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
    strays,
    transactions,
)

UNREAD = ("stored", "parked", "signalled")


@dataclass(frozen=True)
class Waiting:
    """How many of a group wait, and since when the oldest does."""

    group: tuple[str, ...]
    count: int
    since: datetime


@dataclass(frozen=True)
class Compared:
    """Until when a merchant's account has been compared with its PSP's."""

    merchant: str
    psp: str
    until: datetime


@dataclass(frozen=True)
class Figures:
    """Groups that wait for nothing are left out.

    `undecided` by kind and role, `attention` by kind since its last change, `webhooks` by state of
    the last delivery, `notifications` by state, `strays` by merchant.
    """

    undecided: list[Waiting]
    attention: list[Waiting]
    webhooks: list[Waiting]
    notifications: list[Waiting]
    strays: list[Waiting]
    compared: list[Compared]


class BacklogReads(Session):
    """Reads of nothing but figures."""

    async def figures(self) -> Figures:
        """All of them, as they are now."""
        async with self._reading() as connection:

            async def waiting(statement: Select[Any]) -> list[Waiting]:
                rows = await connection.execute(statement)
                return [Waiting(tuple(row[:-2]), row[-2], row[-1]) for row in rows]

            compared = await connection.execute(_COMPARED)
            return Figures(
                undecided=await waiting(_UNDECIDED),
                attention=await waiting(_ATTENTION),
                webhooks=await waiting(_WEBHOOKS),
                notifications=await waiting(_NOTIFICATIONS),
                strays=await waiting(_STRAYS),
                compared=[Compared(*row) for row in compared],
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
        # A later version tells what an earlier one would have told.
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
    .where(notifications.c.state.in_(UNREAD))
    .group_by(notifications.c.state)
)

_STRAYS = (
    select(merchants.c.id, func.count(), func.min(strays.c.booked_at))
    .join(strays, strays.c.psp_settings_id == merchants.c.psp_settings_id)
    .where(strays.c.resolved_at.is_(None))
    .group_by(merchants.c.id)
)

_COMPARED = (
    select(merchants.c.id, merchants.c.psp, reconciliation.c.checked_until)
    .join(reconciliation, reconciliation.c.psp_settings_id == merchants.c.psp_settings_id)
    .where(reconciliation.c.checked_until.is_not(None))
)
