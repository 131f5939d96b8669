"""Commands for keys and erasure."""

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
from tests.integration.integrator.store.builders import stored_request
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
    asyncio.run(add_transaction(url))
    return url


async def add_transaction(url: str) -> None:
    """Add a merchant with one agreement and its first transaction."""
    await upgrade(url)
    async with Store(url, KeyRing.parse(OLD)) as store:
        merchant = await store.merchants.add("acme", "sandbox")
        await store.transactions.add(
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
                request={
                    "payerData": {"lastName": NAME},
                    "webhookTarget": "https://a.example",
                },
                agreement_id="a1",
                agreement=NewAgreement("a1", "Debit"),
            )
        )


def call(*arguments: str, code: int = 0, text: str | None = None) -> Result:
    result = CliRunner().invoke(cli.app, arguments, input=text)
    assert result.exit_code == code, result.output
    return result


def run_usage(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run `keys usage`; its `os._exit` is replaced to keep this process alive."""

    def raise_exit(code: int) -> None:
        raise typer.Exit(code)

    with monkeypatch.context() as patch:
        patch.setattr("os._exit", raise_exit)
        return call("keys", "usage", *arguments)


def read_request(url: str, ring: str) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with Store(url, KeyRing.parse(ring)) as store:
            return await stored_request(store, "acme", "t1")

    return asyncio.run(read())


# --- keys -----------------------------------------------------------------------------------------


def test_a_generated_key_is_a_valid_entry() -> None:
    first, second = (call("keys", "generate").stdout.strip() for _ in range(2))
    assert first != second
    key_id, encoded = first.split(":")
    assert len(base64.b64decode(encoded, validate=True)) == 32
    assert KeyRing.parse(f"{first},{second}").ids == (key_id, second.split(":")[0])


def test_rotation_reencrypts_everything_with_the_new_key(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    output = call("keys", "rotate").stdout
    assert "3 values re-encrypted" in output
    assert "retention" in output
    assert read_request(url, NEW)["payerData"] == {"lastName": NAME}
    assert "0 values re-encrypted" in call("keys", "rotate").stdout


@pytest.mark.usefixtures("url")
def test_an_incomplete_rotation_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", NEW)
    assert "3 are left" in call("keys", "rotate", code=1).stdout


@pytest.mark.usefixtures("url")
def test_key_usage_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    report = json.loads(run_usage(monkeypatch, "--json").stdout)
    assert (report["active"], report["ids"], report["histories"]) == ("new", ["new", "old"], None)
    assert report["store"]["data_keys.wrapped"] == {"keys": {"old": 1}, "data_keys": 0, "erased": 0}
    assert report["store"]["transactions.request"] == {"keys": {}, "data_keys": 1, "erased": 0}


@pytest.mark.usefixtures("url")
def test_key_usage_as_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTEGRATOR_KEYS", f"{NEW},{OLD}")
    output = run_usage(monkeypatch).stdout
    assert re.search(r"data_keys.wrapped\W+0\W+1\W+0\W+0", output)
    assert "old: still needed: 3 in the store" in output
    assert "Temporal is unreachable" in output
    assert "retention" in output
    call("keys", "rotate")
    assert "not all histories were read, so keep it" in run_usage(monkeypatch).stdout


@pytest.mark.usefixtures("folder")
def test_a_missing_schema_names_the_remedy() -> None:
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
        await start_workflows(address, OLD, "first", "second")
        await start_workflows(address, NEW, "third")
        await create_schedule(address)
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", address)
        await wait_until_counted(environment.client, 3)
        report = await asyncio.to_thread(run_usage, monkeypatch, "--json")
        histories = json.loads(report.stdout)["histories"]
        assert (histories["total"], histories["read"]) == (3, 3)
        assert histories["workflows"] == {"old": 2, "new": 1}
        assert histories["payloads"] == {"old": 4, "new": 2}
        assert histories["schedules"] == {"old": 1}
        output = (await asyncio.to_thread(run_usage, monkeypatch)).stdout
        assert "old: still needed: 3 in the store" in output
        assert "2 in histories (until those are past their retention)" in output
        assert "in schedules" in output
        await asyncio.to_thread(call, "keys", "rotate")
        newest = (await asyncio.to_thread(run_usage, monkeypatch, "--histories", "1")).stdout
        assert "histories (1 of 3 read)" in newest
        for id in ("first", "second"):
            await delete(environment.client, id)
        schedule = environment.client.get_schedule_handle("schedule")
        await schedule.delete()
        await wait_until_counted(environment.client, 1)
        output = (await asyncio.to_thread(run_usage, monkeypatch)).stdout
        assert "old: not used any more; it can be removed from the key ring." in output


async def start_workflows(address: str, ring: str, *ids: str) -> None:
    client = await connect(address, ring)
    for id in ids:
        handle = await client.start_workflow("None", {"a": 1}, id=id, task_queue="none")
        await handle.signal("any", "payload")


async def create_schedule(address: str) -> None:
    client = await connect(address, OLD)
    action = ScheduleActionStartWorkflow("None", {"a": 1}, id="scheduled", task_queue="none")
    await client.create_schedule("schedule", Schedule(action=action, spec=ScheduleSpec()))


async def connect(address: str, ring: str) -> Client:
    return await Client.connect(address, data_converter=encrypting_converter(KeyRing.parse(ring)))


async def delete(client: Client, id: str) -> None:
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=id)
        )
    )


async def wait_until_counted(client: Client, count: int) -> None:
    """Wait until Temporal counts `count` workflows; its visibility lags behind."""
    for _ in range(200):
        if (await client.count_workflows()).count == count:
            return
        await asyncio.sleep(0.05)
    pytest.fail("Temporal does not list the workflows")


# --- erasure --------------------------------------------------------------------------------------


def test_an_agreement_is_erased(url: str, folder: Path) -> None:
    output = call("erase", "--agreement", "a1", "--merchant", "acme", "--yes").stdout
    assert "1 transactions (1 undecided)" in output
    assert "its data key is destroyed" in output
    assert "nothing personal" in output
    again = call("erase", "--agreement", "a1", "--merchant", "acme", "--yes").stdout
    assert "was already erased on" in again
    wal = folder / "integrator.db-wal"
    assert not wal.exists() or wal.stat().st_size == 0


def test_an_erasure_requires_confirmation(url: str) -> None:
    arguments = ("erase", "--agreement", "a1", "--merchant", "acme")
    assert "Erase it permanently?" in call(*arguments, text="n\n", code=1).stdout
    call(*arguments, text="", code=1)
    assert read_request(url, OLD)["payerData"] == {"lastName": NAME}
    assert "is erased" in call(*arguments, text="y\n").stdout


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(("agreement", "merchant"), [("a2", "acme"), ("a1", "unknown")])
def test_an_unknown_agreement_is_an_error(agreement: str, merchant: str) -> None:
    arguments = ("erase", "--agreement", agreement, "--merchant", merchant, "--yes")
    assert "has no agreement" in call(*arguments, code=1).output


@pytest.mark.usefixtures("url")
def test_the_merchant_is_optional_for_an_unambiguous_agreement() -> None:
    assert "No merchant has" in call("erase", "--agreement", "a2", "--yes", code=1).output
    assert "is erased" in call("erase", "--agreement", "a1", "--yes").stdout


async def test_an_ambiguous_agreement_requires_the_merchant(url: str) -> None:
    async with Store(url, KeyRing.parse(OLD)) as store:
        other = await store.merchants.add("other", "sandbox")
        [transaction] = await store.transaction_search.list_newest("acme")
        await store.transactions.add(
            NewTransaction(
                merchant_id=other.id,
                transaction_id="elsewhere",
                kind="preauth",
                fingerprint="f",
                agreement_id="a1",
                psp="sandbox",
                psp_settings_id=other.psp_settings_id,
                role=transaction.role,
                currency="EUR",
                requested_amount=transaction.requested_amount,
                request={},
                agreement=NewAgreement("a1", transaction.role),
            )
        )
    output = await asyncio.to_thread(call, "erase", "--agreement", "a1", "--yes", code=1)
    assert "--merchant acme|other" in output.output
