"""Successful preauths, payments and refunds, and the error of failed ones."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal

import httpx
import pytest

from integrator.contract import PaymentErrorCode, PaymentRequest, PreauthRequest, json_codec
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from integrator.store import Store
from tests.integration.api.builders import MERCHANT, Body, debit, payment, preauth, refund
from tests.integration.api.conftest import TransactionFactory, assert_error
from tests.integration.api.fakes import FakeAdapter, FakeTransactionClient
from tests.integration.integrator.store.builders import stored_request
from workflows.messages import AnyInput, PaymentInput, PreauthInput, RefundInput
from workflows.state import Evidence, EvidenceKind, TransactionKind


async def test_a_preauth_is_reserved(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    expires = datetime(2026, 1, 22, 9, tzinfo=UTC)
    fact = Fact(kind=FactKind.AUTHORIZED, id="auth_1", amount=Decimal("119"), expires_at=expires)
    transaction_client.psp = lambda _: Approved(psp_id="auth_1", facts=(fact,))
    body = preauth()
    response = await client.post("/api/Preauth", json=body)
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    result = response.json()
    assert result["transactionId"] == body["transactionId"]
    assert len(result["externalTransactionId"]) == 24
    assert result["pspTransactionId"] == "auth_1"
    assert result["status"] == "Succeeded"
    assert result["expiresAt"] == "2026-01-22T09:00:00.0000000Z"
    assert '"requestedAmount":119.00,' in response.text
    assert '"authorizedAmount":119.00' in response.text
    assert (await client.get(f"/api/Preauth/{body['transactionId']}")).json() == result


async def test_the_workflow_input_contains_no_payment_data(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    body = preauth(paymentMeansReference=debit(), requestedAmount=0)
    await client.post("/api/Preauth", json=body)
    (start,) = transaction_client.starts
    assert isinstance(start, PreauthInput)
    assert start.resume is None
    assert (start.merchant_id, start.psp, start.key_window_seconds) == (MERCHANT, "fake", 3600)
    text = start.model_dump_json()
    assert "IBAN" not in text
    assert "example" not in text


async def test_a_redirect_is_returned_while_it_is_open(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, store: Store
) -> None:
    body = preauth()
    key = (MERCHANT, body["transactionId"])

    async def open_session() -> None:
        await store.transactions.save_private(
            *key, redirect={"url": "https://psp.example/s/1", "data": {"a": "b"}}
        )

    transaction_client.before["create"] = open_session
    expires = datetime(2099, 1, 1, tzinfo=UTC)
    transaction_client.psp = lambda _: RedirectRequired(psp_id="ses_1", expires_at=expires)
    first = (await client.post("/api/Preauth", json=body)).json()
    assert first["status"] == "Initiated"
    assert first["redirectUrl"] == "https://psp.example/s/1"
    assert first["redirectData"] == {"a": "b"}
    assert "pspTransactionId" not in first
    assert "bearer" not in first
    assert (await client.get(f"/api/Preauth/{body['transactionId']}")).json() == first

    state = transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, body["transactionId"])]
    evidence = Evidence(kind=EvidenceKind.NOTIFICATION, source="evt", at=datetime.now(UTC))
    state.apply(Approved(psp_id="auth_1"), evidence)
    await store.transactions.save_private(
        *key, instrument={"token": {"t": "x"}, "bearer": {"Last4": "4242"}}
    )
    await transaction_client.record(MERCHANT, state)
    later = (await client.get(f"/api/Preauth/{body['transactionId']}")).json()
    assert later["status"] == "Succeeded"
    assert later["bearer"] == {"Last4": "4242"}
    assert "redirectUrl" not in later


async def test_a_redirect_opened_after_pending_is_returned(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, store: Store
) -> None:
    body = preauth()
    key = (MERCHANT, body["transactionId"])
    transaction_client.psp = lambda _: None
    await client.post("/api/Preauth", json=body)
    state = transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, body["transactionId"])]
    state.mark_pending(datetime.now(UTC))
    await store.transactions.save_private(
        *key, redirect={"url": "https://psp.example/s/1", "data": None}
    )
    session = RedirectRequired(psp_id="ses_1", expires_at=datetime(2099, 1, 1, tzinfo=UTC))
    state.apply(session, Evidence(kind=EvidenceKind.ANSWER, source="psp", at=datetime.now(UTC)))
    await transaction_client.record(MERCHANT, state)
    later = (await client.get(f"/api/Preauth/{body['transactionId']}")).json()
    assert (later["status"], later["redirectUrl"]) == ("Pending", "https://psp.example/s/1")


async def test_an_upgrade_uses_the_agreement(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    store: Store,
    transaction_client: FakeTransactionClient,
) -> None:
    first = await factory.create_preauth()
    key = (MERCHANT, first["transactionId"])
    await store.transactions.save_private(
        *key, instrument={"token": {}, "bearer": {"Last4": "4242"}}
    )
    state = transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, key[1])]
    state.version += 1
    await transaction_client.record(MERCHANT, state)
    upgrade = preauth(isInitial=False, paymentMeansReference={"role": "CreditCard"})
    response = await client.post("/api/Preauth", json=upgrade)
    assert response.status_code == 200
    assert response.json()["bearer"] == {"Last4": "4242"}


async def test_a_capture_and_its_refund(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    captured = await factory.create_capture()
    start = transaction_client.starts[-1]
    assert isinstance(start, PaymentInput)
    assert start.preauth_id == captured["preauthTransactionId"]
    result = (await client.get(f"/api/Payment/{captured['transactionId']}")).json()
    assert result["status"] == "Succeeded"
    assert [item["amount"] for item in result["payments"]] == [119]
    assert result["chargebacks"] == []
    assert result["refundableAmount"] == 119
    assert "dueDate" not in result

    refund_body = refund(captured["transactionId"], requestedAmount=19)
    response = await client.post("/api/Refund", json=refund_body)
    start = transaction_client.starts[-1]
    assert isinstance(start, RefundInput)
    assert start.payment_id == captured["transactionId"]
    assert start.role.name == "CreditCard"
    body = response.json()
    assert body["transactionId"] == refund_body["transactionId"]
    assert body["refundedAmount"] == 19
    assert body["bookingDate"]
    assert (await client.get(f"/api/Refund/{refund_body['transactionId']}")).json() == body


async def test_a_refund_counts_nothing_before_it_is_done(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    captured = await factory.create_capture()
    transaction_client.psp = lambda _: Pending(psp_id="rf_1")
    response = await client.post("/api/Refund", json=refund(captured["transactionId"]))
    assert response.json()["status"] == "Pending"
    assert '"refundedAmount":0.00' in response.text


async def test_a_debit_is_due_on_its_day(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    await factory.create_preauth(paymentMeansReference=debit(), requestedAmount=0)
    transaction_client.psp = lambda _: Pending(psp_id="dd_1")
    body = payment(paymentMeansReference={"role": "Debit"}, plannedExecutionDate="2026-02-19")
    result = (await client.post("/api/Payment", json=body)).json()
    assert result["status"] == "Pending"
    assert result["payments"] == []
    assert result["dueDate"] == "2026-02-19T00:00:00.0000000Z"
    start = transaction_client.starts[-1]
    assert isinstance(start, PaymentInput)
    assert start.execute_on == date(2026, 2, 19)


async def test_a_payment_response_contains_its_chargeback(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    captured = await factory.create_capture()
    state = transaction_client.states[
        (MERCHANT, TransactionKind.PAYMENT, captured["transactionId"])
    ]
    chargeback = Fact(
        kind=FactKind.CHARGED_BACK,
        id="cb_1",
        amount=Decimal("119.00"),
        booked_on=date(2026, 3, 3),
        fee=Decimal("3.5"),
        psp_reason_code="AM04",
    )
    evidence = Evidence(kind=EvidenceKind.NOTIFICATION, source="evt", at=datetime.now(UTC))
    facts = (*state.facts.values(), chargeback)
    state.apply(Approved(psp_id=state.psp_transaction_id, facts=facts), evidence)
    response = await client.get(f"/api/Payment/{captured['transactionId']}")
    (item,) = response.json()["chargebacks"]
    assert item == {
        "externalItemId": "cb_1",
        "amount": 119,
        "bookingDate": "2026-03-03",
        "feeAmount": 3.5,
        "reason": "Unknown",
        "pspReasonCode": "AM04",
    }
    assert response.json()["refundableAmount"] == 0
    assert '"feeAmount":3.50' in response.text


@pytest.mark.parametrize(
    ("returned", "payments", "chargebacks", "refundable"),
    [
        (["40.00"], [("capture", 119)], [("cb_1", 79)], 40),
        (
            ["40.00", "79.00"],
            [("capture", 119), ("cb_1/reinstated", 119)],
            [("cb_1", 119)],
            119,
        ),
    ],
)
async def test_a_payment_response_contains_what_came_back_of_a_chargeback(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    returned: list[str],
    payments: list[tuple[str, int]],
    chargebacks: list[tuple[str, int]],
    refundable: int,
) -> None:
    captured = await factory.create_capture()
    state = transaction_client.states[
        (MERCHANT, TransactionKind.PAYMENT, captured["transactionId"])
    ]
    (capture_id,) = state.facts
    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("119.00"))
    reversals = [
        Fact(
            kind=FactKind.CHARGEBACK_REVERSED,
            id=f"rev_{number}",
            amount=Decimal(amount),
            booked_on=date(2026, 4, number),
            reverses="cb_1",
        )
        for number, amount in enumerate(returned, start=1)
    ]
    evidence = Evidence(kind=EvidenceKind.NOTIFICATION, source="evt", at=datetime.now(UTC))
    facts = (*state.facts.values(), chargeback, *reversals)
    state.apply(Approved(psp_id=state.psp_transaction_id, facts=facts), evidence)
    body = (await client.get(f"/api/Payment/{captured['transactionId']}")).json()
    items = {
        name: [
            (item["externalItemId"].replace(capture_id, "capture"), item["amount"])
            for item in body[name]
        ]
        for name in ("payments", "chargebacks")
    }
    assert items == {"payments": payments, "chargebacks": chargebacks}
    assert body["refundableAmount"] == refundable
    paid = sum(amount for _, amount in payments)
    assert refundable == paid - sum(amount for _, amount in chargebacks)
    if len(payments) > 1:
        assert body["payments"][-1]["bookingDate"] == "2026-04-02"


@pytest.mark.parametrize(("path", "body"), [("/api/Preauth", preauth), ("/api/Payment", payment)])
async def test_a_currency_that_the_psp_cannot_take_is_refused_and_explained(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    path: str,
    body: Callable[..., Body],
) -> None:
    await factory.create_preauth()
    reason = "The PSP's unit of this currency is not certain."
    transaction_client.psp = lambda _: Declined(
        code=PaymentErrorCode.InvalidCurrency, message=reason
    )
    request = body()
    for response in (
        await client.post(path, json=request),
        await client.get(f"{path}/{request['transactionId']}"),
    ):
        error = assert_error(response, 422, "InvalidCurrency")
        assert (error["errorMessage"], error["status"]) == (reason, "Failed")
        assert "pspErrorCode" not in error


@pytest.mark.parametrize(
    ("code", "status"),
    [("InsufficientBalance", 422), ("LimitExceeded", 429), ("LoginError", 401), ("RateLimit", 500)],
)
async def test_a_failed_payment_is_an_error_each_time(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    code: str,
    status: int,
) -> None:
    await factory.create_preauth()
    transaction_client.psp = lambda _: Declined(
        code=PaymentErrorCode[code], psp_code="05", message="No.", psp_id="ch_1"
    )
    body = payment()
    first = await client.post("/api/Payment", json=body)
    error = assert_error(first, status, code)
    assert error["pspErrorCode"] == "05"
    assert error["errorMessage"] == "No."
    transaction_client.states.clear()
    for _ in range(2):
        again = await client.get(f"/api/Payment/{body['transactionId']}")
        assert again.status_code == status
        assert again.json() == error


async def test_a_cancelled_transaction_is_not_an_error(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient
) -> None:
    def cancelled(_: AnyInput) -> Declined:
        return Declined.model_validate({"outcome": "declined", "status": "Cancelled"})

    transaction_client.psp = cancelled
    response = await client.post("/api/Preauth", json=preauth())
    assert response.status_code == 200
    assert response.json()["status"] == "Cancelled"


async def test_yen_have_no_decimals(client: httpx.AsyncClient) -> None:
    response = await client.post("/api/Preauth", json=preauth(currency="JPY", requestedAmount=500))
    assert '"requestedAmount":500,' in response.text


async def test_the_request_is_stored_as_it_was_read(
    client: httpx.AsyncClient, factory: TransactionFactory, store: Store
) -> None:
    order: Body = {
        "planName": "Basic",
        "nextPaymentDate": "2026-02-15T00:00:00.1234567Z",
        "recurringFee": "49.90",
        "feePeriod": {"unit": "Month", "quantity": 1},
    }
    preauth_body = await factory.create_preauth(orderData=order, paymentMeansReference=debit())
    stored_body = await stored_request(store, MERCHANT, preauth_body["transactionId"])
    expected = json_codec.validate(
        PreauthRequest, preauth_body | {"requestedAmount": Decimal("119.0")}
    )
    assert PreauthRequest.model_validate(stored_body) == expected
    assert json_codec.validate(PreauthRequest, stored_body) == expected

    payment_body = await factory.create_payment(
        paymentMeansReference={"role": "Debit"}, plannedExecutionDate="2026-02-19"
    )
    stored_body = await stored_request(store, MERCHANT, payment_body["transactionId"])
    assert PaymentRequest.model_validate(stored_body).planned_execution_date == date(2026, 2, 19)


async def test_a_blank_migration_token_is_ignored(
    factory: TransactionFactory, store: Store
) -> None:
    preauth_body = await factory.create_preauth(migrationToken=" ")
    assert "migrationToken" not in await stored_request(
        store, MERCHANT, preauth_body["transactionId"]
    )


async def test_a_migration_needs_no_return_urls_and_no_payment_data(
    client: httpx.AsyncClient, adapter: FakeAdapter
) -> None:
    adapter.capabilities = adapter.capabilities.model_copy(update={"migration": True})
    for role in ("CreditCard", "Debit"):
        body = preauth(migrationToken="cus_9", paymentMeansReference={"role": role})
        assert (await client.post("/api/Preauth", json=body)).status_code == 200
