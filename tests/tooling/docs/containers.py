"""Commands for operators, executed in the containers of a deployment by tests/containers."""

import re

from tests.tooling.docs.pages import Page
from tests.tooling.docs.shell import Command, simple_commands

OPERATORS_PAGES = (
    *("docs/compose.md", "docs/deployment.md", "docs/operator-guide.md", "docs/runbook.md"),
)
"""Pages of which every command is executed: those in blocks and those in the text."""

_WHOLE_PAGE = "docs/compose.md"
_PROGRAMS = {
    "README.md": {"deploy/secrets.sh", "cp", "docker"},
    "docs/deployment.md": {"docker", "temporal", "temporal-sql-tool"},
    "docs/runbook.md": {"docker"},
    "docs/temporal-upgrades.md": {"docker"},
}
"""Programs that tests/containers/test_documents.py executes, by page."""

_UPGRADE = "deploy/upgrade.sh"
"""tests/containers executes it in a test of its own, with payments under way."""

_STARTED = "tests/containers/test_documents.py starts everything as docs/compose.md does"
_RESOLVED = "short for a command of docs/operator-guide.md, which is executed"
NOT_EXECUTED = {
    "docker buildx": "the name of a tool",
    "docker compose down": "tests/containers/test_lifecycle.py stops and starts everything",
    "docker compose run --rm api integrator …": "stands for any command",
    "docker compose up --detach": _STARTED,
    "docker compose up": _STARTED,
    "integrator heal": "executed for one merchant",
    "integrator heal --apply": "executed for one merchant",
    "integrator keys rotate": "tests/integration/integrator/cli/test_keys_cli.py rotates",
    "integrator resolve --stray PSP-ID --merchant NAME --reason TEXT": (
        "tests/integration/integrator/operations/test_decisions.py resolves one"
    ),
    "integrator resolve ID ...": _RESOLVED,
    "integrator resolve ID acknowledge|failed|succeeded --reason TEXT": _RESOLVED,
    "integrator resolve ID succeeded": _RESOLVED,
    "integrator resolve": _RESOLVED,
    "make outdated": "needs a registry: tests/unit/devtools/outdated runs it with an imitation",
    "make outdated FAIL_OLDER_THAN=60": "as `make outdated`",
    "make pin-images": "as `make outdated`",
    "make test-containers": "executes this",
    "make test-containers-full": "executes this",
    "python -m integrator.healthcheck api|worker|codec-server": "the probe of these containers",
    "tcld namespace search-attributes add --namespace NAME.ACCOUNT "
    '--sa "Merchant=Keyword" --sa "AmountMinor=Int" ...': "needs Temporal Cloud",
    "temporal operator namespace update --namespace payments "
    "--history-archival-state enabled --history-uri s3://...": "needs an archive in S3",
}
"""Commands in the text that are not executed there, with the reason."""

_COMMAND = re.compile(
    r"(curl|docker|integrator|kubectl|make|pg_\w+|psql|python|tcld|temporal|deploy/\S+\.sh) \S"
)


def is_executed_in_containers(command: Command) -> bool:
    """Return whether a test in tests/containers executes the command."""
    if command.page == _WHOLE_PAGE:
        return True
    programs = {words[0] for words in simple_commands(command.text)}
    return programs == {_UPGRADE} or programs <= _PROGRAMS.get(command.page, set())


def is_executed_as_written(command: Command) -> bool:
    """Return whether tests/containers/test_documents.py executes the command."""
    return is_executed_in_containers(command) and _UPGRADE not in command.text


def commands_in_text(page: Page) -> list[Command]:
    """Return the commands in the page's text, without those in `NOT_EXECUTED`."""
    return [
        Command(page.name, 0, code)
        for code in written_commands(page)
        if code not in NOT_EXECUTED and not code.startswith(_UPGRADE)
    ]


def written_commands(page: Page) -> list[str]:
    """Return the texts of all commands in the page's text, each once."""
    return [code for code in dict.fromkeys(page.codes) if _COMMAND.match(code)]
