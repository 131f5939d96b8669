"""Every command in the documents is executed, or checked where it cannot be."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from integrator.cli import main as cli
from tests.support.billwerk import Billwerk, new_id
from tests.support.paths import ROOT
from tests.support.stack import Stack
from tests.tooling.docs import checks, operator_fixtures, session
from tests.tooling.docs.classified import (
    INTEGRATOR_CHECKED_ONLY,
    INTEGRATOR_EXECUTED,
    PLACEHOLDERS,
    classification_error,
    get_check,
    is_executed,
    parse_integrator_call,
)
from tests.tooling.docs.containers import (
    NOT_EXECUTED,
    OPERATORS_PAGES,
    is_executed_in_containers,
    written_commands,
)
from tests.tooling.docs.pages import Page, pages
from tests.tooling.docs.shell import Command, commands, incomplete, simple_commands

ALL = [command for page in pages() for command in commands(page)]
PAGES_TO_EXECUTE = [page for page in pages() if any(map(is_executed, commands(page)))]


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.place)
def test_every_command_is_classified_and_valid(command: Command) -> None:
    assert not incomplete(command.text), f"{command.place}: bash cannot parse this"
    calls = simple_commands(command.text)
    for words in calls:
        error = None if is_executed_in_containers(command) else classification_error(words)
        assert error is None, f"{command.place}: {error}"
        get_check(words)(words)


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.place)
def test_every_command_for_operators_is_executed(command: Command) -> None:
    """On the tests' stack, or in containers; what neither has is not in a block."""
    if command.page in OPERATORS_PAGES:
        assert is_executed(command) or is_executed_in_containers(command)


def test_no_exception_is_outdated() -> None:
    operators = (page for page in pages() if page.name in OPERATORS_PAGES)
    assert set(NOT_EXECUTED) <= {code for page in operators for code in written_commands(page)}


@pytest.mark.e2e
@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("page", PAGES_TO_EXECUTE, ids=lambda page: page.name)
def test_executable_commands_succeed(
    page: Page,
    stack: Stack,
    placeholder_values: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    # Some sub-commands end the process with it; here that is the test process.
    monkeypatch.setattr(os, "_exit", sys.exit)
    executable = [command for command in commands(page) if is_executed(command)]
    values = {**placeholder_values, "acme": _add_merchant(page, executable)}
    if not _adds_acme(executable) and operator_fixtures.uses_transaction_ids(executable):
        values |= operator_fixtures.create_transactions(stack, values["acme"])
    integrator_calls = {
        command: words for command in executable if (words := parse_integrator_call(command))
    }
    result = [
        session.run_integrator(words, command, values)
        for command, words in integrator_calls.items()
    ]
    shell_commands = [command for command in executable if command not in integrator_calls]
    env = {**stack.env, "TOKEN": stack.token}
    result += session.run_in_bash(shell_commands, values, env, tmp_path)
    errors = [result.error for result in result if result.error is not None]
    assert errors == [], "\n\n".join(errors)


@pytest.mark.e2e
def test_the_demo_succeeds(demo: subprocess.Popen[str]) -> None:
    output, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, output
    assert re.search(r"\b[1-9][0-9]* as expected, 0 not", output), output


def test_every_classified_subcommand_exists() -> None:
    known = set(checks.subcommands())
    assert INTEGRATOR_EXECUTED | set(INTEGRATOR_CHECKED_ONLY) <= known
    assert INTEGRATOR_EXECUTED.isdisjoint(INTEGRATOR_CHECKED_ONLY)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_command_is_in_a_shell_block(page: Page) -> None:
    assert page.indented == (), "fence these lines, with a language such as sh or text"
    bare = [f"{block.page}:{block.line}" for block in page.blocks if not block.language]
    assert bare == [], "name the language of these blocks, such as sh or text"
    command_like = re.compile(r"^\s*(\$ |(make|integrator|curl|docker|kubectl) \S)", re.M)
    hidden = [block for block in page.fenced("text") if command_like.search(block.text)]
    assert hidden == [], "commands belong into blocks of the language sh"


@pytest.fixture(scope="module")
def demo(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """Start `make demo`'s process before other commands, because it mostly waits."""
    command_line = [sys.executable, "-m", "integrator.cli", "demo"]
    with subprocess.Popen(
        command_line,
        cwd=ROOT,
        env=stack.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def placeholder_values(stack: Stack) -> Any:
    """Yield the stack's value for every placeholder and example address in a command."""
    run = stack.run
    data = stack.data_dir.absolute()
    client = _add_client(stack)
    with Billwerk(run["api"], stack.token) as billwerk:
        preauth = billwerk.sign_up_card(new_id())
        payment = billwerk.payment(preauth["agreementId"], "49.90")
        billwerk.post("Payment", payment).raise_for_status()
        refund = billwerk.refund(payment["transactionId"], "19.00")
        billwerk.post("Refund", refund).raise_for_status()
        values = {
            "AGREEMENT": preauth["agreementId"],
            **client,
            "MERCHANT": "demo",
            "PREAUTH": preauth["transactionId"],
            "PSP_SETTINGS_ID": run["merchants"]["demo"]["psp_settings_id"],
            "REFUND": refund["transactionId"],
            "TRANSACTION": payment["transactionId"],
        }
        assert set(values) == set(PLACEHOLDERS)
        yield values | {
            "http://127.0.0.1:8080": run["api"],
            "http://127.0.0.1:8081": run["codec_server"],
            "http://127.0.0.1:8090": run["sandbox_psp"],
            "http://127.0.0.1:8233": run["temporal_ui"],
            "http://127.0.0.1:9999/hook": billwerk.webhook_target,
            "https://integrator.example": run["api"],
            ".data/": f"{data}/",
        }


def _add_client(stack: Stack) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        for name, value in stack.env.items():
            monkeypatch.setenv(name, value)
        output = CliRunner().invoke(cli.app, ["client", "add", "demo"]).output
    return {name.upper(): value for name, value in re.findall(r"^(\w+)=(.+)$", output, re.M)}


def _add_merchant(page: Page, executable: list[Command]) -> str:
    """Return a merchant name for `acme` unique to the page; add it unless the page does."""
    name = f"docs-{page.path.stem.lower()}"
    if not _adds_acme(executable):
        added = session.run_integrator(["integrator", "merchant", "add", name], executable[0], {})
        assert added.code == 0, added.output
    return name


def _adds_acme(executable: list[Command]) -> bool:
    return any(command.text.startswith("integrator merchant add acme") for command in executable)
