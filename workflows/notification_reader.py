"""Reader of the PSP notifications that are stored for a transaction."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import activity_plans
from workflows.messages import NotificationRead, NotificationSignal
from workflows.psp_operation import PspOperation
from workflows.state import EvidenceKind
from workflows.transaction_context import TransactionContext


class NotificationReader:
    """Reads pending notifications one at a time and folds their outcomes into the state."""

    def __init__(self, context: TransactionContext, operation: PspOperation) -> None:
        self._context = context
        self._operation = operation
        self._pending: list[NotificationSignal] = []

    @property
    def pending_count(self) -> int:
        """Return how many notifications have not been processed."""
        return len(self._pending)

    def add(self, notification: NotificationSignal) -> None:
        """Queue a notification for reading."""
        self._pending.append(notification)

    async def run(self) -> None:
        """Read queued notifications until cancelled; one is removed only after its processing."""
        while True:
            await workflow.wait_condition(lambda: bool(self._pending))
            await self._read(self._pending[0])
            self._pending.pop(0)

    async def _read(self, notification: NotificationSignal) -> None:
        start = self._context.start
        read = NotificationRead(
            merchant_id=start.merchant_id,
            transaction_id=start.transaction_id,
            notification_id=notification.notification_id,
            version=self._context.state.version,
        )
        try:
            result = await activity_plans.READ_NOTIFICATION(read, summary="read a PSP notification")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._context.state.flag_attention(
                "A notification could not be read; the PSP was asked instead.", again=True
            )
            self._context.request_lookup()
            return
        self._context.report_stored_version(result.stored_version)
        self._context.flag_doubts(result.doubts)
        if result.fetch:
            self._context.request_lookup()
        if result.outcome is not None:
            await self._operation.fold(result.outcome, EvidenceKind.NOTIFICATION, result.event_id)
