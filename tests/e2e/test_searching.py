"""Finding transactions in Temporal as an operator does, by the saved queries of the guide."""

import asyncio
import re
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from temporalio.client import Client

from tests.e2e.platform import CARD, HANG_SECONDS, IBAN, World, wait_until

pytestmark = pytest.mark.e2e


async def found(world: World, query: str) -> set[str]:
    """The transactions that a query of the workflow list shows, by id."""
    client = await Client.connect(world.stack.run["temporal"])
    return {execution.id.split("/")[2] async for execution in client.list_workflows(query)}


async def until_found(world: World, query: str, expected: set[str]) -> None:
    """The list lags behind the workflows a little."""
    deadline = time.monotonic() + HANG_SECONDS
    while (shown := await found(world, query)) != expected:
        assert time.monotonic() < deadline, f"{query} finds {shown}, not {expected}"
        await asyncio.sleep(0.1)


GUIDE = Path(__file__).parents[2] / "docs/operator-guide.md"
QUERY = re.compile(r"^\|[^|]+\| `([^`]+ (?:=|<|>=) [^`]+)` \|$", re.MULTILINE)


async def test_every_query_of_the_guide_is_understood(world: World) -> None:
    queries = QUERY.findall(GUIDE.read_text())
    assert len(queries) == 10
    for query in queries:
        await found(world, query)


async def test_a_payment_is_found_by_whatever_is_known_of_it(world: World) -> None:
    preauth = world.authorized("49.90")
    capture = world.capture(preauth, "49.90")
    answer = world.billwerk.post("Payment", capture).json()
    refund = world.billwerk.refund(capture["transactionId"], "10.00")
    world.billwerk.post("Refund", refund)
    ids = {body["transactionId"] for body in (preauth, capture)}

    ours = {capture["transactionId"]}
    agreement = f"AgreementId = '{preauth['agreementId']}'"
    both = {*ids, refund["transactionId"]}
    await until_found(world, agreement, both)  # a refund belongs to its payment's agreement
    await until_found(world, f"{agreement} AND TransactionKind = 'payment'", ours)
    await until_found(world, f"PspTransactionId = '{answer['pspTransactionId']}'", ours)
    await until_found(world, f"TransactionId = '{capture['transactionId']}'", ours)
    captured = f"{agreement} AND TransactionStatus = 'Succeeded' AND AmountMinor = 4990"
    await until_found(world, f"{captured} AND Currency = 'EUR'", ids)
    small = f"Merchant = 'demo' AND {agreement} AND AmountMinor < 1001"
    await until_found(world, small, {refund["transactionId"]})


async def test_what_waits_and_what_was_delivered_is_found(world: World) -> None:
    before = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    body = world.billwerk.debit(world.agreements[IBAN], "49.90")
    assert world.billwerk.post("Payment", body).json()["status"] == "Pending"
    mine = f"TransactionId = '{body['transactionId']}'"
    wait_until(lambda: bool(world.billwerk.received(body["transactionId"])), "its webhook")
    delivered = f"{mine} AND WebhookState = 'delivered' AND TransactionStatus = 'Succeeded'"
    await until_found(world, delivered, {body["transactionId"]})
    await until_found(world, f"{mine} AND StartTime < '{before}'", set())
    await until_found(world, f"{mine} AND NeedsAttention = false", {body["transactionId"]})


async def test_what_was_answered_at_once_has_nothing_to_announce(world: World) -> None:
    body = world.billwerk.payment(world.agreements[CARD], "20.00")
    assert world.billwerk.post("Payment", body).json()["status"] == "Succeeded"
    query = f"TransactionId = '{body['transactionId']}' AND WebhookState = 'none'"
    await until_found(world, query, {body["transactionId"]})
