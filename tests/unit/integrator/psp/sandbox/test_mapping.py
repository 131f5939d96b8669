"""Mapping of the sandbox PSP's objects to outcomes."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import ProtocolError
from integrator.psp.sandbox import instruments, mapping, request_bodies
from integrator.psp.sandbox.wire import (
    Authorization,
    Charge,
    CheckoutSession,
    Mandate,
    PaymentMethod,
    Refund,
)
from integrator.psp.toolkit.outcomes import merge_outcomes, verify_reference
from integrator.psp.types import (
    Approved,
    Declined,
    FactKind,
    Instrument,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.builders import (
    CARD,
    GOOD_IBAN,
    REFERENCE,
    authorization_json,
    card_json,
    charge_json,
    failure_json,
    mandate_json,
    refund_json,
    session_json,
)

CARD_BEARER = {
    "CardType": "visa",
    "Country": "DE",
    "ExpiryMonth": "8",
    "ExpiryYear": "2030",
    "Holder": "Mia Kern",
    "Last4": "4242",
    "MaskedCardPan": "424242XXXXXX4242",
}
EXPIRES_AT = datetime(2026, 1, 22, 9, 0, tzinfo=UTC)


def session_outcome(status: str, **values: Any) -> Outcome:
    psp_object = CheckoutSession.model_validate(session_json(status, **values))
    return mapping.session_outcome(psp_object)


def authorization_outcome(status: str, **values: Any) -> Outcome:
    psp_object = Authorization.model_validate(authorization_json(status, **values))
    return mapping.authorization_outcome(psp_object)


def charge_outcome(status: str, **values: Any) -> Outcome:
    return mapping.charge_outcome(Charge.model_validate(charge_json(status, **values)))


def refund_outcome(status: str, **values: Any) -> Outcome:
    return mapping.refund_outcome(Refund.model_validate(refund_json(status, **values)))


def payment_method(**values: Any) -> PaymentMethod:
    return PaymentMethod.model_validate(card_json(**values))


class TestCheckout:
    def test_open_is_a_redirect(self) -> None:
        assert session_outcome("open") == RedirectRequired(
            psp_id="cs_1", url="https://psp.example/checkout/cs_1", expires_at=EXPIRES_AT
        )

    def test_completed_has_the_outcome_of_its_authorization(self) -> None:
        outcome = session_outcome("completed", authorization=authorization_json())
        assert isinstance(outcome, Approved)
        assert outcome.psp_id == "auth_1"
        (fact,) = outcome.facts
        assert (fact.kind, fact.id) == (FactKind.AUTHORIZED, "auth_1")
        assert fact.amount == Decimal("119.00")
        assert fact.expires_at == EXPIRES_AT
        assert outcome.instrument == Instrument(
            token={"payment_method": "pm_1", "customer": "cus_1"}, bearer=CARD_BEARER
        )

    def test_a_completed_set_up_reserves_nothing(self) -> None:
        outcome = session_outcome("completed", mode="setup", payment_method=card_json())
        assert isinstance(outcome, Approved)
        assert (outcome.psp_id, outcome.facts) == (None, ())
        assert outcome.instrument is not None

    def test_a_completed_session_without_authorization_is_a_protocol_error(self) -> None:
        with pytest.raises(ProtocolError):
            session_outcome("completed")

    def test_failed_is_declined(self) -> None:
        outcome = session_outcome(
            "failed", failure=failure_json("card_declined", "The card was declined.")
        )
        assert outcome == Declined(
            psp_id="cs_1",
            code=Code.Rejected,
            psp_code="card_declined",
            message="The card was declined.",
        )

    @pytest.mark.parametrize(
        ("status", "expected", "code"),
        [
            ("cancelled", Status.Cancelled, Code.Canceled),
            ("expired", Status.Expired, Code.UnmappedError),
        ],
    )
    def test_other_ends(self, status: str, expected: Status, code: Code) -> None:
        outcome = session_outcome(status)
        assert isinstance(outcome, Declined)
        assert (outcome.status, outcome.code) == (expected, code)

    def test_request_body(self) -> None:
        call = builders.authorize("119", ref=REFERENCE, text="t" * 600)
        assert request_bodies.checkout_body(call) == {
            "reference": REFERENCE,
            "mode": "authorize",
            "amount": 11900,
            "currency": "EUR",
            "success_url": "https://shop.example/ok",
            "error_url": "https://shop.example/error",
            "cancel_url": "https://shop.example/abort",
            "description": "t" * 500,
            "language": "de",
            "customer": {"name": "Mia Kern", "email": "mia.kern@example.org"},
        }

    def test_amount_zero_is_a_set_up(self) -> None:
        body = request_bodies.checkout_body(builders.authorize("0", payer=Payer()))
        assert (body["mode"], body["amount"], body["customer"]) == ("setup", 0, None)


class TestAuthorization:
    @pytest.mark.parametrize("status", ["authorized", "captured"])
    def test_authorized_and_captured_are_approved(self, status: str) -> None:
        outcome = authorization_outcome(status)
        assert isinstance(outcome, Approved)
        assert outcome.facts[0].amount == Decimal("119.00")

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("declined", Status.Failed),
            ("voided", Status.Cancelled),
            ("expired", Status.Expired),
        ],
    )
    def test_ends(self, status: str, expected: Status) -> None:
        outcome = authorization_outcome(status, failure=failure_json("insufficient_funds"))
        assert isinstance(outcome, Declined)
        assert outcome.status is expected
        assert outcome.psp_id == "auth_1"

    @pytest.mark.parametrize("status", ["pending", "under_review"])
    def test_unknown_statuses_are_pending(self, status: str) -> None:
        assert authorization_outcome(status) == Pending(psp_id="auth_1")

    @pytest.mark.parametrize(
        ("status", "expected"),
        [
            ("voided", Approved(psp_id="auth_1")),
            ("authorized", Pending(psp_id="auth_1")),
            ("who_knows", Pending(psp_id="auth_1")),
        ],
    )
    def test_void(self, status: str, expected: Outcome) -> None:
        psp_object = Authorization.model_validate(authorization_json(status))
        assert mapping.void_outcome(psp_object, voided_status="voided") == expected

    @pytest.mark.parametrize("status", ["captured", "expired", "declined"])
    def test_too_late_to_void(self, status: str) -> None:
        psp_object = Authorization.model_validate(authorization_json(status))
        outcome = mapping.void_outcome(psp_object, voided_status="voided")
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.InvalidPreconditions

    @pytest.mark.parametrize(
        ("status", "outcome"),
        [("cancelled", "approved"), ("open", "pending"), ("completed", "declined")],
    )
    def test_closing_a_checkout(self, status: str, outcome: str) -> None:
        psp_object = CheckoutSession.model_validate(session_json(status))
        assert mapping.void_outcome(psp_object, voided_status="cancelled").outcome == outcome


class TestCharge:
    def test_succeeded_is_paid(self) -> None:
        outcome = charge_outcome("succeeded")
        assert isinstance(outcome, Approved)
        (fact,) = outcome.facts
        assert (fact.kind, fact.id, fact.amount) == (FactKind.PAID, "ch_1", Decimal("119.00"))
        assert (fact.booked_on, fact.description) == (date(2026, 1, 15), None)

    def test_amounts_have_the_decimals_of_their_currency(self) -> None:
        outcome = charge_outcome("succeeded", amount=500, currency="JPY")
        assert isinstance(outcome, Approved)
        assert str(outcome.facts[0].amount) == "500"

    def test_chargebacks_are_separate_facts(self) -> None:
        chargeback = {
            "id": "cb_1",
            "amount": 4900,
            "fee_amount": 350,
            "booked_on": "2026-03-03",
            "reason_code": "AM04",
            "reason_message": "Account not covered",
        }
        outcome = charge_outcome("succeeded", chargebacks=[chargeback])
        assert isinstance(outcome, Approved)
        paid, charged_back = outcome.facts
        assert paid.kind is FactKind.PAID
        assert (charged_back.kind, charged_back.id) == (FactKind.CHARGED_BACK, "cb_1")
        assert (charged_back.amount, charged_back.fee) == (Decimal("49.00"), Decimal("3.50"))
        assert charged_back.reason is Reason.InsufficientBalance
        assert charged_back.psp_reason_code == "AM04"
        assert charged_back.psp_reason_message == "Account not covered"
        assert charged_back.booked_on == date(2026, 3, 3)

    def test_what_comes_back_of_a_chargeback_is_a_fact_of_its_own(self) -> None:
        reversals = [
            {"id": "cbr_1", "amount": 900, "booked_on": "2026-04-01"},
            {"id": "cbr_2", "amount": 4000},
        ]
        chargeback = {"id": "cb_1", "amount": 4900, "reversals": reversals}
        outcome = charge_outcome("succeeded", chargebacks=[chargeback])
        assert isinstance(outcome, Approved)
        _, taken, *returned = outcome.facts
        assert (taken.id, taken.amount) == ("cb_1", Decimal("49.00"))
        assert [(fact.kind, fact.id, fact.reverses, fact.amount) for fact in returned] == [
            (FactKind.CHARGEBACK_REVERSED, "cbr_1", "cb_1", Decimal("9.00")),
            (FactKind.CHARGEBACK_REVERSED, "cbr_2", "cb_1", Decimal("40.00")),
        ]
        assert [fact.booked_on for fact in returned] == [date(2026, 4, 1), None]

    @pytest.mark.parametrize("status", ["pending", "on_its_way"])
    def test_open(self, status: str) -> None:
        assert charge_outcome(status) == Pending(psp_id="ch_1")

    @pytest.mark.parametrize("status", ["failed", "declined"])
    def test_declined(self, status: str) -> None:
        outcome = charge_outcome(status, failure=failure_json("insufficient_funds"))
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.status) == (Code.InsufficientBalance, Status.Failed)

    def test_declined_without_a_reason(self) -> None:
        outcome = charge_outcome("failed")
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.Rejected

    def test_request_body(self) -> None:
        call = builders.charge("49.90", ref=REFERENCE, execute_on=date(2026, 2, 19), text="INV-1")
        assert request_bodies.charge_body(call, CARD.token) == {
            "reference": REFERENCE,
            "amount": 4990,
            "currency": "EUR",
            "payment_method": "pm_1",
            "execute_on": "2026-02-19",
            "description": "INV-1",
        }

    def test_facts_of_several_objects_are_merged(self) -> None:
        outcomes = [
            charge_outcome("failed"),
            charge_outcome("succeeded", id="ch_2"),
            charge_outcome("succeeded", id="ch_3"),
        ]
        merged = merge_outcomes(outcomes)
        assert isinstance(merged, Approved)
        assert merged.psp_id == "ch_2"
        assert [fact.id for fact in merged.facts] == ["ch_2", "ch_3"]

    def test_pending_takes_precedence_over_declined(self) -> None:
        merged = merge_outcomes([charge_outcome("failed"), charge_outcome("pending", id="ch_2")])
        assert merged == Pending(psp_id="ch_2")

    def test_an_open_checkout_takes_precedence_over_an_expired_one(self) -> None:
        merged = merge_outcomes([session_outcome("expired"), session_outcome("open", id="cs_2")])
        assert merged is not None
        assert merged.psp_id == "cs_2"


class TestRefund:
    def test_succeeded_is_refunded(self) -> None:
        outcome = refund_outcome("succeeded")
        assert isinstance(outcome, Approved)
        (fact,) = outcome.facts
        assert (fact.kind, fact.id, fact.amount) == (FactKind.REFUNDED, "re_1", Decimal("19.00"))
        assert fact.booked_on == date(2026, 1, 16)

    def test_open_and_failed(self) -> None:
        assert refund_outcome("pending") == Pending(psp_id="re_1")
        assert refund_outcome("failed").outcome == "declined"

    def test_request_body(self) -> None:
        call = builders.refund("19.00", ref=REFERENCE, text="Sorry")
        assert request_bodies.refund_body(call) == {
            "reference": REFERENCE,
            "charge": "ch_1",
            "amount": 1900,
            "description": "Sorry",
        }


class TestInstruments:
    def test_a_mandate(self) -> None:
        mandate = Mandate.model_validate(mandate_json(bic="COBADEFFXXX"))
        outcome = instruments.mandate_outcome(mandate)
        assert isinstance(outcome, Approved)
        assert (outcome.psp_id, outcome.facts) == ("mdt_1", ())
        assert outcome.instrument == Instrument(
            token={"payment_method": "mdt_1", "customer": "cus_2"},
            bearer={
                "Holder": "Mia Kern",
                "IBAN": GOOD_IBAN,
                "BIC": "COBADEFFXXX",
                "MandateId": "mdt_1",
            },
        )

    def test_a_mandate_that_is_not_signed_yet(self) -> None:
        mandate = Mandate.model_validate(mandate_json("pending"))
        assert instruments.mandate_outcome(mandate) == Pending(psp_id="mdt_1")

    @pytest.mark.parametrize(
        ("month", "year", "expected"),
        [
            ("08", "2030", ("8", "2030")),
            ("12", "30", ("12", "2030")),
            (1, 2030, ("1", "2030")),
            (None, None, (None, None)),
        ],
    )
    def test_card_expiry(self, month: Any, year: Any, expected: tuple[str, str]) -> None:
        card = card_json()["card"] | {"exp_month": month, "exp_year": year}
        instrument = instruments.instrument_from_method(payment_method(card=card))
        assert instrument is not None
        bearer = instrument.bearer
        assert (bearer.get("ExpiryMonth"), bearer.get("ExpiryYear")) == expected

    @pytest.mark.parametrize(
        ("values", "role", "code"),
        [
            ({}, Role.Debit, Code.InvalidData),
            ({"currency": "USD"}, Role.CreditCard, Code.InvalidCurrency),
            ({"status": "detached"}, Role.CreditCard, Code.BearerInvalid),
        ],
    )
    def test_payment_methods_that_cannot_be_migrated(
        self, values: dict[str, Any], role: Role, code: Code
    ) -> None:
        outcome = instruments.migration_outcome(payment_method(**values), role=role, currency="EUR")
        assert isinstance(outcome, Declined)
        assert outcome.code is code

    def test_a_migrated_card_does_not_disclose_its_token(self) -> None:
        outcome = instruments.migration_outcome(
            payment_method(), role=Role.CreditCard, currency="EUR"
        )
        assert isinstance(outcome, Approved)
        assert (outcome.psp_id, outcome.facts) == (None, ())
        assert outcome.instrument is not None
        assert outcome.instrument.bearer == CARD_BEARER

    def test_repr_of_wire_models_shows_no_content(self) -> None:
        text = repr([payment_method(), Mandate.model_validate(mandate_json())])
        assert "Mia" not in text
        assert GOOD_IBAN not in text


class TestVerifyReference:
    @pytest.mark.parametrize("values", [{"reference": "20260115-other"}, {"currency": "JPY"}])
    def test_an_object_of_another_transaction_is_rejected(self, values: dict[str, str]) -> None:
        psp_object = Charge.model_validate(charge_json(**values))
        with pytest.raises(ProtocolError):
            verify_reference(psp_object, builders.lookup())

    def test_an_object_without_a_reference_is_accepted(self) -> None:
        psp_object = Charge.model_validate(charge_json(reference=None))
        assert verify_reference(psp_object, builders.lookup()) is psp_object
