"""Unit tests: path normalization, circuit breaker, workflow inputs and responses."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from api.circuit_breaker import CircuitBreaker
from api.server.path_normalization import PathNormalization
from api.transactions.responses import build_body, build_error
from integrator.contract import (
    PaymentErrorCode,
    PaymentResponse,
    PublicPaymentProviderRole,
    json_codec,
)
from integrator.psp.types import Approved, Fact, FactKind
from integrator.store import TransactionRow
from integrator.transactions.workflow_inputs import build_input, read_state
from tests.api.builders import UNKNOWN
from workflows.messages import PaymentInput, PreauthInput, RefundInput
from workflows.state import (
    Evidence,
    EvidenceKind,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)

NOW = datetime(2026, 1, 15, 9, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "transaction_id": UNKNOWN,
    "external_id": "e" * 24,
    "role": PublicPaymentProviderRole.Debit,
    "currency": "EUR",
    "requested_amount": Decimal("10"),
    "last_updated": NOW,
}
TEMPLATES = ["/api/Preauth", "/api/Preauth/{transactionId}", "/api/Preauth/Finalize"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/PREAUTH", "/api/Preauth"),
        ("/Api/preauth/", "/api/Preauth"),
        ("/preauth/AbC", "/api/Preauth/AbC"),
        ("/preauth/finalize", "/api/Preauth/Finalize"),
        ("/preauth//", "/preauth//"),
        ("/preauth/a/b", "/preauth/a/b"),
        ("/docs", "/docs"),
        ("/", "/"),
        ("", ""),
    ],
)
def test_paths_are_normalized(path: str, expected: str) -> None:
    async def unreachable(*_: object) -> None:
        raise AssertionError

    assert PathNormalization(unreachable, TEMPLATES).normalize(path) == expected


def test_the_breaker_closes_by_itself() -> None:
    now = [100.0]
    breaker = CircuitBreaker(pause=5, clock=lambda: now[0])
    assert not breaker.is_open
    breaker.trip()
    assert breaker.is_open
    now[0] += 5
    assert not breaker.is_open


class TestWorkflowInputs:
    common: dict[str, Any] = {  # noqa: RUF012 - never changed
        "merchant_id": "demo",
        "psp": "fake",
        "psp_settings_id": "s" * 24,
        "transaction_id": UNKNOWN,
        "external_id": "e" * 24,
        "role": "Debit",
        "currency": "EUR",
        "requested_amount": Decimal("10.00"),
        "key_window_seconds": 60,
    }

    def test_inputs_of_each_kind(self) -> None:
        preauth = build_input(**self.common, kind="preauth", related_id=None, snapshot=None)
        assert isinstance(preauth, PreauthInput)
        assert preauth.role is PublicPaymentProviderRole.Debit
        payment = build_input(
            **self.common,
            kind=TransactionKind.PAYMENT,
            related_id="p",
            snapshot=None,
            execute_on=date(2026, 2, 19),
        )
        assert isinstance(payment, PaymentInput)
        assert (payment.preauth_id, payment.execute_on) == ("p", date(2026, 2, 19))
        refund = build_input(**self.common, kind="refund", related_id="p", snapshot=None)
        assert isinstance(refund, RefundInput)
        assert refund.payment_id == "p"
        assert [start.resume for start in (preauth, payment, refund)] == [None] * 3

    def test_input_from_a_snapshot(self) -> None:
        state = PaymentState(**COMMON, due_date=date(2026, 2, 19))
        start = build_input(
            **self.common, kind="payment", related_id=None, snapshot=state.model_dump_json()
        )
        assert isinstance(start, PaymentInput)
        assert start.resume == state
        assert start.execute_on == date(2026, 2, 19)

    def test_a_refund_requires_its_payment(self) -> None:
        with pytest.raises(ValueError, match="payment"):
            build_input(**self.common, kind="refund", related_id=None, snapshot=None)

    @pytest.mark.parametrize(
        "state",
        [
            PreauthState(**COMMON),
            PaymentState(**COMMON),
            RefundState(**COMMON, payment_id="p"),
        ],
    )
    def test_snapshots_are_read_back(
        self, state: PreauthState | PaymentState | RefundState
    ) -> None:
        assert read_state(state.kind, state.model_dump_json()) == state


class TestResponses:
    def row(self) -> TransactionRow:
        return TransactionRow(
            merchant_id="demo",
            transaction_id=UNKNOWN,
            kind="payment",
            fingerprint="f" * 64,
            external_id="e" * 24,
            agreement_id="agr-1",
            related_id=None,
            psp="fake",
            psp_settings_id="s" * 24,
            role="Debit",
            currency="EUR",
            requested_amount=Decimal(10),
            private=None,
            psp_transaction_id=None,
            psp_session_id=None,
            status="Initiated",
            version=0,
            snapshot="{}",
            evidence=None,
            created_at=NOW,
            updated_at=NOW,
            told_at=None,
        )

    def payment(self, *facts: Fact, **changes: Any) -> PaymentResponse:
        state = PaymentState(**COMMON | changes)
        evidence = Evidence(kind=EvidenceKind.READ, source="test", at=NOW)
        state.apply(Approved(psp_id="p", facts=facts), evidence)
        response = build_body(
            state, self.row(), {"token": {"secret": "x"}, "bearer": {"IBAN": "DE"}}
        )
        assert isinstance(response, PaymentResponse)
        return response

    def paid(self, id: str, day: date | None, amount: str = "5") -> Fact:
        return Fact(kind=FactKind.PAID, id=id, amount=Decimal(amount), booked_on=day)

    def test_items_are_sorted_by_booking(self) -> None:
        late, early = self.paid("b", date(2026, 2, 2)), self.paid("a", date(2026, 2, 1))
        assert [i.external_item_id for i in self.payment(late, early).payments] == ["a", "b"]

    def test_an_item_without_a_booking_date_has_the_date_of_the_update(self) -> None:
        (item,) = self.payment(self.paid("a", None)).payments
        assert item.booking_date == date(2026, 1, 15)

    def test_only_the_bearer_is_in_the_response(self) -> None:
        response = self.payment()
        assert response.bearer == {"IBAN": "DE"}
        assert b"secret" not in json_codec.encode(response)

    def test_amounts_have_the_currencys_decimals(self) -> None:
        assert b'"amount":5.00' in json_codec.encode(self.payment(self.paid("a", None)))
        yen = self.payment(self.paid("a", None), currency="JPY")
        assert b'"amount":5,' in json_codec.encode(yen)

    @pytest.mark.parametrize(("currency", "amount"), [("EUR", "5.005"), ("HRK", "5.1")])
    def test_an_amount_that_does_not_fit_its_currency_is_unchanged(
        self, currency: str, amount: str
    ) -> None:
        response = self.payment(self.paid("a", None, amount), currency=currency)
        assert response.payments[0].amount == Decimal(amount)

    def test_a_card_payment_has_no_due_date(self) -> None:
        changes = {"due_date": date(2026, 2, 19)}
        assert self.payment(**changes).due_date == datetime(2026, 2, 19, tzinfo=UTC)
        card = self.payment(**changes, role=PublicPaymentProviderRole.CreditCard)
        assert card.due_date is None

    def test_a_failure_without_a_reason(self) -> None:
        error = build_error(None, NOW)
        assert (error.error_code, error.received_at) == (PaymentErrorCode.UnmappedError, NOW)
