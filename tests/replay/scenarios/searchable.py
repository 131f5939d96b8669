"""Scenarios started with search attributes, which the workflow keeps current."""

from tests.integration.workflows.conftest import WorkflowHarness, eventually, time_skipping_disabled
from tests.replay.scenarios.builders import Handle
from tests.replay.scenarios.failures import payment_webhook_dead
from tests.replay.scenarios.payments import (
    payment_captured_open,
    payment_debit_refunded_charged_back,
)
from tests.replay.scenarios.preauths import preauth_redirect_finalized_captured


async def payment_searchable_captured(harness: WorkflowHarness) -> Handle:
    return await payment_captured_open(harness)


async def payment_searchable_debit_charged_back(harness: WorkflowHarness) -> Handle:
    return await payment_debit_refunded_charged_back(harness)


async def payment_searchable_webhook_dead_then_redelivered(harness: WorkflowHarness) -> Handle:
    """The delivery is given up, which can be searched for, and later succeeds."""
    handle = await payment_webhook_dead(harness)
    harness.webhook_error = lambda attempt: None
    with time_skipping_disabled(harness.env):
        await harness.client.redeliver(harness.payment())
        await eventually(lambda: harness.webhooks)
    return handle


async def preauth_searchable_captured(harness: WorkflowHarness) -> Handle:
    return await preauth_redirect_finalized_captured(harness)


SCENARIOS = (
    payment_searchable_captured,
    payment_searchable_debit_charged_back,
    payment_searchable_webhook_dead_then_redelivered,
    preauth_searchable_captured,
)
