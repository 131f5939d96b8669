"""Search attributes and timeline of a transaction, as the Temporal UI shows them."""

from datetime import datetime

from temporalio import workflow

from workflows import search_attributes
from workflows.messages import Delivery, DeliveryState
from workflows.search_attributes import WebhookState
from workflows.timeline import build_timeline, markdown
from workflows.transaction_context import TransactionContext


class TemporalUi:
    """Updates the search attributes and the timeline of one workflow run."""

    def __init__(self, context: TransactionContext) -> None:
        self._context = context
        # From the event that started the run, so it is the same in every replay.
        self._search_attributes = search_attributes.read_values(
            workflow.info().typed_search_attributes
        )
        self._previous_webhook_state = search_attributes.previous_webhook_state(
            self._search_attributes
        )

    @property
    def webhook_state(self) -> WebhookState:
        """Return the webhook state for searching; that of the earlier run until there is a change.

        A delivery that was given up stays `undelivered` until a later one succeeds.
        """
        delivery = self._context.delivery
        if delivery.state is DeliveryState.UNDELIVERED:
            return WebhookState.UNDELIVERED
        if self._context.has_unannounced_version:
            return WebhookState.DELIVERING
        delivered = delivery.delivered_at is not None
        return WebhookState.DELIVERED if delivered else self._previous_webhook_state

    def update_search_attributes(self) -> None:
        """Upsert the search attributes that have changed, in the task of the change: one event."""
        if self._search_attributes is None:
            return
        values = search_attributes.attribute_values(
            self._context.start, self._context.state, self.webhook_state
        )
        updates = search_attributes.compute_updates(self._search_attributes, values)
        if updates:
            workflow.upsert_search_attributes(updates)
            self._search_attributes = values

    async def run(self) -> None:
        """Write the timeline again whenever its inputs have changed."""
        context = self._context
        started_at = workflow.info().start_time if context.start.resume is None else None
        while True:
            inputs = self._timeline_inputs()
            _, delivery, look_up = inputs
            timeline = build_timeline(context.state, delivery, workflow.now(), look_up, started_at)
            workflow.set_current_details(markdown(timeline))
            await workflow.wait_condition(lambda: self._timeline_inputs() != inputs)  # noqa: B023 - waits here

    def _timeline_inputs(self) -> tuple[int, Delivery, datetime | None]:
        context = self._context
        return context.state.version, context.delivery, context.lookup_schedule.next_at
