"""Detection of unintended changes of workflow commands."""

import ast

import pytest

from tests.replay.fingerprint import describe_changes, fingerprint, sources

SLEEP = "await workflow.sleep(min(at - workflow.now(), timeouts.MAX_TIMER), summary=summary)"
CANCEL_SENDING = "            await self._cancel_sending()\n"
RUN_RECORDER = "        self._spawn(self._recorder.run())\n"
RUN_NOTIFIER = "        self._spawn(self._notifier.run())\n"
CLOSE_RESERVATION = f"{CANCEL_SENDING}            await self.reservation.close(next_state)\n"


def fingerprint_with(module: str, old: str, new: str) -> str:
    """Return the fingerprint with one piece of one module replaced."""
    modules = sources()
    assert old in modules[module]
    return fingerprint(modules | {module: modules[module].replace(old, new)})


def test_the_commands_of_the_workflows_are_as_accepted() -> None:
    difference = describe_changes()
    assert not difference, difference


def test_comments_docstrings_and_formatting_do_not_count() -> None:
    bare = {name: ast.unparse(ast.parse(source)) for name, source in sources().items()}
    assert fingerprint(bare) == fingerprint(sources())
    changed = fingerprint_with(
        "workflows.change_notifier",
        '"""Deliver requested notifications until cancelled."""',
        '"""Something else."""',
    )
    assert changed == fingerprint(sources())


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("workflows.psp_operation", "sending", "under_way"),
        ("workflows.lookup", "reply", "answer"),
        ("workflows.psp_retry", "rejections", "times"),
    ],
)
def test_the_name_of_a_local_does_not_count(module: str, old: str, new: str) -> None:
    assert fingerprint_with(module, f" {old} ", f" {new} ") == fingerprint(sources())


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param(
            "workflows.deadline_timer", SLEEP, f"{SLEEP}\n        {SLEEP}", id="additional timer"
        ),
        pytest.param(
            "workflows.psp_operation", CLOSE_RESERVATION, CANCEL_SENDING, id="missing call"
        ),
        pytest.param(
            "workflows.snapshot_recorder",
            "activity_plans.RECORD(",
            "activity_plans.RECORD_FALLBACK(",
            id="activity",
        ),
        pytest.param(
            "workflows.deadline_timer", SLEEP, f'if workflow.patched("x"):\n    {SLEEP}', id="patch"
        ),
        pytest.param(
            "workflows.transaction_workflow",
            "update(name=CREATE)",
            "update(name=NOTIFY)",
            id="name",
        ),
        pytest.param(
            "workflows.transaction_workflow",
            f"{RUN_RECORDER}{RUN_NOTIFIER}",
            f"{RUN_NOTIFIER}{RUN_RECORDER}",
            id="order of tasks",
        ),
        pytest.param("workflows.psp_retry", "await plan(\n", "await plans(\n", id="callee"),
        pytest.param(
            "workflows.payment",
            "activity_plans.CHARGE",
            "activity_plans.REFUND",
            id="plan passed to a call",
        ),
    ],
)
def test_commands_count(module: str, old: str, new: str) -> None:
    new = new.replace("\n    await", "\n            await")
    assert fingerprint_with(module, old, new) != fingerprint(sources())
