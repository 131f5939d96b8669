"""Responses built from states."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from api.transactions.responses import build_body, build_error, build_response
from api.transactions.state_reader import Reading
from integrator.contract import (
    PaymentErrorCode,
    PaymentResponse,
    PublicPaymentProviderRole,
    json_codec,
)
from integrator.psp.types import Approved, Declined, Fact, FactKind
from tests.integration.api.builders import NOW, STATE_MEMBERS, transaction_row
from workflows.state import Evidence, EvidenceKind, PaymentState

EVIDENCE = Evidence(kind=EvidenceKind.READ, source="test", at=NOW)


def build_payment_body(*facts: Fact, **changes: Any) -> PaymentResponse:
    state = PaymentState(**STATE_MEMBERS | changes)
    state.apply(Approved(psp_id="p", facts=facts), EVIDENCE)
    response = build_body(
        state, transaction_row(state), {"token": {"secret": "x"}, "bearer": {"IBAN": "DE"}}
    )
    assert isinstance(response, PaymentResponse)
    return response


def paid(id: str, day: date | None, amount: str = "5") -> Fact:
    return Fact(kind=FactKind.PAID, id=id, amount=Decimal(amount), booked_on=day)


def test_items_are_sorted_by_booking() -> None:
    late, early = paid("b", date(2026, 2, 2)), paid("a", date(2026, 2, 1))
    assert [i.external_item_id for i in build_payment_body(late, early).payments] == ["a", "b"]


def test_an_item_without_a_booking_date_has_the_date_of_the_update() -> None:
    (item,) = build_payment_body(paid("a", None)).payments
    assert item.booking_date == date(2026, 1, 15)


def test_only_the_bearer_is_in_the_response() -> None:
    response = build_payment_body()
    assert response.bearer == {"IBAN": "DE"}
    assert b"secret" not in json_codec.encode(response)


def test_amounts_have_the_currencys_decimals() -> None:
    assert b'"amount":5.00' in json_codec.encode(build_payment_body(paid("a", None)))
    yen = build_payment_body(paid("a", None), currency="JPY")
    assert b'"amount":5,' in json_codec.encode(yen)


@pytest.mark.parametrize(("currency", "amount"), [("EUR", "5.005"), ("HRK", "5.1")])
def test_an_amount_that_does_not_fit_its_currency_is_unchanged(currency: str, amount: str) -> None:
    response = build_payment_body(paid("a", None, amount), currency=currency)
    assert response.payments[0].amount == Decimal(amount)


def test_a_card_payment_has_no_due_date() -> None:
    changes = {"due_date": date(2026, 2, 19)}
    assert build_payment_body(**changes).due_date == datetime(2026, 2, 19, tzinfo=UTC)
    card = build_payment_body(**changes, role=PublicPaymentProviderRole.CreditCard)
    assert card.due_date is None


def test_a_failure_without_a_reason() -> None:
    error = build_error(None, NOW)
    assert (error.error_code, error.received_at) == (PaymentErrorCode.UnmappedError, NOW)


def test_a_failed_transaction_is_an_error_without_its_instrument() -> None:
    state = PaymentState(**STATE_MEMBERS)
    state.apply(Declined(code=PaymentErrorCode.BearerExpired, message="Expired"), EVIDENCE)
    response = build_response(Reading(transaction_row(state), state), {"bearer": {"IBAN": "DE"}})
    assert response.status_code == 422
    body = json.loads(bytes(response.body))
    assert (body["errorCode"], body["errorMessage"]) == ("BearerExpired", "Expired")
    assert "bearer" not in body
