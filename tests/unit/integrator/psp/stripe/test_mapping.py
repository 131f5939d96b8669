"""Mapping of Stripe's objects to outcomes."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract.currencies import DECIMALS
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import instruments, mapping, request_bodies
from integrator.psp.stripe.client import build_refusal
from integrator.psp.stripe.money import UNITS, to_major, to_minor
from integrator.psp.stripe.wire import (
    Charge,
    CheckoutSession,
    ErrorDetail,
    PaymentIntent,
    PaymentMethod,
    Refund,
    SetupIntent,
)
from integrator.psp.toolkit.money import UnsupportedAmountError
from integrator.psp.toolkit.outcomes import merge_outcomes, verify_reference
from integrator.psp.types import (
    Approved,
    Declined,
    FactKind,
    HoldCapture,
    Outcome,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe import objects

CREATED = datetime.fromtimestamp(objects.CREATED, UTC)


def payment_outcome(now: datetime | None = None, /, **values: Any) -> Outcome:
    status = values.pop("status", "succeeded")
    intent = PaymentIntent.model_validate(objects.intent(status, **values))
    return mapping.payment_outcome(intent, now=now)


def hold_outcome(now: datetime | None = None, /, **values: Any) -> Outcome:
    status = values.pop("status", "requires_capture")
    values = {"capture_method": "manual", **values}
    return mapping.hold_outcome(PaymentIntent.model_validate(objects.intent(status, **values)), now)


def test_a_payment() -> None:
    outcome = payment_outcome()
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "pi_1"
    [fact] = outcome.facts
    assert (fact.id, fact.amount, fact.booked_on) == ("ch_1", Decimal("119.00"), date(2026, 1, 15))


def test_a_payment_is_booked_on_the_day_of_its_balance_transaction() -> None:
    """That of a debit is days after the creation of the intent."""
    entry = objects.balance_transaction(11900, created=objects.CREATED + 5 * 86_400)
    outcome = payment_outcome(latest_charge=objects.charge(balance_transaction=entry))
    assert isinstance(outcome, Approved)
    assert [fact.booked_on for fact in outcome.facts] == [date(2026, 1, 20)]


def test_a_capture_has_the_id_of_its_charge_and_its_own_booking_date() -> None:
    charge = objects.charge(balance_transaction=objects.balance_transaction(10000))
    outcome = payment_outcome(capture_method="manual", amount_received=10000, latest_charge=charge)
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "ch_1"
    [fact] = outcome.facts
    assert (fact.id, fact.amount, fact.booked_on) == ("ch_1", Decimal("100.00"), date(2026, 1, 16))


def test_a_payment_without_a_charge_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        payment_outcome(latest_charge=None)


@pytest.mark.parametrize("status", ["processing", "requires_capture", "brand_new"])
def test_only_success_is_final(status: str) -> None:
    assert payment_outcome(status=status) == Pending(psp_id="pi_1")


@pytest.mark.parametrize("status", ["processing", "brand_new"])
def test_an_undecided_reservation_is_pending(status: str) -> None:
    assert hold_outcome(status=status) == Pending(psp_id="pi_1")


def test_a_failed_attempt_has_its_reason() -> None:
    problem = objects.error_detail(decline_code="insufficient_funds", message="pay with cus_123")
    outcome = payment_outcome(status="requires_payment_method", last_payment_error=problem)
    assert isinstance(outcome, Declined)
    assert (outcome.psp_id, outcome.code) == ("pi_1", Code.InsufficientBalance)
    assert (outcome.psp_code, outcome.message) == ("insufficient_funds", "pay with …")


def test_an_off_session_payment_that_needs_authentication_is_declined() -> None:
    outcome = payment_outcome(status="requires_action")
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.psp_code) == (Code.Rejected, "authentication_required")


@pytest.mark.parametrize("status", ["requires_action", "requires_payment_method"])
def test_a_customer_at_the_page_may_try_again(status: str) -> None:
    problem = objects.error_detail()
    at_page = {"setup_future_usage": "off_session", "last_payment_error": problem}
    assert hold_outcome(status=status, **at_page) == Pending(psp_id="pi_1")


@pytest.mark.parametrize("status", ["requires_confirmation", "requires_payment_method"])
def test_an_intent_that_was_never_confirmed_has_failed(status: str) -> None:
    for outcome_of in (payment_outcome, hold_outcome):
        assert isinstance(outcome_of(CREATED + timedelta(hours=24), status=status), Pending)
        outcome = outcome_of(CREATED + timedelta(hours=25), status=status)
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.PSPConnectionTimeout


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        ("expired", Status.Expired),
        ("automatic", Status.Expired),
        ("requested_by_customer", Status.Cancelled),
        (None, Status.Cancelled),
    ],
)
def test_a_cancelled_hold(reason: str | None, status: Status) -> None:
    outcome = hold_outcome(status="canceled", cancellation_reason=reason)
    assert isinstance(outcome, Declined)
    assert outcome.status is status


@pytest.mark.parametrize("reference", ["pay1", None], ids=["ours", "external"])
def test_a_captured_reservation_names_its_capture(reference: str | None) -> None:
    entry = objects.balance_transaction(5000, created=objects.CREATED + 86_400)
    outcome = hold_outcome(
        status="succeeded",
        amount_received=5000,
        latest_charge=objects.charge(balance_transaction=entry),
        metadata={"reference": "pre1", **({"capture": reference} if reference else {})},
    )
    assert isinstance(outcome, Approved)
    assert outcome.capture == HoldCapture(
        psp_id="ch_1",
        amount=Decimal("50.00"),
        currency="EUR",
        reference=reference,
        booked_on=date(2026, 1, 16),
    )


def test_an_open_reservation_names_no_capture() -> None:
    outcome = hold_outcome()
    assert isinstance(outcome, Approved)
    assert outcome.capture is None


def test_a_reservation_without_expiry_is_approved() -> None:
    outcome = hold_outcome()
    assert isinstance(outcome, Approved)
    assert [(f.kind, f.id, f.expires_at) for f in outcome.facts] == [
        (FactKind.AUTHORIZED, "pi_1", None)
    ]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"status": "succeeded", "captured": True}, Approved),
        ({"status": "succeeded", "captured": False}, Pending),
        ({"status": "pending"}, Pending),
        ({"status": "failed", "failure_code": "expired_card"}, Declined),
    ],
)
def test_a_charge(values: dict[str, Any], expected: type[Outcome]) -> None:
    outcome = mapping.charge_outcome(Charge.model_validate(objects.charge(**values)))
    assert isinstance(outcome, expected)
    assert outcome.psp_id == "ch_1"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("succeeded", Approved),
        ("pending", Pending),
        ("requires_action", Pending),
        ("brand_new", Pending),
        ("failed", Declined),
        ("canceled", Declined),
    ],
)
def test_a_refund(status: str, expected: type[Outcome]) -> None:
    refund = objects.refund(status, failure_reason="expired_or_canceled_card")
    outcome = mapping.refund_outcome(Refund.model_validate(refund))
    assert isinstance(outcome, expected)
    if status == "failed":
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.BearerInvalid


@pytest.mark.parametrize(
    ("entry", "day"),
    [
        (objects.balance_transaction(-5000, created=objects.CREATED + 3 * 86_400), 18),
        ("txn_1", 15),
        (None, 15),
    ],
    ids=["expanded", "an id", "none"],
)
def test_a_refund_is_booked_on_the_day_of_its_balance_transaction(entry: Any, day: int) -> None:
    """It may wait for the merchant's balance; its own creation is all that is known otherwise."""
    refund = objects.refund("succeeded", balance_transaction=entry)
    outcome = mapping.refund_outcome(Refund.model_validate(refund))
    assert isinstance(outcome, Approved)
    assert [fact.booked_on for fact in outcome.facts] == [date(2026, 1, day)]


@pytest.mark.parametrize(
    ("values", "is_released"),
    [
        ({"balance_transaction": None}, True),
        ({"balance_transaction": None, "status": "pending"}, False),
        ({"balance_transaction": "txn_1"}, False),
        (
            {
                "balance_transaction": objects.balance_transaction(
                    -1900, reporting_category="refund"
                )
            },
            False,
        ),
        (
            {
                "balance_transaction": objects.balance_transaction(
                    -1900, reporting_category="partial_capture_reversal"
                )
            },
            True,
        ),
    ],
)
def test_a_released_hold_is_recognised(values: dict[str, Any], is_released: bool) -> None:
    assert Refund.model_validate(objects.refund(**values)).is_released_hold is is_released


def test_an_expired_session_with_a_decline_has_its_code() -> None:
    problem = objects.error_detail("expired_card")
    intent = objects.intent("requires_payment_method", last_payment_error=problem)
    session = objects.session("expired", payment_intent=intent)
    outcome = mapping.session_outcome(CheckoutSession.model_validate(session))
    assert isinstance(outcome, Declined)
    assert (outcome.status, outcome.code) == (Status.Failed, Code.BearerExpired)


def test_a_session_is_expired_or_closed() -> None:
    expired = CheckoutSession.model_validate(objects.session("expired"))
    outcome = mapping.session_outcome(expired)
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Expired
    future = int(datetime.now(UTC).timestamp()) + 3600
    closed = CheckoutSession.model_validate(objects.session("expired", expires_at=future))
    outcome = mapping.session_outcome(closed)
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Cancelled


def test_a_session_without_the_time_of_its_end_is_read() -> None:
    for status, expected in (("open", RedirectRequired), ("expired", Declined)):
        session = CheckoutSession.model_validate(objects.session(status, expires_at=None))
        assert isinstance(mapping.session_outcome(session), expected)


def test_a_completed_session_without_intent_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        mapping.session_outcome(CheckoutSession.model_validate(objects.session("complete")))


def test_a_setup() -> None:
    setup = {"id": "seti_1", "status": "processing", "metadata": {}}
    assert mapping.setup_outcome(SetupIntent.model_validate(setup)) == Pending(psp_id="seti_1")
    failed = {**setup, "status": "requires_payment_method"}
    failed["last_setup_error"] = objects.error_detail("incorrect_number")
    outcome = mapping.setup_outcome(SetupIntent.model_validate(failed))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.BearerInvalid
    canceled = SetupIntent.model_validate({**setup, "status": "canceled"})
    assert isinstance(mapping.setup_outcome(canceled), Declined)


def test_a_looked_up_iban_shows_only_its_end() -> None:
    setup = {
        "id": "seti_1",
        "status": "succeeded",
        "customer": "cus_1",
        "mandate": "mandate_1",
        "payment_method": {
            "id": "pm_1",
            "type": "sepa_debit",
            "billing_details": {"name": "Mia Kern"},
            "sepa_debit": {"country": "DE", "last4": "3000"},
        },
    }
    outcome = mapping.setup_outcome(SetupIntent.model_validate(setup))
    assert isinstance(outcome, Approved)
    assert outcome.instrument is not None
    assert outcome.instrument.bearer == {
        "Holder": "Mia Kern",
        "IBAN": "DE****3000",
        "MandateId": "mandate_1",
    }
    assert outcome.instrument.token == {"payment_method": "pm_1", "customer": "cus_1"}


def test_a_payment_method_without_customer_cannot_be_charged() -> None:
    method = PaymentMethod.model_validate({"id": "pm_1", "type": "card"})
    outcome = instruments.migration_outcome(method, role=Role.CreditCard, currency="EUR")
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.BearerInvalid
    debit = PaymentMethod.model_validate({"id": "pm_1", "type": "sepa_debit", "customer": "cus_1"})
    outcome = instruments.migration_outcome(debit, role=Role.Debit, currency="USD")
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.InvalidCurrency


def test_facts_of_several_objects_are_merged() -> None:
    outcome = merge_outcomes(
        [payment_outcome(), payment_outcome(id="pi_2", latest_charge="ch_2"), Pending(psp_id="x")]
    )
    assert isinstance(outcome, Approved)
    assert [fact.id for fact in outcome.facts] == ["ch_1", "ch_2"]


def test_an_object_of_another_transaction_is_rejected() -> None:
    intent = PaymentIntent.model_validate(objects.intent())
    lookup = builders.lookup("another", "pi_1")
    with pytest.raises(ProtocolError):
        verify_reference(intent, lookup)
    with pytest.raises(ProtocolError):
        verify_reference(intent, builders.lookup(objects.REFERENCE, currency="JPY"))


@pytest.mark.parametrize(
    ("status", "values", "code"),
    [
        (403, {"type": "invalid_request_error"}, Code.InvalidConfiguration),
        (400, {"type": "invalid_request_error", "param": "currency"}, Code.InvalidCurrency),
        (400, {"type": "invalid_request_error", "code": "never_seen"}, Code.InvalidData),
        (404, {"type": "invalid_request_error", "code": "resource_missing"}, Code.BearerInvalid),
        (402, {"type": "card_error", "code": "never_seen"}, Code.Rejected),
        (402, {"type": "card_error", "decline_code": "lost_card"}, Code.BearerInvalid),
    ],
)
def test_a_refusal(status: int, values: dict[str, Any], code: Code) -> None:
    assert build_refusal(status, ErrorDetail.model_validate(values)).declined.code is code


def test_the_checkout_has_the_customers_language_if_supported() -> None:
    for language, locale in (("de", "de"), ("de-AT", "de"), ("xx", None), (None, None)):
        payer = builders.authorize().payer.model_copy(update={"language": language})
        assert request_bodies.checkout_body(builders.authorize(payer=payer))["locale"] == locale


@given(st.decimals(min_value="0.01", max_value="999999.99", places=2, allow_nan=False))
def test_cents_round_trip(amount: Decimal) -> None:
    for currency in ("EUR", "USD", "HUF", "TWD"):
        assert to_minor(amount, currency) == int(amount * 100)
        assert to_major(to_minor(amount, currency), currency) == amount


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("500", "JPY", 500),
        ("500", "UGX", 50000),
        ("5", "ISK", 500),
        ("100.00", "MGA", 100),
        ("1.230", "BHD", 1230),
        ("5.12", "KWD", 5120),
    ],
)
def test_amounts_in_stripes_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(amount), currency) == minor
    assert to_major(minor, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("5.124", "KWD", Code.InvalidAmount),
        ("100.50", "MGA", Code.InvalidAmount),
        ("1.5", "ISK", Code.InvalidAmount),
        ("1.000", "LYD", Code.InvalidCurrency),
        ("1", "XXX", Code.InvalidCurrency),
    ],
)
def test_unsupported_amounts_are_refused(amount: str, currency: str, code: Code) -> None:
    with pytest.raises(UnsupportedAmountError) as refusal:
        to_minor(Decimal(amount), currency)
    assert refusal.value.code is code


def test_every_currency_without_two_decimals_has_a_source_or_is_refused() -> None:
    sourced = {code: row for row in UNITS for code in row.currencies.split()}
    others = {code for code, decimals in DECIMALS.items() if decimals != 2} - set(sourced)
    assert {"IQD", "LYD", "CLF"} <= others
    for code in others:
        with pytest.raises(UnsupportedAmountError) as refusal:
            to_minor(Decimal(1), code)
        assert refusal.value.code is Code.InvalidCurrency
    for code, row in sourced.items():
        assert row.source.startswith("https://docs.stripe.com/currencies#")
        assert to_minor(Decimal(100), code) == 100 * 10**row.decimals
        assert to_major(100 * 10**row.decimals, code) == Decimal(100)


@pytest.mark.parametrize(("minor", "currency"), [(501, "ISK"), (100, "LYD"), (1, "ABC")])
def test_unreadable_amounts_are_a_protocol_error(minor: int, currency: str) -> None:
    with pytest.raises(ProtocolError):
        to_major(minor, currency)
