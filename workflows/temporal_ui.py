"""Search attributes and timeline of a transaction, as the Temporal UI shows them."""

from collections.abc import Callable
from datetime import datetime

from temporalio import workflow

from workflows import search_attributes
from workflows.messages import AnyInput, Delivery
from workflows.search_attributes import WebhookState
from workflows.state import TransactionState
from workflows.timeline import build_timeline, markdown


class TemporalUi:
    """Updates the search attributes and the timeline of one workflow run."""

    def __init__(
        self,
        start: AnyInput,
        state: Callable[[], TransactionState],
        delivery: Callable[[], Delivery],
        next_look_up: Callable[[], datetime | None],
    ) -> None:
        self._start = start
        self._state = state
        self._delivery = delivery
        self._next_look_up = next_look_up
        # From the event that started the run, so it is the same in every replay.
        self._search_attributes = search_attributes.read_values(
            workflow.info().typed_search_attributes
        )
        self.previous_webhook_state = search_attributes.previous_webhook_state(
            self._search_attributes
        )

    def update_search_attributes(self, webhook: WebhookState) -> None:
        """Upsert the search attributes that have changed, in the task of the change: one event."""
        if self._search_attributes is None:
            return
        values = search_attributes.attribute_values(self._start, self._state(), webhook)
        updates = search_attributes.compute_updates(self._search_attributes, values)
        if updates:
            workflow.upsert_search_attributes(updates)
            self._search_attributes = values

    async def run(self) -> None:
        """Write the timeline again whenever its inputs have changed."""
        started_at = workflow.info().start_time if self._start.resume is None else None
        while True:
            inputs = self._timeline_inputs()
            _, delivery, look_up = inputs
            timeline = build_timeline(self._state(), delivery, workflow.now(), look_up, started_at)
            workflow.set_current_details(markdown(timeline))
            await workflow.wait_condition(lambda: self._timeline_inputs() != inputs)  # noqa: B023 - waits here

    def _timeline_inputs(self) -> tuple[int, Delivery, datetime | None]:
        return self._state().version, self._delivery(), self._next_look_up()
