"""Every command in the documents is carried out, or checked where it cannot be."""

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
from tests.docs import checks, operator_fixtures, session
from tests.docs.classified import (
    INTEGRATOR_CARRIED_OUT,
    INTEGRATOR_CHECKED,
    PLACEHOLDERS,
    check_of,
    is_carried_out,
    is_integrator_alone,
    unclassified,
)
from tests.docs.pages import ROOT, Page, pages
from tests.docs.shell import Command, commands, incomplete, simple_commands
from tests.support.billwerk import Billwerk, new_id
from tests.support.stack import Stack

ALL = [command for page in pages() for command in commands(page)]
TO_CARRY_OUT = [page for page in pages() if any(map(is_carried_out, commands(page)))]


@pytest.mark.parametrize("command", ALL, ids=lambda command: command.place)
def test_a_command_is_classified_and_understood(command: Command) -> None:
    assert not incomplete(command.text), f"{command.place}: bash does not understand this"
    called = simple_commands(command.text)
    for words in called:
        assert unclassified(words) is None, f"{command.place}: {unclassified(words)}"
        check_of(words)(words)


@pytest.mark.e2e
@pytest.mark.usefixtures("demo")
@pytest.mark.parametrize("page", TO_CARRY_OUT, ids=lambda page: page.name)
def test_what_can_be_carried_out_works(
    page: Page,
    stack: Stack,
    given: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name, value in stack.env.items():
        monkeypatch.setenv(name, value)
    # Some sub-commands end their process by it, which here is the tests' own.
    monkeypatch.setattr(os, "_exit", sys.exit)
    wanted = [command for command in commands(page) if is_carried_out(command)]
    own = {**given, "acme": _merchant(page, wanted)}
    if not _adds_acme(wanted) and operator_fixtures.is_needed(wanted):
        own |= operator_fixtures.prepared(stack, own["acme"])
    alone = {command: words for command in wanted if (words := is_integrator_alone(command))}
    done = [session.integrator(words, command, own) for command, words in alone.items()]
    others = [command for command in wanted if command not in alone]
    env = {**stack.env, "TOKEN": stack.token}
    done += session.in_bash(others, own, env, tmp_path)
    complaints = [one.complaint for one in done if one.complaint is not None]
    assert complaints == [], "\n\n".join(complaints)


@pytest.mark.e2e
def test_the_demo_ends_well(demo: subprocess.Popen[str]) -> None:
    shown, _ = demo.communicate(timeout=60)
    assert demo.returncode == 0, shown
    assert re.search(r"\b[1-9][0-9]* as expected, 0 not", shown), shown


def test_nothing_is_classified_in_vain() -> None:
    known = set(checks.sub_commands())
    assert INTEGRATOR_CARRIED_OUT | set(INTEGRATOR_CHECKED) <= known
    assert INTEGRATOR_CARRIED_OUT.isdisjoint(INTEGRATOR_CHECKED)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_no_command_hides_from_these_tests(page: Page) -> None:
    assert page.indented == (), "fence these lines, with a language such as sh or text"
    bare = [f"{block.page}:{block.line}" for block in page.blocks if not block.language]
    assert bare == [], "name the language of these blocks, such as sh or text"
    looks = re.compile(r"^\s*(\$ |(make|integrator|curl|docker|docker-compose|kubectl) \S)", re.M)
    hidden = [block for block in page.fenced("text") if looks.search(block.text)]
    assert hidden == [], "commands belong into blocks of the language sh"


@pytest.fixture(scope="module")
def demo(stack: Stack) -> Iterator[subprocess.Popen[str]]:
    """What `make demo` starts, begun before other commands, because it mostly waits."""
    line = [sys.executable, "-m", "integrator.cli", "demo"]
    with subprocess.Popen(
        line, cwd=ROOT, env=stack.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        yield process
        process.kill()


@pytest.fixture(scope="module")
def given(stack: Stack) -> Any:
    """What stands in a command for something of the reader's, and what the stack has for it."""
    run = stack.run
    data = stack.data_dir.absolute()
    client = _client(stack)
    with Billwerk(run["api"], stack.token) as billwerk:
        preauth = billwerk.sign_up_card(new_id())
        payment = billwerk.payment(preauth["agreementId"], "49.90")
        billwerk.post("Payment", payment).raise_for_status()
        refund = billwerk.refund(payment["transactionId"], "19.00")
        billwerk.post("Refund", refund).raise_for_status()
        found = {
            "AGREEMENT": preauth["agreementId"],
            **client,
            "MERCHANT": "demo",
            "PREAUTH": preauth["transactionId"],
            "PSP_SETTINGS_ID": run["merchants"]["demo"]["psp_settings_id"],
            "REFUND": refund["transactionId"],
            "TRANSACTION": payment["transactionId"],
        }
        assert set(found) == set(PLACEHOLDERS)
        yield found | {
            "http://127.0.0.1:8080": run["api"],
            "http://127.0.0.1:8081": run["codec_server"],
            "http://127.0.0.1:8090": run["sandbox_psp"],
            "http://127.0.0.1:8233": run["temporal_ui"],
            "http://127.0.0.1:9999/hook": billwerk.webhook_target,
            "https://integrator.example": run["api"],
            ".data/": f"{data}/",
        }


def _client(stack: Stack) -> dict[str, str]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in stack.env.items():
            patch.setenv(name, value)
        shown = CliRunner().invoke(cli.app, ["client", "add", "demo"]).output
    return {name.upper(): value for name, value in re.findall(r"^(\w+)=(.+)$", shown, re.M)}


def _merchant(page: Page, wanted: list[Command]) -> str:
    """The document's merchant `acme` has another name in each, and is there unless it is added."""
    name = f"docs-{page.path.stem.lower()}"
    if not _adds_acme(wanted):
        added = session.integrator(["integrator", "merchant", "add", name], wanted[0], {})
        assert added.code == 0, added.output
    return name


def _adds_acme(wanted: list[Command]) -> bool:
    return any(command.text.startswith("integrator merchant add acme") for command in wanted)
