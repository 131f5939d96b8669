"""What the Temporal UI shows of a transaction: search attributes to find it, its story to read."""

from collections.abc import Callable
from datetime import datetime

from temporalio import workflow

from workflows import search_attributes
from workflows.messages import AnyInput, Delivery
from workflows.search_attributes import WebhookState
from workflows.state import TransactionState
from workflows.timeline import build_timeline, markdown


class TemporalUi:
    """Keeps both current. `next_look_up` and `delivery` are read when the story is told."""

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
        # Part of the event that started the run, and so the same in every replay.
        self._shown = search_attributes.shown(workflow.info().typed_search_attributes)
        self.webhook_before = search_attributes.webhook_before(self._shown)

    def index(self, webhook: WebhookState) -> None:
        """Bring the search attributes up to date, in the same task as the change: one event."""
        if self._shown is None:
            return
        then = search_attributes.values(self._start, self._state(), webhook)
        changes = search_attributes.updates(self._shown, then)
        if changes:
            workflow.upsert_search_attributes(changes)
            self._shown = then

    async def run(self) -> None:
        """Tell the story anew whenever something in it has changed."""
        begun = workflow.info().start_time if self._start.resume is None else None
        while True:
            told = self._subject()
            _, delivery, look_up = told
            story = build_timeline(self._state(), delivery, workflow.now(), look_up, begun)
            workflow.set_current_details(markdown(story))
            await workflow.wait_condition(lambda: self._subject() != told)  # noqa: B023 - waits here

    def _subject(self) -> tuple[int, Delivery, datetime | None]:
        return self._state().version, self._delivery(), self._next_look_up()
