"""Search attributes of transactions, from start to end and over several runs."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.webhooks import delivery_error
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, Pending
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    open_harness,
    time_skipping_disabled,
)
from tests.support.temporal import temporal_binary
from tests.unit.workflows.test_state import payment
from workflows import activity_plans, search_attributes
from workflows.messages import NotificationResult, PaymentInput, PspReply
from workflows.search_attributes import WebhookState
from workflows.state import EvidenceKind, TransactionKind

PAYMENT = TransactionKind.PAYMENT
PAID = approved("ch_1", psp_id="ch_1")
PENDING = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)
TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
UPSERTED = EventType.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES


async def upserts(harness: WorkflowHarness) -> list[dict[str, Any]]:
    """Return what each upsert of the workflow changed, in order; the SDK makes one per patch."""
    history = await harness.handle(PAYMENT).fetch_history()
    fields = [
        event.upsert_workflow_search_attributes_event_attributes.search_attributes.indexed_fields
        for event in history.events
        if event.event_type == UPSERTED
    ]
    converter = pydantic_data_converter.payload_converter
    return [
        {name: converter.from_payload(payloads[name]) for name in payloads}
        for payloads in fields
        if set(payloads) != {"TemporalChangeVersion"}
    ]


async def describe_attributes(handle: WorkflowHandle[Any, Any]) -> dict[str, Any]:
    attributes = (await handle.describe()).typed_search_attributes
    return {pair.key.name: pair.value for pair in attributes if pair.key in search_attributes.KEYS}


async def wait_until_delivered(harness: WorkflowHarness) -> None:
    """Wait in real time until the workflow has processed the webhook's success."""
    async with asyncio.timeout(30):
        while (  # noqa: ASYNC110 - the workflow runs in another process
            await describe_attributes(harness.handle(PAYMENT))
        )["WebhookState"] != "delivered":
            await asyncio.sleep(0.02)


class TestValues:
    def start(self, **fields: Any) -> PaymentInput:
        return WorkflowHarness.payment(WorkflowHarness(env=None, client=None, queue="q"), **fields)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("amount", "currency", "minor"),
        [("49.90", "EUR", 4990), ("500", "JPY", 500), ("1.234", "KWD", 1234), ("0", "EUR", 0)],
    )
    def test_amounts_are_in_minor_units(self, amount: str, currency: str, minor: int) -> None:
        start = self.start(requested_amount=Decimal(amount), currency=currency)
        assert start.currency_exponent is None
        attributes = search_attributes.initial_attributes(start)
        assert attributes[search_attributes.AMOUNT_MINOR] == minor

    def test_the_decimals_of_the_input_come_before_those_of_our_table(self) -> None:
        start = self.start(currency="EUR", currency_exponent=3)
        attributes = search_attributes.initial_attributes(start)
        assert attributes[search_attributes.AMOUNT_MINOR] == 10_000

    def test_a_new_transaction(self) -> None:
        attributes = search_attributes.initial_attributes(self.start(agreement_id="a1"))
        names = {pair.key.name: pair.value for pair in attributes}
        assert names == {
            "Merchant": "m",
            "TransactionKind": "payment",
            "TransactionId": names["TransactionId"],
            "AgreementId": "a1",
            "TransactionStatus": "Initiated",
            "Currency": "EUR",
            "WebhookState": "none",
            "AmountMinor": 1000,
            "NeedsAttention": False,
        }

    def test_a_reopened_transaction_starts_with_its_known_values(self) -> None:
        state = payment(status=Status.Succeeded, psp_transaction_id="ch_1", attention="Look.")
        attributes = search_attributes.initial_attributes(self.start(resume=state))
        assert attributes[search_attributes.TRANSACTION_STATUS] == "Succeeded"
        assert attributes[search_attributes.PSP_TRANSACTION_ID] == "ch_1"
        assert attributes[search_attributes.NEEDS_ATTENTION] is True

    @pytest.mark.parametrize("left", [None, "gone", "delivering"])
    def test_an_unknown_webhook_state_counts_as_none(self, left: str | None) -> None:
        values = {search_attributes.MERCHANT: "m"}
        if left is not None:
            values[search_attributes.WEBHOOK_STATE] = left
        expected = WebhookState.DELIVERING if left == "delivering" else WebhookState.NONE
        assert search_attributes.previous_webhook_state(values) is expected

    def test_values_too_long_for_the_database_are_truncated(self) -> None:
        attributes = search_attributes.initial_attributes(self.start(agreement_id="a" * 300))
        assert attributes[search_attributes.AGREEMENT_ID] == "a" * 255

    def test_only_what_changed_is_updated(self) -> None:
        start = self.start()
        then = search_attributes.attribute_values(
            start, payment(status=Status.Pending), WebhookState.NONE
        )
        now = search_attributes.read_values(search_attributes.initial_attributes(start))
        assert now is not None
        assert [update.key.name for update in search_attributes.compute_updates(now, then)] == [
            "TransactionStatus"
        ]
        assert search_attributes.compute_updates(then, then) == []

    def test_a_removed_value_is_unset(self) -> None:
        start = self.start()
        known = search_attributes.attribute_values(
            start, payment(psp_transaction_id="ch_1"), WebhookState.NONE
        )
        unknown = search_attributes.attribute_values(start, payment(), WebhookState.NONE)
        (update,) = search_attributes.compute_updates(known, unknown)
        assert (update.key.name, update.value) == ("PspTransactionId", None)

    def test_other_attributes_are_ignored(self) -> None:
        other = SearchAttributeKey.for_keyword("TemporalChangeVersion")
        assert search_attributes.read_values(TypedSearchAttributes([])) is None
        assert (
            search_attributes.read_values(TypedSearchAttributes([SearchAttributePair(other, "x")]))
            is None
        )


async def test_an_outcome_costs_one_upsert(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PAID]
    await harness.create(harness.payment(agreement_id="a1"))
    await eventually(lambda: harness.records)
    assert (await describe_attributes(harness.handle(PAYMENT)))["TransactionStatus"] == "Succeeded"
    assert await upserts(harness) == [
        {"TransactionStatus": "Succeeded", "PspTransactionId": "ch_1"}
    ]


async def test_a_later_change_is_one_upsert_and_its_delivery_another(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    await harness.create(start)
    with time_skipping_disabled(harness.env):
        await harness.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
        await wait_until_delivered(harness)
    assert await upserts(harness) == [
        {"TransactionStatus": "Pending", "PspTransactionId": "ch_1"},
        {"TransactionStatus": "Succeeded", "WebhookState": "delivering"},
        {"WebhookState": "delivered"},
    ]


async def test_an_undelivered_notification_can_be_found_until_it_is_delivered(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.webhook_error = lambda attempt: delivery_error("The target answered 500.", attempt)
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    await eventually(lambda: len(harness.records) >= 2)
    await harness.advance_time(PAYMENT, timedelta(hours=90))
    assert (await upserts(harness))[-1] == {"WebhookState": "undelivered", "NeedsAttention": True}
    before = len(await upserts(harness))
    harness.webhook_error = lambda attempt: None
    with time_skipping_disabled(harness.env):
        await harness.client.redeliver(start)
        await wait_until_delivered(harness)
    assert (await upserts(harness))[before:] == [{"WebhookState": "delivered"}]


async def test_a_reopened_transaction_is_found_again(harness: WorkflowHarness) -> None:
    no = PspReply(outcome=Declined(), evidence=EvidenceKind.ANSWER)
    harness.answers[activity_plans.CHARGE.name] = [no]
    start = harness.payment(agreement_id="a1")
    state = await harness.create(start)
    await harness.handle(PAYMENT).result()
    resumed = start.model_copy(update={"resume": state})
    await harness.notify(resumed, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    await harness.handle(PAYMENT).result()
    attributes = await describe_attributes(harness.handle(PAYMENT))
    assert (attributes["TransactionStatus"], attributes["NeedsAttention"]) == ("Failed", True)
    assert attributes["AgreementId"] == "a1"


async def test_a_workflow_started_without_attributes_never_upserts_any(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PAID]
    with time_skipping_disabled(harness.env):
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            harness.payment(),
            id=harness.handle(PAYMENT).id,
            task_queue=harness.queue,
        )
        await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
        await eventually(lambda: harness.webhooks)
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    assert await upserts(harness) == []


@pytest.fixture
async def short_history_harness() -> AsyncIterator[WorkflowHarness]:
    """Harness on a server that suggests continue-as-new early."""
    flag = "limit.historyCount.suggestContinueAsNew=30"
    async with (
        await WorkflowEnvironment.start_local(
            data_converter=pydantic_data_converter,
            search_attributes=search_attributes.KEYS,
            dev_server_existing_path=temporal_binary(),
            dev_server_extra_args=["--dynamic-config-value", flag],
        ) as environment,
        open_harness(environment) as harness,
    ):
        yield harness


async def test_a_new_run_keeps_the_attributes(short_history_harness: WorkflowHarness) -> None:
    harness = short_history_harness
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment(agreement_id=uuid4().hex)
    await harness.client.create(start)
    first = (await harness.handle(PAYMENT).describe()).run_id
    await harness.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    await wait_until_delivered(harness)
    before = await describe_attributes(harness.handle(PAYMENT))
    async with asyncio.timeout(30):
        number = 0
        while (await harness.handle(PAYMENT).describe()).run_id == first:
            number += 1
            event = NotificationResult(outcome=PAID.outcome, event_id=f"e{number}")
            await harness.notify(start, event)
    await harness.state(PAYMENT)  # answered once the new run has begun
    history = await harness.handle(PAYMENT).fetch_history()
    assert any(event.event_type == TASK_COMPLETED for event in history.events)
    assert await describe_attributes(harness.handle(PAYMENT)) == before
    assert await upserts(harness) == []  # nothing has changed in the new run
