"""Keeps for operators how each attempt to deliver a change notification went."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from integrator.store import StoreError
from integrator.store.database import Store
from integrator.store.models import DeliveryRow, DeliveryStanding
from workflows.messages import WebhookCall

log = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=2)
"""The attempt's own time limit leaves no more than this behind the slowest answer."""


class DeliveryLog:
    """Writes one row per version; what cannot be written never changes the attempt's result.

    A delivery that failed for want of this row would be sent again to a receiver who has it. The
    next attempt writes the row anew; after a lost success it stays "delivering", which errs on the
    safe side: an operator who redelivers does no harm.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def delivered(self, call: WebhookCall, at: datetime, status: int) -> None:
        """The receiver has it."""
        await self._keep(call, "delivered", at, status, delivered_at=at)

    async def failed(self, call: WebhookCall, error: ApplicationError, status: int | None) -> None:
        """The receiver did not take it; whether another attempt follows is seen from its pause."""
        now = datetime.now(UTC)
        state: DeliveryStanding = "undelivered" if _was_last(now, error) else "delivering"
        await self._keep(call, state, now, status, error=error.message)

    async def _keep(
        self,
        call: WebhookCall,
        state: DeliveryStanding,
        at: datetime,
        status: int | None,
        *,
        delivered_at: datetime | None = None,
        error: str | None = None,
    ) -> None:
        info = activity.info()
        row = DeliveryRow(
            merchant_id=call.merchant_id,
            transaction_id=call.transaction_id,
            version=call.version,
            state=state,
            attempts=info.attempt,
            began_at=info.scheduled_time,
            last_attempt_at=at,
            delivered_at=delivered_at,
            last_status=status,
            last_error=error,
        )
        try:
            await asyncio.wait_for(self._store.record_delivery(row), PATIENCE.total_seconds())
        except (StoreError, TimeoutError) as problem:
            log.warning(
                "Attempt %d of a change notification was not noted: %s",
                info.attempt,
                type(problem).__name__,
            )


def _was_last(now: datetime, error: ApplicationError) -> bool:
    """Temporal makes no further attempt that would begin after the activity's time is over."""
    info = activity.info()
    if info.schedule_to_close_timeout is None:
        return False
    pause = error.next_retry_delay or timedelta(0)
    return now + pause >= info.scheduled_time + info.schedule_to_close_timeout
