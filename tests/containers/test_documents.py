"""The documents' commands in a deployment of their own, from nothing and in the pages' order."""

import json
from collections.abc import Iterator

import pytest

from tests.containers.deployment import URL
from tests.containers.documents import DocumentedDeployment, commands_of
from tests.support.paths import ROOT
from tests.tooling.docs.containers import (
    OPERATORS_PAGES,
    commands_in_text,
    is_executed_as_written,
)
from tests.tooling.docs.pages import read
from tests.tooling.docs.shell import Command

COMPOSE = "docs/compose.md"
SETTINGS = {"INTEGRATOR_PUBLIC_URL": URL, "INTEGRATOR_OUTBOUND_NETWORKS": "172.31.254.2/32"}
OTHER_PAGES = (
    *("README.md", "docs/deployment.md", "docs/runbook.md", "docs/temporal-upgrades.md"),
)


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocumentedDeployment]:
    documented = DocumentedDeployment(tmp_path_factory.mktemp("containers") / "documented")
    yield documented
    documented.down(volumes=True)


def execute_from_nothing(documented: DocumentedDeployment, listed: list[Command]) -> None:
    """Execute commands, and fill in `.env` after it was copied, as the page asks."""
    filled = next(n for n, command in enumerate(listed, 1) if command.text.startswith("cp "))
    documented.execute(listed[:filled])
    documented.change_settings(SETTINGS)
    documented.execute(listed[filled:])


def test_first_start(documented: DocumentedDeployment) -> None:
    execute_from_nothing(documented, commands_of(COMPOSE, "First start"))


def test_first_merchant(documented: DocumentedDeployment) -> None:
    executed = documented.execute(commands_of(COMPOSE, "First merchant"))
    paid, explained = (result.output for result in executed[-2:])
    assert json.loads(paid)["status"] == "Succeeded"
    # The PSP's notification reached the integrator through the proxy, over TLS.
    assert "a verified notification of the PSP said so" in explained


@pytest.mark.full
def test_every_day(documented: DocumentedDeployment) -> None:
    executed = documented.execute(commands_of(COMPOSE, "Every day"))
    versions = next(e for e in executed if e.command.text.endswith("worker versions"))
    assert "current" in versions.output


def test_no_section_is_left_out() -> None:
    sections = ("First start", "First merchant", "Every day")
    assert [c for name in sections for c in commands_of(COMPOSE, name)] == commands_of(COMPOSE)


@pytest.mark.full
@pytest.mark.parametrize("page", OTHER_PAGES)
def test_commands_of_page(documented: DocumentedDeployment, page: str) -> None:
    listed = list(filter(is_executed_as_written, commands_of(page)))
    assert listed
    if any(command.text.startswith("cp ") for command in listed):
        execute_from_nothing(documented, listed)
    else:
        documented.execute(listed, {"HOST": "postgres", "NAME": "operator"})


@pytest.mark.full
@pytest.mark.parametrize("page", OPERATORS_PAGES)
def test_commands_in_text_of_page(documented: DocumentedDeployment, page: str) -> None:
    listed = commands_in_text(read(ROOT / page))
    assert listed
    documented.execute(listed, values_in_text(documented))


def values_in_text(documented: DocumentedDeployment) -> dict[str, str]:
    """Return the values of placeholders: the first merchant's payment, and an API's address."""
    (payment,) = (
        transaction
        for transaction in json.loads(documented.integrator("list", "--json"))["transactions"]
        if transaction["kind"] == "payment"
    )
    (api, *_) = documented.running("api")
    network = f"{documented.project}_default"
    path = f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}'
    address = documented.run("docker", "inspect", "--format", path, api["ID"]).strip()
    return {
        "ID": payment["transaction_id"],
        "NAME": "acme",
        "HOST": f"http://{address}:8080",
    }
