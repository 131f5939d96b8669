"""Scenarios with extreme values.

Their histories were recorded with the last code that stopped at them, and end with its failed
workflow task: `payment_planned_for_the_last_day` with an OverflowError, the payment in a currency
after that was removed from the library which the code asked then, and the page without a time zone
with a TypeError.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.types import RedirectRequired
from tests.integration.workflows.conftest import WorkflowHarness, approved
from tests.replay.scenarios.builders import PENDING, Handle, notification
from workflows.messages import PspReply
from workflows.state import EvidenceKind, TransactionKind

LAST_DAY = date(9999, 12, 31)


async def payment_planned_for_the_last_day(harness: WorkflowHarness) -> Handle:
    """A debit is asked about after a minute; no day is two weeks after the planned one."""
    harness.answers["charge"] = [PENDING]
    harness.answers["fetch_payment"] = [PENDING]
    role = PublicPaymentProviderRole.Debit
    await harness.create(harness.payment(role=role, execute_on=LAST_DAY))
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(minutes=2))
    return harness.handle(TransactionKind.PAYMENT)


async def payment_in_a_removed_currency(harness: WorkflowHarness) -> Handle:
    harness.answers["charge"] = [PENDING]
    start = harness.payment(currency="MKD", requested_amount=Decimal("10.00"))
    await harness.create(start)
    await harness.notify(start, notification(approved("ch_1")))
    return harness.handle(TransactionKind.PAYMENT)


async def preauth_page_without_time_zone(harness: WorkflowHarness) -> Handle:
    ends = datetime(9999, 12, 31, 23, 59, 59)  # noqa: DTZ001 - what a PSP may send
    page = RedirectRequired.model_construct(outcome="redirect", psp_id="cs_1", expires_at=ends)
    harness.answers["authorize"] = [
        PspReply.model_construct(outcome=page, evidence=EvidenceKind.ANSWER)
    ]
    await harness.create(harness.preauth())
    return harness.handle(TransactionKind.PREAUTH)


SCENARIOS = (
    payment_planned_for_the_last_day,
    payment_in_a_removed_currency,
    preauth_page_without_time_zone,
)
