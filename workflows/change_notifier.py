"""Notifier of a transaction's changes: one delivery at a time, later changes in one more."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import activity_plans
from workflows.activity_errors import cause_text
from workflows.messages import Delivery, DeliveryState, TransactionInput, WebhookCall
from workflows.search_attributes import WebhookState
from workflows.state import TransactionState


class ChangeNotifier:
    """Sends Billwerk+ change notifications of versions that have been recorded.

    `state` and `recorded` return the current state and the version that the store holds;
    `on_finished` is called after each delivery, also after one that was given up. `previous` is
    the webhook state that an earlier run has left.
    """

    def __init__(
        self,
        start: TransactionInput,
        state: Callable[[], TransactionState],
        recorded: Callable[[], int],
        on_finished: Callable[[], None],
        previous: WebhookState,
    ) -> None:
        version = state().version
        self._start = start
        self._state = state
        self._recorded = recorded
        self._on_finished = on_finished
        self._previous = previous
        self._to_announce = version
        self._redelivery_requested = False
        self.announced = version
        self.delivery = Delivery(to_announce=version, announced=version)

    @property
    def has_unannounced_version(self) -> bool:
        """Return whether a version has not been announced yet."""
        return self.announced < self._to_announce

    @property
    def webhook_state(self) -> WebhookState:
        """Return the webhook state for searching; that of the earlier run until there is a change.

        A delivery that was given up stays `undelivered` until a later one succeeds.
        """
        if self.delivery.state is DeliveryState.UNDELIVERED:
            return WebhookState.UNDELIVERED
        if self.has_unannounced_version:
            return WebhookState.DELIVERING
        delivered = self.delivery.delivered_at is not None
        return WebhookState.DELIVERED if delivered else self._previous

    def announce(self) -> None:
        """Request a notification of the current version."""
        self._to_announce = self._state().version

    def redeliver(self) -> None:
        """Request another notification of the current version, even if it was delivered."""
        self._redelivery_requested = True
        self.announced = min(self.announced, self._state().version - 1)
        self.announce()

    async def run(self) -> None:
        """Deliver requested notifications until cancelled."""
        while True:
            await workflow.wait_condition(
                lambda: self.announced < self._to_announce <= self._recorded()
            )
            await self._deliver(self._state().version)

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
            merchant_id=self._start.merchant_id,
            transaction_id=self._start.transaction_id,
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
        self.announced = version
        self._update_delivery(
            state=DeliveryState.IDLE,
            announced=version,
            delivered_at=reply.delivered_at,
            last_error=None,
            gives_up_at=None,
        )
        self._on_finished()

    async def _wait_for_redelivery(self, failed_version: int) -> None:
        """Flag the failed delivery and wait for `redeliver` or for the next change."""
        self._state().flag_attention("A change notification could not be delivered.", again=True)
        self._on_finished()
        await workflow.wait_condition(
            lambda: self._to_announce > failed_version or self._redelivery_requested
        )

    def _update_delivery(self, **changes: object) -> None:
        self.delivery = self.delivery.model_copy(update=changes)
