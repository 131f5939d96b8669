"""How every command of the documents is checked, with the reason.

A command is *carried out* against a running stack when all programs it calls are in `CARRIED_OUT`
(or are sub-commands of `integrator` in `INTEGRATOR_CARRIED_OUT`). Else it is *checked*: its syntax
by the shell, and its words by what is named here. A program or sub-command that is named nowhere
fails the test, whose message says what to add.
"""

from dataclasses import dataclass

from tests.docs import checks
from tests.docs.checks import Check
from tests.docs.shell import Command, simple_commands


@dataclass(frozen=True)
class Checked:
    """Not carried out, for this reason; `check` looks at the words."""

    reason: str
    check: Check = checks.anything


CARRIED_OUT = {
    "api": "the README's own function around curl",
    "curl": "asks the running stack",
    "cat": "shows a file of the running stack",
    "echo": "needs nothing",
    "export": "needs nothing",
    "python3": "reads a file of the running stack",
    "sleep": "waits for the running stack",
}
"""Programs that only look at the running stack, or do to it what Billwerk+ does."""

CHECKED = {
    "make": Checked("`.ci/run` makes check and test, and tests start what run makes", checks.make),
    "python": Checked("tests of their own start these modules", checks.python),
    ".venv/bin/python": Checked("tests of their own start these modules", checks.python),
    "docker": Checked("there are no containers in a test", checks.docker),
    "docker-compose": Checked("there are no containers in a test", checks.compose),
    "kubectl": Checked("there is no cluster in a test", checks.kubectl),
    "helm": Checked("there is no cluster in a test"),
    "temporal": Checked("asks servers that a test has not", checks.temporal),
    "temporal-sql-tool": Checked("comes with the server's own image"),
    "tcld": Checked("Temporal Cloud is not reached from a test"),
    "psql": Checked("the stack of a test has no PostgreSQL"),
    "pg_dump": Checked("the stack of a test has no PostgreSQL"),
    "pg_restore": Checked("the stack of a test has no PostgreSQL"),
    "sqlite3": Checked("the program need not be installed"),
    "openssl": Checked("makes keys"),
    "pip": Checked("tests/tutorial_psp installs the package"),
    "pytest": Checked("tests/kit and tests/tutorial_psp run the kit"),
    "git": Checked("fetches what is here already"),
    "cd": Checked("the test has a folder of its own"),
    "cp": Checked("the test has a folder of its own"),
    "kill": Checked("the stack of a test is others', too"),
}
"""Programs that a test does not start, or starts elsewhere."""

INTEGRATOR_CARRIED_OUT = {
    ("client", "add"),
    ("client", "list"),
    ("attention",),
    ("decisions",),
    ("doctor",),
    ("explain",),
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
"""Sub-commands of `integrator` that show something, or make what disturbs nobody."""

INTEGRATOR_CHECKED = {
    ("client", "revoke"): "tests/local/test_cli.py revokes one",
    ("codec-server",): "runs until it is stopped; the stack has one",
    ("demo",): "takes seconds: played beside all others, see test_the_demo_ends_well",
    ("erase",): "tests/local/test_keys_cli.py and tests/api/test_erased.py erase",
    ("keys", "rotate"): "tests/local/test_keys_cli.py and tests/store/test_rotation.py rotate",
    ("run",): "runs until it is stopped; the stack was started by it",
    ("token", "revoke"): "tests/local/test_cli.py revokes one",
    ("worker", "promote"): "without versions; tests/rolling/test_versions.py promotes some",
}
"""Sub-commands that are not carried out on a stack that others use, with the reason."""

ENDS_OTHERWISE = {"integrator attention": 1}
"""Exit codes of commands meant to fail, by their beginning; 22 is curl's for HTTP errors."""

PLACEHOLDERS = (
    *("AGREEMENT", "CLIENT_ID", "CLIENT_SECRET", "MERCHANT"),
    *("PREAUTH", "PSP_SETTINGS_ID", "REFUND", "TRANSACTION"),
)
"""Words in commands that stand for something of the reader's; the test has one of each."""


def is_carried_out(command: Command) -> bool:
    """Whether nothing in the command is merely checked."""
    called = simple_commands(command.text)
    return bool(called) and all(map(_is_carried_out, called))


def is_integrator_alone(command: Command) -> list[str] | None:
    """The words of a call of `integrator` and nothing else."""
    called = simple_commands(command.text)
    plain = len(called) == 1 and command.text.startswith("integrator ")
    return called[0] if plain and not set("<>|$(") & set(command.text) else None


def unclassified(words: list[str]) -> str | None:
    """What is to be done about a call that is named nowhere; None for all others."""
    program = words[0]
    if _is_script(program):
        return None
    if program == "integrator":
        path, _, _ = checks.resolved(words)
        if path in INTEGRATOR_CARRIED_OUT or path in INTEGRATOR_CHECKED:
            return None
        return (
            f"`integrator {' '.join(path)}` is not classified. In tests/docs/classified.py add "
            f"{path} to INTEGRATOR_CARRIED_OUT if it may run against the tests' stack, else "
            f'{path}: "the reason" to INTEGRATOR_CHECKED.'
        )
    if program in CARRIED_OUT or program in CHECKED:
        return None
    return (
        f"`{program}` is not classified. In tests/docs/classified.py add it to CARRIED_OUT if it "
        "may run against the tests' stack, else to CHECKED, with the reason."
    )


def check_of(words: list[str]) -> Check:
    """What looks at the words of a call."""
    if words[0] == "integrator":
        return checks.integrator
    if _is_script(words[0]):
        return checks.script
    checked = CHECKED.get(words[0])
    return checked.check if checked is not None else checks.anything


def _is_script(program: str) -> bool:
    """A shell script of ours; tests of their own run it."""
    return program.endswith(".sh") and "/" in program


def _is_carried_out(words: list[str]) -> bool:
    if words[0] != "integrator":
        return words[0] in CARRIED_OUT
    return checks.resolved(words)[0] in INTEGRATOR_CARRIED_OUT
