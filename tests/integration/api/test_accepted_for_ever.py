"""Transactions accepted once are captured, refunded, repeated and read, also when the API refuses
today: currencies that have left ISO 4217, and dates outside of the limits."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.transactions import validation
from integrator.contract import currencies
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.types import DateWindow, MethodCapability, Pending
from integrator.store import Store
from tests.integration.api.builders import debit, payment, preauth, refund
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import FakeAdapter, FakeTransactionClient
from workflows.messages import PaymentInput

LEFT = "SEK"


@pytest.fixture
def left_the_standard(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that moves the currency from the current ones to the withdrawn ones."""

    def move() -> None:
        decimals = currencies.CURRENT[LEFT]
        monkeypatch.delitem(currencies.CURRENT, LEFT)
        withdrawn = currencies.WithdrawnCurrency(decimals, date(2026, 1, 1))
        monkeypatch.setitem(currencies.WITHDRAWN, LEFT, withdrawn)

    return move


async def test_a_currency_that_left_is_for_older_transactions_only(
    client: httpx.AsyncClient, factory: TransactionFactory, rows: Rows, left_the_standard: Any
) -> None:
    held = await factory.create_preauth(currency=LEFT)
    paid = await factory.create_payment(currency=LEFT)
    left_the_standard()

    for path, body in (("/api/Preauth", held), ("/api/Payment", paid)):
        assert (await client.post(path, json=body)).status_code == 200
        read = await client.get(f"{path}/{body['transactionId']}")
        assert read.json()["currency"] == LEFT
    captured = payment(currency=LEFT, preauthTransactionId=held["transactionId"])
    assert (await client.post("/api/Payment", json=captured)).json()["status"] == "Succeeded"
    for original in (paid, captured):
        back = refund(original["transactionId"], currency=LEFT, requestedAmount=19)
        response = await client.post("/api/Refund", json=back)
        assert response.json()["refundedAmount"] == 19

    before = rows.count()["transactions"]
    for path, body in (("/api/Preauth", preauth()), ("/api/Payment", payment())):
        refused = await client.post(path, json=body | {"currency": LEFT})
        assert_error(refused, 422, "InvalidCurrency")
    assert rows.count()["transactions"] == before


@pytest.mark.parametrize("code", ["BGN", "HRK", "ANG"])
async def test_a_new_charge_in_a_currency_that_has_left_is_refused(
    client: httpx.AsyncClient, factory: TransactionFactory, code: str
) -> None:
    await factory.create_preauth()
    body = assert_error(
        await client.post("/api/Payment", json=payment(currency=code)), 422, "InvalidCurrency"
    )
    assert body["errorMessage"] == f"currency {code} has left ISO 4217."


def planned(day: date) -> dict[str, Any]:
    return payment(paymentMeansReference={"role": "Debit"}, plannedExecutionDate=day.isoformat())


TODAY = datetime.now(UTC).date()


@pytest.mark.parametrize(
    "day", [date.max, date.min, date(1999, 12, 31), TODAY + timedelta(days=402)], ids=str
)
async def test_a_day_on_which_no_debit_is_executed_is_refused(
    client: httpx.AsyncClient, factory: TransactionFactory, rows: Rows, day: date
) -> None:
    await factory.create_preauth(paymentMeansReference=debit(), requestedAmount=0)
    before = rows.count()
    body = assert_error(await client.post("/api/Payment", json=planned(day)), 422, "InvalidData")
    assert body["errorMessage"].startswith("plannedExecutionDate must ")
    assert rows.count() == before


@pytest.mark.parametrize("day", [date(2000, 1, 1), TODAY, TODAY + timedelta(days=399)], ids=str)
async def test_other_days_are_accepted(
    client: httpx.AsyncClient, factory: TransactionFactory, day: date
) -> None:
    await factory.create_preauth(paymentMeansReference=debit(), requestedAmount=0)
    response = await client.post("/api/Payment", json=planned(day))
    assert response.json()["dueDate"].startswith(f"{day}T00:00")


@pytest.mark.parametrize(("latest_days", "waits"), [(14, True), (40, False)])
async def test_a_debit_whose_day_the_psp_does_not_take_yet_waits(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    adapter: FakeAdapter,
    store: Store,
    latest_days: int,
    waits: bool,
) -> None:
    window = DateWindow(earliest_days=3, latest_days=latest_days)
    method = MethodCapability(initial_bearer=True, debit_date_window=window)
    adapter.capabilities = adapter.capabilities.model_copy(update={"methods": {Role.Debit: method}})
    await factory.create_preauth(paymentMeansReference=debit(), requestedAmount=0)
    transaction_client.psp = lambda _: None
    body = planned(TODAY + timedelta(days=30))
    await client.post("/api/Payment", json=body)
    row = await store.transactions.get("demo", body["transactionId"])
    assert row is not None
    start = transaction_client.starts[-1]
    assert isinstance(start, PaymentInput)
    assert start.send_at == row.send_at
    if waits:
        assert row.send_at is not None
        assert row.send_at.date() == TODAY + timedelta(days=30 - latest_days)
    else:
        assert row.send_at is None


async def test_a_debit_accepted_for_the_last_day_is_repeated_and_read(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in versions without a limit."""
    await factory.create_preauth(paymentMeansReference=debit(), requestedAmount=0)
    transaction_client.psp = lambda _: Pending(psp_id="dd_1")
    body = planned(date.max)
    with monkeypatch.context() as patch:
        patch.setattr(validation, "LATEST_EXECUTION", date.max - TODAY)
        first = await client.post("/api/Payment", json=body)
    assert first.json()["dueDate"] == "9999-12-31T00:00:00.0000000Z"
    assert (await client.post("/api/Payment", json=body)).json() == first.json()
    read = await client.get(f"/api/Payment/{body['transactionId']}")
    assert read.json() == first.json()


async def test_the_day_of_a_card_charge_is_not_used(
    client: httpx.AsyncClient, factory: TransactionFactory
) -> None:
    await factory.create_preauth()
    response = await client.post("/api/Payment", json=payment(plannedExecutionDate="9999-12-31"))
    assert response.status_code == 200
    assert "dueDate" not in response.json()
