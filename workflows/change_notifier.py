"""Notifier of a transaction's changes: one delivery at a time, later changes in one more."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import activity_plans
from workflows.activity_errors import cause_text
from workflows.messages import DeliveryState, WebhookCall
from workflows.temporal_ui import TemporalUi
from workflows.transaction_context import TransactionContext


class ChangeNotifier:
    """Sends Billwerk+ change notifications of requested versions once they are recorded."""

    def __init__(self, context: TransactionContext, temporal_ui: TemporalUi) -> None:
        self._context = context
        self._temporal_ui = temporal_ui
        self._redelivery_requested = False

    def redeliver(self) -> None:
        """Request another notification of the current version, even if it was delivered."""
        context = self._context
        self._redelivery_requested = True
        context.announced_version = min(context.announced_version, context.state.version - 1)
        context.announce()

    async def run(self) -> None:
        """Deliver requested notifications until cancelled."""
        while True:
            await workflow.wait_condition(self._is_due)
            await self._deliver(self._context.state.version)

    def _is_due(self) -> bool:
        context = self._context
        requested = context.version_to_announce
        return context.announced_version < requested <= context.recorded_version

    async def _deliver(self, version: int) -> None:
        self._redelivery_requested = False
        now = workflow.now()
        self._update_delivery(
            state=DeliveryState.DELIVERING,
            to_announce=version,
            since=now,
            gives_up_at=now + activity_plans.WEBHOOK_RETRY_WINDOW,
        )
        call = WebhookCall(
            merchant_id=self._context.start.merchant_id,
            transaction_id=self._context.start.transaction_id,
            version=version,
        )
        try:
            reply = await activity_plans.DELIVER_WEBHOOK(
                call, summary=f"announce version {version}"
            )
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._update_delivery(state=DeliveryState.UNDELIVERED, last_error=cause_text(error))
            await self._wait_for_redelivery(version)
            return
        self._context.announced_version = version
        self._update_delivery(
            state=DeliveryState.IDLE,
            announced=version,
            delivered_at=reply.delivered_at,
            last_error=None,
            gives_up_at=None,
        )
        self._temporal_ui.update_search_attributes()

    async def _wait_for_redelivery(self, failed_version: int) -> None:
        """Flag the failed delivery and wait for `redeliver` or for the next change."""
        self._context.state.flag_attention(
            "A change notification could not be delivered.", again=True
        )
        self._temporal_ui.update_search_attributes()
        await workflow.wait_condition(
            lambda: self._context.version_to_announce > failed_version or self._redelivery_requested
        )

    def _update_delivery(self, **changes: object) -> None:
        self._context.delivery = self._context.delivery.model_copy(update=changes)
