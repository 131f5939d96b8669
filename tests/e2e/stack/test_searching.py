"""Test finding transactions in Temporal with the queries of the operator guide."""

import asyncio
import re
import time
from datetime import UTC, datetime

import pytest
from temporalio.client import Client

from tests.e2e.stack.environment import CARD, IBAN, TIMEOUT_SECONDS, Environment, wait_until
from tests.support.paths import ROOT

pytestmark = pytest.mark.e2e


async def find_ids(environment: Environment, query: str) -> set[str]:
    """Return the ids of the transactions found by a workflow list query."""
    client = await Client.connect(environment.stack.run["temporal"])
    return {execution.id.split("/")[2] async for execution in client.list_workflows(query)}


async def until_found(environment: Environment, query: str, expected: set[str]) -> None:
    """Wait until the query returns the ids: the list lags slightly behind the workflows."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (ids := await find_ids(environment, query)) != expected:
        assert time.monotonic() < deadline, f"{query} finds {ids}, not {expected}"
        await asyncio.sleep(0.1)


GUIDE = ROOT / "docs/operator-guide.md"
QUERY = re.compile(r"^\|[^|]+\| `([^`]+ (?:=|<|>=) [^`]+)` \|$", re.MULTILINE)


async def test_every_query_of_the_guide_is_valid(environment: Environment) -> None:
    queries = QUERY.findall(GUIDE.read_text())
    assert len(queries) == 10
    for query in queries:
        await find_ids(environment, query)


async def test_a_payment_is_found_by_each_of_its_attributes(environment: Environment) -> None:
    preauth = environment.authorized("49.90")
    capture = environment.capture(preauth, "49.90")
    answer = environment.billwerk.post("Payment", capture).json()
    refund = environment.billwerk.refund(capture["transactionId"], "10.00")
    environment.billwerk.post("Refund", refund)
    ids = {body["transactionId"] for body in (preauth, capture)}

    payment_ids = {capture["transactionId"]}
    agreement = f"AgreementId = '{preauth['agreementId']}'"
    all_ids = {*ids, refund["transactionId"]}
    await until_found(
        environment, agreement, all_ids
    )  # a refund belongs to its payment's agreement
    await until_found(environment, f"{agreement} AND TransactionKind = 'payment'", payment_ids)
    await until_found(
        environment, f"PspTransactionId = '{answer['pspTransactionId']}'", payment_ids
    )
    await until_found(environment, f"TransactionId = '{capture['transactionId']}'", payment_ids)
    captured = f"{agreement} AND TransactionStatus = 'Succeeded' AND AmountMinor = 4990"
    await until_found(environment, f"{captured} AND Currency = 'EUR'", ids)
    small = f"Merchant = 'demo' AND {agreement} AND AmountMinor < 1001"
    await until_found(environment, small, {refund["transactionId"]})


async def test_delivery_and_attention_are_searchable(environment: Environment) -> None:
    before = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    body = environment.billwerk.debit(environment.agreements[IBAN], "49.90")
    assert environment.billwerk.post("Payment", body).json()["status"] == "Pending"
    by_id = f"TransactionId = '{body['transactionId']}'"
    wait_until(lambda: bool(environment.billwerk.webhooks_of(body["transactionId"])), "its webhook")
    delivered = f"{by_id} AND WebhookState = 'delivered' AND TransactionStatus = 'Succeeded'"
    await until_found(environment, delivered, {body["transactionId"]})
    await until_found(environment, f"{by_id} AND StartTime < '{before}'", set())
    await until_found(environment, f"{by_id} AND NeedsAttention = false", {body["transactionId"]})


async def test_an_immediate_response_needs_no_announcement(environment: Environment) -> None:
    body = environment.billwerk.payment(environment.agreements[CARD], "20.00")
    assert environment.billwerk.post("Payment", body).json()["status"] == "Succeeded"
    query = f"TransactionId = '{body['transactionId']}' AND WebhookState = 'none'"
    await until_found(environment, query, {body["transactionId"]})
