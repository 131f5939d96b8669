"""The commands about keys and erasure."""

import asyncio
import base64
import json
import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleSpec,
)
from temporalio.testing import WorkflowEnvironment
from typer.testing import CliRunner, Result

from integrator.cli import main as cli
from integrator.crypto.keys import KeyRing, generate_key
from integrator.store import NewAgreement, NewTransaction, Store
from integrator.store.migrate import upgrade
from integrator.temporal.payload_codec import encrypting_converter
from tests.store.builders import kept_request
from tests.support.temporal import temporal_binary

OLD, NEW = f"old:{generate_key()}", f"new:{generate_key()}"
NAME = "Mia Kern-Albrecht"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INTEGRATOR_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("INTEGRATOR_KEYS", OLD)
    monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def url(folder: Path) -> str:
    url = f"sqlite+aiosqlite:///{folder / 'integrator.db'}"
    asyncio.run(fill(url))
    return url


async def fill(url: str) -> None:
    """A merchant with one agreement and its first transaction."""
    await upgrade(url)
    async with Store(url, KeyRing.parse(OLD)) as store:
        merchant = await store.add_merchant("acme", "sandbox")
        await store.open_transaction(
            NewTransaction(
                merchant_id="acme",
                transaction_id="t1",
                kind="preauth",
                fingerprint="f" * 64,
                psp="sandbox",
                psp_settings_id=merchant.psp_settings_id,
                role="Debit",
                currency="EUR",
                requested_amount=Decimal("10.00"),
                request={"payerData": {"lastName": NAME}, "webhookTarget": "https://a.example"},
                agreement_id="a1",
                agreement=NewAgreement("a1", "Debit"),
            )
        )


def call(*arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(cli.app, arguments, input=text)
    assert result.exit_code == code, result.output
    return result


def usage(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """The command ends its process the hard way; not this one."""

    def leave(code: int) -> None:
        raise typer.Exit(code)

    with monkeypatch.context() as patch:
        patch.setattr("os._exit", leave)
        return call("keys", "usage", *arguments)


def request(url: str, ring: str) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with Store(url, KeyRing.parse(ring)) as store:
            return await kept_request(store, "acme", "t1")

    return asyncio.run(read())


# --- keys -----------------------------------------------------------------------------------------


def test_a_generated_key_is_an_entry_of_the_ring() -> None:
    first, second = (call("keys", "generate").stdout.strip() for _ in range(2))
    assert first != second
    key_id, encoded = first.split(":")
    assert len(base64.b64decode(encoded, validate=True)) == 32
    assert KeyRing.parse(f"{first},{second}").ids == (key_id, second.split(":")[0])


def test_rotation_makes_the_old_key_dispensable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    said = call("keys", "rotate").stdout
    assert "3 sealed anew" in said
    assert "retention" in said
    assert request(url, NEW)["payerData"] == {"lastName": NAME}
    assert "0 sealed anew" in call("keys", "rotate").stdout


@pytest.mark.usefixtures("url")
def test_a_rotation_that_leaves_something_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", NEW)
    assert "3 are left" in call("keys", "rotate", code=1).stdout


@pytest.mark.usefixtures("url")
def test_usage_is_told_to_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    told = json.loads(usage(monkeypatch, "--json").stdout)
    assert (told["active"], told["ids"], told["histories"]) == ("new", ["new", "old"], None)
    assert told["store"]["data_keys.wrapped"] == {"keys": {"old": 1}, "data_keys": 0, "erased": 0}
    assert told["store"]["transactions.request"] == {"keys": {}, "data_keys": 1, "erased": 0}


@pytest.mark.usefixtures("url")
def test_usage_is_told_to_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    said = usage(monkeypatch).stdout
    assert re.search(r"data_keys.wrapped\W+0\W+1\W+0\W+0", said)
    assert "old: still needed: 3 in the store" in said
    assert "Temporal cannot be reached" in said
    assert "retention" in said
    call("keys", "rotate")
    assert "not all histories were read, so keep it" in usage(monkeypatch).stdout


@pytest.mark.usefixtures("folder")
def test_without_a_schema_the_way_out_is_named() -> None:
    assert "integrator migrate" in call("keys", "rotate", code=1).output


# --- histories ------------------------------------------------------------------------------------


async def test_histories_and_schedules_are_searched(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=temporal_binary()
    ) as environment:
        address = environment.client.service_client.config.target_host
        await begin(address, OLD, "first", "second")
        await begin(address, NEW, "third")
        await plan(address)
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", address)
        await listed(environment.client, 3)
        told = await asyncio.to_thread(usage, monkeypatch, "--json")
        found = json.loads(told.stdout)["histories"]
        assert (found["total"], found["read"]) == (3, 3)
        assert found["workflows"] == {"old": 2, "new": 1}
        assert found["payloads"] == {"old": 4, "new": 2}
        assert found["schedules"] == {"old": 1}
        said = (await asyncio.to_thread(usage, monkeypatch)).stdout
        assert "old: still needed: 3 in the store" in said
        assert "2 in histories (until those are past their retention)" in said
        assert "in schedules" in said
        await asyncio.to_thread(call, "keys", "rotate")
        newest = (await asyncio.to_thread(usage, monkeypatch, "--histories", "1")).stdout
        assert "histories (1 of 3 read)" in newest
        for id in ("first", "second"):
            await delete(environment.client, id)
        schedule = environment.client.get_schedule_handle("schedule")
        await schedule.delete()
        await listed(environment.client, 1)
        said = (await asyncio.to_thread(usage, monkeypatch)).stdout
        assert "old: not used any more; it can be taken out of the key ring." in said


async def begin(address: str, ring: str, *ids: str) -> None:
    client = await connected(address, ring)
    for id in ids:
        handle = await client.start_workflow("None", {"a": 1}, id=id, task_queue="none")
        await handle.signal("any", "payload")


async def plan(address: str) -> None:
    client = await connected(address, OLD)
    action = ScheduleActionStartWorkflow("None", {"a": 1}, id="scheduled", task_queue="none")
    await client.create_schedule("schedule", Schedule(action=action, spec=ScheduleSpec()))


async def connected(address: str, ring: str) -> Client:
    return await Client.connect(address, data_converter=encrypting_converter(KeyRing.parse(ring)))


async def delete(client: Client, id: str) -> None:
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=id)
        )
    )


async def listed(client: Client, count: int) -> None:
    """What Temporal lists is a moment behind."""
    for _ in range(200):
        if (await client.count_workflows()).count == count:
            return
        await asyncio.sleep(0.05)
    pytest.fail("Temporal does not list the workflows")


# --- erasure --------------------------------------------------------------------------------------


def test_an_agreement_is_erased(url: str, folder: Path) -> None:
    said = call("erase", "--agreement", "a1", "--merchant", "acme", "--yes").stdout
    assert "1 transactions (1 undecided)" in said
    assert "its data key is destroyed" in said
    assert "nothing personal" in said
    again = call("erase", "--agreement", "a1", "--merchant", "acme", "--yes").stdout
    assert "was erased on" in again
    wal = folder / "integrator.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0


def test_it_is_asked_for_first(url: str) -> None:
    arguments = ("erase", "--agreement", "a1", "--merchant", "acme")
    assert "Erase it for good?" in call(*arguments, text="n\n", code=1).stdout
    call(*arguments, text="", code=1)
    assert request(url, OLD)["payerData"] == {"lastName": NAME}
    assert "is erased" in call(*arguments, text="y\n").stdout


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(("agreement", "merchant"), [("a2", "acme"), ("a1", "nobody")])
def test_an_unknown_agreement_is_an_error(agreement: str, merchant: str) -> None:
    arguments = ("erase", "--agreement", agreement, "--merchant", merchant, "--yes")
    assert "has no agreement" in call(*arguments, code=1).output


@pytest.mark.usefixtures("url")
def test_the_merchant_need_only_be_named_where_several_have_the_agreement() -> None:
    assert "No merchant has" in call("erase", "--agreement", "a2", "--yes", code=1).output
    assert "is erased" in call("erase", "--agreement", "a1", "--yes").stdout


async def test_of_several_merchants_one_must_be_named(url: str) -> None:
    async with Store(url, KeyRing.parse(OLD)) as store:
        other = await store.add_merchant("other", "sandbox")
        [made] = await store.list_transactions("acme")
        await store.open_transaction(
            NewTransaction(
                merchant_id=other.id,
                transaction_id="elsewhere",
                kind="preauth",
                fingerprint="f",
                agreement_id="a1",
                psp="sandbox",
                psp_settings_id=other.psp_settings_id,
                role=made.role,
                currency="EUR",
                requested_amount=made.requested_amount,
                request={},
                agreement=NewAgreement("a1", made.role),
            )
        )
    said = await asyncio.to_thread(call, "erase", "--agreement", "a1", "--yes", code=1)
    assert "--merchant acme|other" in said.output
