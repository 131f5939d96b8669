"""Classification of every command in the documents: executed, or only checked, with the reason.

Those of `tests.tooling.docs.containers` are executed in containers. Any other is *executed* against
a running stack when all programs it calls are in `EXECUTED` (or are sub-commands of `integrator` in
`INTEGRATOR_EXECUTED`). Else it is *checked*: its syntax by the shell, and its arguments by the
check named here. A program or sub-command without a classification fails the test, whose message
states what to add.
"""

from dataclasses import dataclass

from tests.tooling.docs import checks
from tests.tooling.docs.checks import Check
from tests.tooling.docs.containers import is_executed_in_containers
from tests.tooling.docs.shell import Command, simple_commands


@dataclass(frozen=True)
class CheckedOnly:
    """Reason why a program is not executed; `check` checks its arguments."""

    reason: str
    check: Check = checks.accept_any


EXECUTED = {
    "api": "the README's own function around curl",
    "curl": "queries the running stack",
    "cat": "shows a file of the running stack",
    "echo": "needs nothing",
    "export": "needs nothing",
    "python3": "reads a file of the running stack",
    "sleep": "waits for the running stack",
}
"""Programs that only read from the running stack, or call it as Billwerk+ does."""

CHECKED_ONLY = {
    "make": CheckedOnly(
        "`.ci/run` runs check and test, and tests start what `make run` starts", checks.make
    ),
    "python": CheckedOnly("other tests start these modules", checks.python),
    ".venv/bin/python": CheckedOnly("other tests start these modules", checks.python),
    "docker": CheckedOnly("needs an engine: tests/containers", checks.docker),
    "kubectl": CheckedOnly("tests have no cluster", checks.kubectl),
    "helm": CheckedOnly("tests have no cluster"),
    "temporal": CheckedOnly("connects to servers that tests do not have", checks.temporal),
    "temporal-sql-tool": CheckedOnly("comes with the server's own image"),
    "tcld": CheckedOnly("tests do not connect to Temporal Cloud"),
    "sqlite3": CheckedOnly("the program need not be installed"),
    "pip": CheckedOnly("tests/conformance/tutorial_psp installs the package"),
    "pytest": CheckedOnly("tests/conformance and tests/conformance/tutorial_psp run the kit"),
    "git": CheckedOnly("clones the repository, which is present"),
    "cd": CheckedOnly("the test uses a temporary folder"),
    "cp": CheckedOnly("the test uses a temporary folder"),
    "kill": CheckedOnly("other tests share the stack"),
}
"""Programs that are not executed here."""

INTEGRATOR_EXECUTED = {
    ("client", "add"),
    ("client", "list"),
    ("attention",),
    ("decisions",),
    ("doctor",),
    ("explain",),
    ("heal",),
    ("keys", "generate"),
    ("keys", "usage"),
    ("list",),
    ("merchant", "add"),
    ("merchant", "hosts"),
    ("merchant", "list"),
    ("migrate",),
    ("reconcile",),
    ("resolve",),
    ("settings", "show"),
    ("token", "issue"),
    ("token", "list"),
    ("webhook", "redeliver"),
    ("worker", "versions"),
}
"""Sub-commands of `integrator` that only read, or whose changes do not affect other tests."""

_VERSIONS = "needs versions: tests/integration/integrator/operations/test_worker_versions.py"

INTEGRATOR_CHECKED_ONLY = {
    ("client", "revoke"): "tests/integration/integrator/cli/test_cli.py revokes one",
    ("codec-server",): "runs until it is stopped; the stack has one",
    ("demo",): "takes seconds: run in parallel with the others, see test_the_demo_succeeds",
    ("erase",): "tests/integration/integrator/cli/test_keys_cli.py erases",
    ("keys", "rotate"): "tests/integration/integrator/cli/test_keys_cli.py rotates",
    ("run",): "runs until it is stopped; it started the stack",
    ("token", "revoke"): "tests/integration/integrator/cli/test_cli.py revokes one",
    ("worker", "build-id"): _VERSIONS,
    ("worker", "current"): _VERSIONS,
    ("worker", "failed-tasks"): "tests/integration/integrator/operations/test_failed_tasks.py",
    ("worker", "promote"): _VERSIONS,
    ("worker", "prune"): _VERSIONS,
    ("worker", "ramp"): _VERSIONS,
    ("worker", "wait"): _VERSIONS,
}
"""Sub-commands that are not executed on the shared stack, with the reason."""

EXPECTED_EXIT_CODES = {"integrator attention": 1}
"""Exit codes of commands meant to fail, by their first words; 22 is curl's for HTTP errors."""

PLACEHOLDERS = (
    *("AGREEMENT", "CLIENT_ID", "CLIENT_SECRET", "MERCHANT"),
    *("PREAUTH", "PSP_SETTINGS_ID", "REFUND", "TRANSACTION"),
)
"""Placeholders in commands; the test has a value for each."""


def is_executed(command: Command) -> bool:
    """Return whether the command is executed against the tests' stack."""
    if is_executed_in_containers(command):
        return False
    calls = simple_commands(command.text)
    return bool(calls) and all(map(_is_executed, calls))


def parse_integrator_call(command: Command) -> list[str] | None:
    """Return the words of a single call of `integrator`; None for any other command."""
    calls = simple_commands(command.text)
    is_plain = len(calls) == 1 and command.text.startswith("integrator ")
    return calls[0] if is_plain and not set("<>|$(") & set(command.text) else None


def classification_error(words: list[str]) -> str | None:
    """Return how to classify an unclassified call; None if it is classified."""
    program = words[0]
    if _is_script(program):
        return None
    if program == "integrator":
        path, _, _ = checks.resolve_command(words)
        if path in INTEGRATOR_EXECUTED or path in INTEGRATOR_CHECKED_ONLY:
            return None
        return (
            f"`integrator {' '.join(path)}` is not classified. In this file ({__file__}) add "
            f"{path} to INTEGRATOR_EXECUTED if it may run against the tests' stack, else "
            f'{path}: "the reason" to INTEGRATOR_CHECKED_ONLY.'
        )
    if program in EXECUTED or program in CHECKED_ONLY:
        return None
    return (
        f"`{program}` is not classified. In {__file__} add it to EXECUTED if it may "
        "run against the tests' stack, else to CHECKED_ONLY, with the reason."
    )


def get_check(words: list[str]) -> Check:
    """Return the check of a call's arguments."""
    if words[0] == "integrator":
        return checks.integrator
    if _is_script(words[0]):
        return checks.script
    checked = CHECKED_ONLY.get(words[0])
    return checked.check if checked is not None else checks.accept_any


def _is_script(program: str) -> bool:
    """Return whether this is one of the repository's shell scripts, which other tests run."""
    return program.endswith(".sh") and "/" in program


def _is_executed(words: list[str]) -> bool:
    if words[0] != "integrator":
        return words[0] in EXECUTED
    return checks.resolve_command(words)[0] in INTEGRATOR_EXECUTED
