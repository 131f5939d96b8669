"""The least that an engine does for a payment: one update, one activity, an open workflow.

A file of its own with no other imports, because the workflow sandbox runs it anew for every
workflow.
"""

from datetime import timedelta

from temporalio import activity, workflow

TASK_QUEUE = "bare"


@activity.defn
async def nothing(text: str) -> str:
    """A PSP call without the PSP."""
    return text


@workflow.defn
class Bare:
    """Stays open, as a payment does: its query is answered from the worker's cache."""

    def __init__(self) -> None:
        self._answer = ""

    @workflow.run
    async def run(self, text: str) -> None:
        """Does what the update waits for, then waits for ever."""
        self._answer = await workflow.execute_activity(
            nothing, text, start_to_close_timeout=timedelta(seconds=10)
        )
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def create(self) -> str:
        """The activity's answer."""
        await workflow.wait_condition(lambda: self._answer != "")
        return self._answer

    @workflow.query
    def state(self) -> str:
        """The activity's answer, if there is one."""
        return self._answer
