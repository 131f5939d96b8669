"""The change notifier of a transaction: one at a time, changes in between folded into one more."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import activity_plans
from workflows.activity_errors import cause_text
from workflows.messages import Delivery, DeliveryState, TransactionInput, WebhookCall
from workflows.search_attributes import WebhookState
from workflows.state import TransactionState


class ChangeNotifier:
    """Tells Billwerk+ of versions of the state, after they have been recorded.

    `state` and `recorded` give the present state and the version that the store holds; `reported`
    is called after each delivery and each one given up.
    """

    def __init__(
        self,
        start: TransactionInput,
        state: Callable[[], TransactionState],
        recorded: Callable[[], int],
        reported: Callable[[], None],
        before: WebhookState,
    ) -> None:
        version = state().version
        self._start = start
        self._state = state
        self._recorded = recorded
        self._reported = reported
        self._before = before
        self._to_announce = version
        self._redelivery_wanted = False
        self.announced = version
        self.delivery = Delivery(to_announce=version, announced=version)

    @property
    def behind(self) -> bool:
        """Whether something is yet to be announced."""
        return self.announced < self._to_announce

    @property
    def webhook_state(self) -> WebhookState:
        """Where the notifications stand, for searching; `before` until there is something to say.

        What was given up stays `undelivered` until a later attempt gets through.
        """
        if self.delivery.state is DeliveryState.UNDELIVERED:
            return WebhookState.UNDELIVERED
        if self.behind:
            return WebhookState.DELIVERING
        delivered = self.delivery.delivered_at is not None
        return WebhookState.DELIVERED if delivered else self._before

    def announce(self) -> None:
        """The present version is to be announced."""
        self._to_announce = self._state().version

    def redeliver(self) -> None:
        """Announce the present version once more, whatever was delivered before."""
        self._redelivery_wanted = True
        self.announced = min(self.announced, self._state().version - 1)
        self.announce()

    async def run(self) -> None:
        """Announce for as long as the transaction lives."""
        while True:
            await workflow.wait_condition(
                lambda: self.announced < self._to_announce <= self._recorded()
            )
            await self._deliver(self._state().version)

    async def _deliver(self, version: int) -> None:
        self._redelivery_wanted = False
        now = workflow.now()
        self._report(
            state=DeliveryState.DELIVERING,
            to_announce=version,
            since=now,
            gives_up_at=now + activity_plans.WEBHOOK_BUDGET,
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
            self._report(state=DeliveryState.UNDELIVERED, last_error=cause_text(error))
            await self._wait_for_redelivery(version)
            return
        self.announced = version
        self._report(
            state=DeliveryState.IDLE,
            announced=version,
            delivered_at=reply.delivered_at,
            last_error=None,
            gives_up_at=None,
        )
        self._reported()

    async def _wait_for_redelivery(self, tried: int) -> None:
        """Given up, never forgotten: somebody redelivers, or the next change tries again."""
        self._state().flag_attention("A change notification could not be delivered.", again=True)
        self._reported()
        await workflow.wait_condition(lambda: self._to_announce > tried or self._redelivery_wanted)

    def _report(self, **changes: object) -> None:
        self.delivery = self.delivery.model_copy(update=changes)
