"""Minimal workflow for a payment: one update, one activity, then it stays open.

A separate file without other imports, because the workflow sandbox imports it for every workflow.
"""

from datetime import timedelta

from temporalio import activity, workflow

TASK_QUEUE = "bare"


@activity.defn
async def nothing(text: str) -> str:
    """Return the text, in place of a PSP call."""
    return text


@workflow.defn
class Bare:
    """Baseline workflow; stays open, as a payment does, so queries use the worker's cache."""

    def __init__(self) -> None:
        self._result = ""

    @workflow.run
    async def run(self, text: str) -> None:
        """Run the activity the update waits for, then stay open."""
        self._result = await workflow.execute_activity(
            nothing, text, start_to_close_timeout=timedelta(seconds=10)
        )
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def create(self) -> str:
        """Wait for the activity's result and return it."""
        await workflow.wait_condition(lambda: self._result != "")
        return self._result

    @workflow.query
    def state(self) -> str:
        """Return the activity's result, "" before it."""
        return self._result
