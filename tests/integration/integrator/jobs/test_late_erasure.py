"""Test activities for agreements whose data was erased: nothing is sent, nothing crashes."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.psp import ERASED, PspActivities
from activities.webhooks import WebhookActivities
from integrator.contract.enums import PaymentErrorCode
from integrator.contract.webhook import WebhookForm
from integrator.jobs.late_erasure import LateErasure
from integrator.jobs.notification_redelivery import NotificationRedelivery
from integrator.psp.types import Approved, Declined, Fact, FactKind, Instrument, NotificationEvent
from integrator.store import Merchant, NewNotification, RecordUpdate, Store
from integrator.store.models import UNKNOWN
from tests.integration.activities.conftest import (
    CAPTURE,
    CHARGE,
    PREAUTH,
    PRIVATE,
    REFUND,
    FakePsp,
    FakeTransactionClient,
    TransactionFactory,
    call,
)
from workflows.messages import NotificationRead, PspFailure, PspReply, WebhookCall

TARGET = "https://transform.example/hooks/psp"


async def erase(store: Store, transaction_id: str) -> None:
    """Erase the agreement of a transaction."""
    row = await store.transactions.get("demo", transaction_id)
    assert row is not None
    assert row.agreement_id is not None
    await store.erasure.erase_agreement("demo", row.agreement_id)


async def attempt(activity: Any, argument: Any) -> Any:
    return await ActivityEnvironment().run(activity, argument)


async def test_an_erased_agreement_is_not_charged(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.charge()
    await erase(store, CHARGE)
    reply: PspReply = await attempt(activities.charge, call(CHARGE))
    assert reply == ERASED
    assert isinstance(reply.outcome, Declined)
    assert reply.outcome.code is PaymentErrorCode.InvalidPreconditions
    assert psp.calls == []


async def test_an_erased_agreement_is_not_authorized(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    await erase(store, PREAUTH)
    assert await attempt(activities.authorize, call(PREAUTH)) == ERASED
    assert psp.calls == []


@pytest.mark.parametrize("step", ["charge", "authorize"])
async def test_an_erasure_between_two_attempts_proves_nothing(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities, step: str
) -> None:
    """The answer of the first one was lost: it may have taken the money."""
    id = CHARGE if step == "charge" else PREAUTH
    await (factory.charge() if step == "charge" else factory.preauth())
    await store.transactions.set_send_mark("demo", id, UNKNOWN, expected=None)
    await erase(store, id)
    with pytest.raises(ApplicationError) as caught:
        await attempt(getattr(activities, step), call(id))
    assert (caught.value.type, caught.value.non_retryable) == (PspFailure.UNKNOWN, True)
    assert psp.calls == []


async def test_refunds_still_work_after_erasure(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.refund()
    await erase(store, CAPTURE)
    refunded = Fact(kind=FactKind.REFUNDED, id="re_1", amount=Decimal(10))
    psp.answers = [Approved(psp_id="re_1", facts=(refunded,))]
    reply: PspReply = await attempt(activities.refund, call(REFUND))
    assert isinstance(reply.outcome, Approved)


async def test_a_psp_response_does_not_restore_payment_data(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    row = await factory.preauth()
    await erase(store, PREAUTH)
    psp.answers = [Approved(psp_id="x", instrument=Instrument.model_validate(PRIVATE))]
    reply = await activities.fetch_authorization(call(PREAUTH, psp_id="x"))
    assert isinstance(reply.outcome, Approved)
    assert reply.outcome.instrument is None
    success = RecordUpdate(
        row.merchant_id,
        row.transaction_id,
        status="Succeeded",
        version=1,
        snapshot=row.snapshot,
        evidence="{}",
        activate_agreement=True,
    )
    assert await store.transactions.record(success)
    after = await store.transactions.get("demo", PREAUTH)
    agreement = await store.agreements.get("demo", row.agreement_id or "")
    assert after is not None
    assert agreement is not None
    assert (after.private, agreement.usable) == (None, False)


@pytest.mark.parametrize("id", [CAPTURE, REFUND])
async def test_changes_are_still_announced_after_erasure(
    store: Store, factory: TransactionFactory, id: str
) -> None:
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(200)

    await factory.refund()
    await erase(store, CAPTURE)
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        webhooks = WebhookActivities(store, http, WebhookForm.PASCAL)
        webhook_call = WebhookCall(merchant_id="demo", transaction_id=id, version=1)
        await attempt(webhooks.deliver_webhook, webhook_call)
    assert [str(request.url) for request in received] == [TARGET]


async def add_notification(store: Store, merchant: Merchant, agreement_id: str | None) -> int:
    id, _ = await store.notifications.add(
        NewNotification(
            psp_settings_id=merchant.psp_settings_id,
            event_id="evt_1",
            merchant_id="demo",
            raw=b"the raw body",
            headers={"X-Signature": "s"},
            transaction_id=CHARGE,
            agreement_id=agreement_id,
        )
    )
    return id


async def test_an_erased_notification_triggers_a_look_up(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    row = await factory.charge()
    id = await add_notification(store, merchant, row.agreement_id)
    await erase(store, CHARGE)
    read = NotificationRead(merchant_id="demo", transaction_id=CHARGE, notification_id=id)
    result = await activities.read_notification(read)
    assert (result.outcome, result.fetch) == (None, True)
    assert psp.calls == []


async def test_a_notification_after_the_erasure_is_applied_and_then_erased(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    transaction_client: FakeTransactionClient,
) -> None:
    row = await factory.charge()
    await erase(store, CHARGE)
    id = await add_notification(store, merchant, row.agreement_id)
    assert await NotificationRedelivery(store, transaction_client).run(timedelta(seconds=-1)) == 1
    fact = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal(10))
    charged_back = Approved(psp_id="x", facts=(fact,))
    psp.parsed_events = [NotificationEvent(event_id="evt_1", result=charged_back)]
    read = NotificationRead(merchant_id="demo", transaction_id=CHARGE, notification_id=id)
    assert (await activities.read_notification(read)).outcome == charged_back
    assert await LateErasure(store).run() == 0
    # An activity whose answer was lost is repeated.
    assert (await activities.read_notification(read)).outcome == charged_back
    assert await LateErasure(store).run(timedelta(seconds=-1)) == 1
    stored = await store.notifications.get(id)
    assert stored is not None
    assert stored.erased
