"""Delivery of the change notification of each version of a transaction's state."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, bindparam, case, literal, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.models import DeliveryRow
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import deliveries, transactions
from integrator.store.transaction_decoder import BY_KEY, key_parameters

GIVEN_UP_AFTER = timedelta(hours=96)
"""A round never takes that long; if it seems to, its end was not written in a database outage."""


_REMOVE_DUE_ANNOUNCEMENT = (
    update(transactions)
    .where(BY_KEY, transactions.c.announce_version <= bindparam("announced_version"))
    .values(announce_version=None)
)


def delivery_state(now: datetime) -> ColumnElement[str]:
    """Return a delivery's state; one that began too long ago counts as undelivered."""
    return case(
        (
            and_(deliveries.c.state == "delivering", deliveries.c.began_at < now - GIVEN_UP_AFTER),
            literal("undelivered"),
        ),
        else_=deliveries.c.state,
    )


class Deliveries(Repository):
    """One row per announced version."""

    @shielded_write
    async def record(self, row: DeliveryRow) -> None:
        """Store the result of the last attempt; a success removes the due announcement.

        A repeated or superseded report (of an earlier attempt or round) changes nothing.
        """
        table = deliveries
        statement = self._session.insert(table).values(vars(row))
        new = statement.excluded
        later = or_(
            table.c.began_at < new.began_at,
            and_(table.c.began_at == new.began_at, table.c.attempts < new.attempts),
        )
        changes = {name: new[name] for name in vars(row)}
        for key in ("merchant_id", "transaction_id", "version"):
            del changes[key]
        # A repeated delivery never clears the time of an earlier success.
        changes["delivered_at"] = case(
            (new.delivered_at.is_not(None), new.delivered_at), else_=table.c.delivered_at
        )
        async with self._session.write_transaction() as connection:
            await connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(table.primary_key.columns), set_=changes, where=later
                )
            )
            if row.delivered_at is not None:
                await _remove_due_announcement(
                    connection, row.merchant_id, row.transaction_id, row.version
                )

    @shielded_write
    async def remove_due_announcement(
        self, merchant_id: str, transaction_id: str, announced_version: int
    ) -> None:
        """Record that the versions up to this one were announced."""
        key = (merchant_id, transaction_id)
        async with self._session.write_transaction() as connection:
            await _remove_due_announcement(connection, *key, announced_version)

    async def first_began_at(self) -> datetime | None:
        """Return when the first delivery began; None before."""
        async with self._session.read_connection() as connection:
            began_at: datetime | None = await connection.scalar(
                select(deliveries.c.began_at).order_by(deliveries.c.began_at).limit(1)
            )
        return began_at

    async def list_by_transaction(
        self, merchant_id: str, transaction_id: str, limit: int = 100
    ) -> list[DeliveryRow]:
        """List the deliveries of a transaction's versions, newest first, as stored."""
        statement = (
            select(deliveries)
            .where(
                deliveries.c.merchant_id == merchant_id,
                deliveries.c.transaction_id == transaction_id,
            )
            .order_by(deliveries.c.version.desc())
            .limit(limit)
        )
        async with self._session.read_connection() as connection:
            return [DeliveryRow(**row) for row in (await connection.execute(statement)).mappings()]


async def _remove_due_announcement(
    connection: AsyncConnection, merchant_id: str, transaction_id: str, announced_version: int
) -> None:
    parameters = key_parameters(merchant_id, transaction_id)
    await connection.execute(
        _REMOVE_DUE_ANNOUNCEMENT, parameters | {"announced_version": announced_version}
    )
