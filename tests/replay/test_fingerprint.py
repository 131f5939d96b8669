"""The guard against a change of commands that nobody meant."""

import ast

import pytest

from tests.replay.fingerprint import changes, fingerprint, sources

RING = "await workflow.sleep(at - workflow.now(), summary=summary)"
OFF = "            await self._cancel_sending()\n"
SETTLE = f"{OFF}            await self._close_reservation(then)\n"


def edited(module: str, old: str, new: str) -> str:
    """The fingerprint with one piece of one module replaced."""
    found = sources()
    assert old in found[module]
    return fingerprint(found | {module: found[module].replace(old, new)})


def test_the_commands_of_the_workflows_are_as_accepted() -> None:
    found = changes()
    assert not found, found


def test_comments_docstrings_and_formatting_do_not_count() -> None:
    bare = {name: ast.unparse(ast.parse(source)) for name, source in sources().items()}
    assert fingerprint(bare) == fingerprint(sources())
    told = edited(
        "workflows.transaction_handling",
        '"""Called after every record."""',
        '"""Something else."""',
    )
    assert told == fingerprint(sources())


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("workflows.transaction_handling", "sending", "under_way"),
        ("workflows.transaction_handling", "reply", "answer"),
        ("workflows.psp_retry", "refusals", "times"),
    ],
)
def test_the_name_of_a_local_does_not_count(module: str, old: str, new: str) -> None:
    assert edited(module, f" {old} ", f" {new} ") == fingerprint(sources())


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        pytest.param(
            "workflows.deadline_timer", RING, f"{RING}\n        {RING}", id="a timer more"
        ),
        pytest.param("workflows.transaction_handling", SETTLE, OFF, id="a call less"),
        pytest.param(
            "workflows.snapshot_recorder",
            "activity_plans.RECORD(",
            "activity_plans.RECORD_PATIENTLY(",
            id="activity",
        ),
        pytest.param(
            "workflows.deadline_timer", RING, f'if workflow.patched("x"):\n    {RING}', id="patch"
        ),
        pytest.param(
            "workflows.transaction_workflow",
            "update(name=CREATE)",
            "update(name=NOTIFY)",
            id="name",
        ),
        pytest.param("workflows.psp_retry", "await step(call,", "await steps(call,", id="callee"),
        pytest.param(
            "workflows.payment",
            "activity_plans.CHARGE",
            "activity_plans.REFUND",
            id="plan given to a call",
        ),
    ],
)
def test_commands_count(module: str, old: str, new: str) -> None:
    new = new.replace("\n    await", "\n            await")
    assert edited(module, old, new) != fingerprint(sources())
