"""Mapping of GoCardless' objects to outcomes, with the official fixtures."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless import mapping, request_bodies
from integrator.psp.gocardless.wire import (
    BankAccount,
    BillingRequest,
    Creditor,
    Event,
    Flow,
    Mandate,
    Payment,
    Refund,
    Resource,
)
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.types import (
    Approved,
    Declined,
    FactKind,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.gocardless import objects
from tests.integration.integrator.psp.gocardless.objects import FIXTURES

TEN = Decimal("10.00")


def payment_outcome(status: str, *events: dict[str, Any]) -> Outcome:
    read = [Event.model_validate(event) for event in events]
    return mapping.payment_outcome(Payment.model_validate(objects.payment(status)), read)


def fact_amounts(outcome: Outcome) -> list[tuple[FactKind, Decimal]]:
    assert isinstance(outcome, Approved)
    return [(fact.kind, fact.amount) for fact in outcome.facts]


class TestOfficialFixtures:
    @pytest.mark.parametrize(
        ("name", "model"),
        [
            ("payment", Payment),
            ("refund", Refund),
            ("mandate", Mandate),
            ("bank_account", BankAccount),
            ("billing_request", BillingRequest),
            ("flow", Flow),
            ("creditor_in_events", Creditor),
        ],
    )
    def test_fixtures_are_parsed(self, name: str, model: type[Resource]) -> None:
        (envelope,) = FIXTURES[name]
        assert envelope == model.kind
        read = model.model_validate(FIXTURES[name][envelope])
        assert read.id == FIXTURES[name][envelope]["id"]

    def test_an_event_is_parsed(self) -> None:
        read = Event.model_validate(FIXTURES["event_list"]["events"][0])
        assert (read.resource_type, read.action) == ("mandates", "cancelled")
        assert read.details.cause == "bank_account_disabled"

    def test_repr_shows_only_the_id(self) -> None:
        read = BillingRequest.model_validate(FIXTURES["billing_request"]["billing_requests"])
        assert repr(read) == "BillingRequest(id='BRQ123')"


class TestPayments:
    @pytest.mark.parametrize(
        "status",
        ["pending_customer_approval", "pending_submission", "submitted", "tomorrows_status"],
    )
    def test_undecided(self, status: str) -> None:
        assert payment_outcome(status) == Pending(psp_id="PM123")

    @pytest.mark.parametrize("status", ["confirmed", "paid_out"])
    def test_collected(self, status: str) -> None:
        outcome = payment_outcome(status)
        assert isinstance(outcome, Approved)
        (fact,) = outcome.facts
        assert (fact.kind, fact.id, fact.amount) == (FactKind.PAID, "PM123", TEN)
        assert fact.booked_on == date(2014, 5, 21)

    def test_failed(self) -> None:
        outcome = payment_outcome("failed", objects.failure("insufficient_funds"))
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.psp_code) == (Code.InsufficientBalance, "insufficient_funds")
        assert (outcome.status, outcome.facts) == (Status.Failed, ())

    @pytest.mark.parametrize("seen", ["confirmed", "paid_out", "late_failure_settled"])
    def test_failed_after_it_was_collected(self, seen: str) -> None:
        outcome = payment_outcome("failed", objects.failure("refer_to_payer"), objects.event(seen))
        assert fact_amounts(outcome) == [(FactKind.PAID, TEN), (FactKind.CHARGED_BACK, TEN)]
        assert isinstance(outcome, Approved)
        chargeback = outcome.facts[1]
        assert chargeback.id == "PM123/charged_back"
        assert chargeback.booked_on == date(2014, 1, 1)
        assert (chargeback.reason, chargeback.psp_reason_code) == (
            Reason.Rejected,
            "refer_to_payer",
        )

    def test_the_newest_failure_is_the_reason(self) -> None:
        outcome = payment_outcome(
            "failed",
            objects.failure("bank_account_closed"),
            objects.event("resubmission_requested"),
            objects.failure("insufficient_funds"),
        )
        assert isinstance(outcome, Declined)
        assert outcome.code is Code.BearerInvalid

    def test_failed_with_a_retry_is_pending(self) -> None:
        outcome = payment_outcome("failed", objects.failure("insufficient_funds", will_retry=True))
        assert outcome == Pending(psp_id="PM123")

    @pytest.mark.parametrize(
        ("cause", "code", "status"),
        [
            ("payment_cancelled", Code.Canceled, Status.Cancelled),
            ("mandate_cancelled", Code.BearerInvalid, Status.Failed),
            ("bank_account_closed", Code.BearerInvalid, Status.Failed),
        ],
    )
    def test_cancelled(self, cause: str, code: Code, status: Status) -> None:
        outcome = payment_outcome("cancelled", objects.failure(cause, "cancelled"))
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.status, outcome.psp_code) == (code, status, cause)

    @pytest.mark.parametrize("events", [(), (objects.event("confirmed"),)])
    def test_failed_without_its_event_is_a_protocol_error(
        self, events: tuple[dict[str, Any], ...]
    ) -> None:
        with pytest.raises(ProtocolError):
            payment_outcome("failed", *events)

    def test_charged_back_without_its_event(self) -> None:
        outcome = payment_outcome("charged_back")
        assert fact_amounts(outcome) == [(FactKind.PAID, TEN), (FactKind.CHARGED_BACK, TEN)]
        assert isinstance(outcome, Approved)
        assert outcome.facts[1].reason is Reason.Unknown

    def test_charged_back_keeps_its_id(self) -> None:
        known = payment_outcome("charged_back", objects.failure("refund_requested", "charged_back"))
        gone = payment_outcome("charged_back")
        assert isinstance(known, Approved)
        assert isinstance(gone, Approved)
        assert [fact.id for fact in known.facts] == [fact.id for fact in gone.facts]
        assert known.facts[1].reason is Reason.UserInitiated

    @pytest.mark.parametrize(
        ("status", "code", "ended"),
        [
            ("cancelled", Code.Canceled, Status.Cancelled),
            ("customer_approval_denied", Code.Rejected, Status.Failed),
        ],
    )
    def test_never_collected(self, status: str, code: Code, ended: Status) -> None:
        outcome = payment_outcome(status)
        assert isinstance(outcome, Declined)
        assert (outcome.code, outcome.status, outcome.facts) == (code, ended, ())

    @pytest.mark.parametrize(
        ("cause", "code"),
        [
            ("mandate_cancelled", Code.BearerInvalid),
            ("mandate_expired", Code.BearerExpired),
            ("invalid_bank_details", Code.BearerInvalid),
            ("refer_to_payer", Code.Rejected),
            ("tomorrows_cause", Code.Rejected),
        ],
    )
    def test_causes(self, cause: str, code: Code) -> None:
        outcome = payment_outcome("failed", objects.failure(cause))
        assert isinstance(outcome, Declined)
        assert outcome.code is code


class TestRefunds:
    @pytest.mark.parametrize("status", ["created", "pending_submission", "submitted", "new_word"])
    def test_undecided(self, status: str) -> None:
        outcome = mapping.refund_outcome(Refund.model_validate(objects.refund(status)))
        assert outcome == Pending(psp_id="RF123")

    def test_paid(self) -> None:
        outcome = mapping.refund_outcome(Refund.model_validate(objects.refund()))
        assert fact_amounts(outcome) == [(FactKind.REFUNDED, Decimal("1.50"))]

    @pytest.mark.parametrize(
        ("status", "ended"),
        [
            ("bounced", Status.Failed),
            ("funds_returned", Status.Failed),
            ("cancelled", Status.Cancelled),
        ],
    )
    def test_failed_refunds(self, status: str, ended: Status) -> None:
        outcome = mapping.refund_outcome(Refund.model_validate(objects.refund(status)))
        assert isinstance(outcome, Declined)
        assert (outcome.status, outcome.psp_code, outcome.facts) == (ended, status, ())


class TestSignUps:
    def request(self, status: str) -> BillingRequest:
        return BillingRequest.model_validate(objects.billing_request(status))

    @pytest.mark.parametrize("status", ["pending", "ready_to_fulfil"])
    def test_open(self, status: str) -> None:
        outcome = mapping.sign_up_outcome(self.request(status))
        assert isinstance(outcome, RedirectRequired)
        created_at = datetime(2015, 1, 1, 12, tzinfo=UTC)
        assert (outcome.url, outcome.expires_at) == (None, created_at + timedelta(days=7))

    def test_cancelled_sign_up(self) -> None:
        outcome = mapping.sign_up_outcome(self.request("cancelled"))
        assert isinstance(outcome, Declined)
        assert outcome.status is Status.Cancelled

    @pytest.mark.parametrize("status", ["fulfilling", "new_word"])
    def test_undecided(self, status: str) -> None:
        assert mapping.sign_up_outcome(self.request(status)) == Pending(psp_id="BRQ123")

    def test_fulfilled_sign_up(self) -> None:
        mandate = Mandate.model_validate(objects.mandate())
        outcome = mapping.fulfilled_outcome(self.request("fulfilled"), mandate, None)
        assert isinstance(outcome, Approved)
        assert outcome.psp_id == "BRQ123"
        assert outcome.instrument is not None
        assert outcome.instrument.token == {"mandate": "MD123"}
        assert outcome.instrument.bearer == {
            "Holder": "Billie Jean",
            "Last4": "1234",
            "MandateId": "REF-123",
        }

    def test_fulfilled_without_a_mandate_is_a_protocol_error(self) -> None:
        with pytest.raises(ProtocolError):
            mapping.fulfilled_outcome(self.request("fulfilled"), None, None)

    @pytest.mark.parametrize(
        ("status", "usable"),
        [
            ("pending_customer_approval", True),
            ("pending_submission", True),
            ("submitted", True),
            ("active", True),
            ("failed", False),
            ("cancelled", False),
            ("expired", False),
            ("consumed", False),
            ("blocked", False),
            ("suspended_by_payer", False),
            ("new_word", False),
        ],
    )
    def test_mandates(self, status: str, usable: bool) -> None:
        outcome = mapping.mandate_outcome(Mandate.model_validate(objects.mandate(status)))
        assert isinstance(outcome, Approved if usable else Declined)


class TestBodies:
    @pytest.mark.parametrize(
        ("name", "names"),
        [
            ("Mia Kern", {"given_name": "Mia", "family_name": "Kern"}),
            ("Anna Maria Kern", {"given_name": "Anna Maria", "family_name": "Kern"}),
            ("Nordlicht", {"company_name": "Nordlicht"}),
            (None, {}),
        ],
    )
    def test_names(self, name: str | None, names: dict[str, str]) -> None:
        call = builders.authorize(role=Role.Debit, payer=Payer(name=name, language="de"))
        prefilled = request_bodies.flow_body(call, "BRQ1")["prefilled_customer"]
        assert (prefilled or {}) == names

    def test_an_unsupported_language_is_left_out(self) -> None:
        call = builders.authorize(role=Role.Debit, payer=Payer(language="fi", country="FI"))
        body = request_bodies.flow_body(call, "BRQ1")
        assert body["language"] is None
        assert body["prefilled_customer"] == {"country_code": "FI"}

    @pytest.mark.parametrize(
        ("role", "text", "expected"),
        [
            (Role.Debit, "Pro plan März", "Pro plan Marz"),
            (Role.Debit, None, "20260115-65a7f1c2c2d3e4f506172a02"),
            (Role.Betalingsservice, "Plan | & <Pro>", "Plan Pro"),
            (Role.Betalingsservice, "x" * 31, "60115-65a7f1c2c2d3e4f506172a02"[-30:]),
            (Role.Autogiro, "INV-2026-1", "INV-2026-1"),
            (Role.Autogiro, "INV-2026-0042", "4f506172a02"),
        ],
    )
    def test_statement_text(self, role: Role, text: str | None, expected: str) -> None:
        call = builders.charge(ref=objects.REFERENCE, role=role, text=text)
        assert request_bodies.statement_text(call) == expected

    def test_a_refund_confirms_the_total(self) -> None:
        call = builders.refund("19.00", payment_id="PM1", ref=objects.REFERENCE)
        assert request_bodies.refund_body(call, 1900, 3000) == {
            "amount": 1900,
            "total_amount_confirmation": 4900,
            "metadata": objects.METADATA,
            "links": {"payment": "PM1"},
        }

    def test_an_object_of_another_transaction_is_rejected(self) -> None:
        psp_object = Payment.model_validate(objects.payment())
        assert verify_reference(psp_object, builders.lookup(objects.REFERENCE)) is psp_object
        for lookup in (
            builders.lookup("20260115-000000000000000000000000"),
            builders.lookup(objects.REFERENCE, currency="SEK"),
        ):
            with pytest.raises(ProtocolError):
                verify_reference(psp_object, lookup)
