"""Log of the attempts to deliver change notifications, kept for operators."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError

from integrator.store import StoreError
from integrator.store.database import Store
from integrator.store.models import DeliveryRow, DeliveryState
from workflows.messages import WebhookCall

log = logging.getLogger(__name__)

TIMEOUT = timedelta(seconds=2)
"""What the attempt's own time limit leaves after the slowest response."""


class DeliveryLog:
    """Writes one row per version; a failed write never changes the attempt's result.

    Failing the attempt because of this row would send the notification again to a receiver that
    already has it. The next attempt rewrites the row; after a lost success it stays "delivering",
    which is safe: redelivering does no harm.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    async def record_delivered(self, call: WebhookCall, at: datetime, status: int) -> None:
        """Record that the receiver accepted the notification."""
        await self._write(call, "delivered", at, status, delivered_at=at)

    async def record_failed(
        self, call: WebhookCall, error: ApplicationError, status: int | None
    ) -> None:
        """Record a failed attempt; the error's pause shows whether another attempt follows."""
        now = datetime.now(UTC)
        state: DeliveryState = "undelivered" if _is_last_attempt(now, error) else "delivering"
        await self._write(call, state, now, status, error=error.message)

    async def _write(
        self,
        call: WebhookCall,
        state: DeliveryState,
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
            await asyncio.wait_for(self._store.deliveries.record(row), TIMEOUT.total_seconds())
        except (StoreError, TimeoutError) as error:
            log.warning(
                "Attempt %d of a change notification was not recorded: %s",
                info.attempt,
                type(error).__name__,
            )


def _is_last_attempt(now: datetime, error: ApplicationError) -> bool:
    """Check whether Temporal makes no further attempt: it would begin after the activity's time."""
    info = activity.info()
    if info.schedule_to_close_timeout is None:
        return False
    pause = error.next_retry_delay or timedelta(0)
    return now + pause >= info.scheduled_time + info.schedule_to_close_timeout
