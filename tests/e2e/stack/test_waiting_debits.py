"""Test debits that wait for their day on a running stack of their own, whose worker is stopped."""

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import Client

from integrator.contract import PaymentRequest, json_codec
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import NewTransaction, Store
from tests.e2e.stack.environment import IBAN, Environment, open_environment, outcome, wait_until
from tests.support.stack import Stack, running_stack
from workflows.state import PaymentState

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running_stack(
        tmp_path_factory.mktemp("waiting"), {"SANDBOX_SETTLE_SECONDS": "1"}
    ) as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[Environment]:
    with open_environment(stack) as environment:
        environment.sign_up(IBAN)
        yield environment


@pytest.fixture(scope="module", autouse=True)
def _start_background() -> None:
    """Disable the background scenarios: this file uses its own stack."""


def command(stack: Stack, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "integrator.cli", *arguments, "--json"],
        env=stack.env,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def waiting(stack: Stack) -> dict[str, str]:
    """Return the days of the debits that wait."""
    rows = command(stack, "list", "--waiting")["transactions"]
    return {row["transaction_id"]: row["due_date"] for row in rows}


def debit(environment: Environment, days_ahead: int) -> dict[str, Any]:
    day = datetime.now(UTC).date() + timedelta(days=days_ahead)
    return environment.billwerk.debit(
        environment.agreements[IBAN], "12.00", plannedExecutionDate=day.isoformat()
    )


def test_a_debit_that_waits_is_pending_listed_and_ended_unsent(environment: Environment) -> None:
    stack, body = environment.stack, debit(environment, 390)
    id, day = body["transactionId"], body["plannedExecutionDate"]
    answer = environment.billwerk.post("Payment", body)
    assert outcome(answer) == "Pending"
    assert answer.json()["dueDate"] == f"{day}T00:00:00.0000000Z"
    assert environment.billwerk.post("Payment", body).json() == answer.json()
    assert waiting(stack) == {id: day}
    reason = ("--reason", "ordered twice", "--by", "ada", "--yes")
    done = command(stack, "resolve", id, "failed", *reason)
    assert (done["status_before"], done["status_after"]) == ("Pending", "Failed")
    later = environment.billwerk.get("Payment", id)
    assert (later.status_code, outcome(later)) == (422, "Canceled")
    assert waiting(stack) == {}
    assert environment.psp.kinds(id) == []


async def add_waiting(stack: Stack, body: dict[str, Any], send_at: datetime) -> None:
    """Store a debit as the API does that waits until `send_at`."""
    settings = Settings(data_dir=stack.data_dir)
    request = PaymentRequest.model_validate(body)
    state = PaymentState(
        transaction_id=request.transaction_id,
        external_id=secrets.token_hex(12),
        role=Role.Debit,
        currency=request.currency,
        requested_amount=request.requested_amount,
        due_date=request.planned_execution_date,
        send_at=send_at,
        last_updated=datetime.now(UTC),
    )
    async with Store(settings.resolved_database_url, KeyRing.from_settings(settings)) as store:
        merchant = await store.merchants.get("demo")
        assert merchant is not None
        await store.transactions.add(
            NewTransaction(
                merchant_id=merchant.id,
                transaction_id=request.transaction_id,
                kind="payment",
                fingerprint=json_codec.fingerprint(request),
                psp=merchant.psp,
                psp_settings_id=merchant.psp_settings_id,
                role=Role.Debit.name,
                currency=request.currency,
                requested_amount=request.requested_amount,
                request=request.model_dump(mode="json", by_alias=True, exclude_none=True),
                external_id=state.external_id,
                agreement_id=request.agreement_id,
                snapshot=state.model_dump_json(),
                send_at=send_at,
            )
        )


async def terminate(stack: Stack, id: str) -> None:
    client = await Client.connect(stack.run["temporal"])
    await client.get_workflow_handle(f"demo/payment/{id}").terminate("test")


def test_a_debit_is_sent_once_when_its_time_comes(environment: Environment) -> None:
    """Its worker is killed while it waits, and its workflow is terminated."""
    stack, body = environment.stack, debit(environment, 20)
    id = body["transactionId"]
    send_at = datetime.now(UTC) + timedelta(seconds=20)
    asyncio.run(add_waiting(stack, body, send_at))
    assert outcome(environment.billwerk.post("Payment", body)) == "Pending"
    assert waiting(stack) == {id: body["plannedExecutionDate"]}
    os.kill(stack.run["pids"]["worker"], signal.SIGKILL)
    asyncio.run(terminate(stack, id))
    assert environment.psp.kinds(id) == []
    wait_until(lambda: environment.psp.kinds(id) == ["charge"], "the charge", 240)
    assert datetime.now(UTC) >= send_at
    wait_until(
        lambda: outcome(environment.billwerk.get("Payment", id)) == "Succeeded", "the success"
    )
    assert waiting(stack) == {}
    assert environment.psp.kinds(id) == ["charge"]
