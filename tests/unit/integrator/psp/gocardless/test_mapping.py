"""Mapping of GoCardless' objects to outcomes, with the official fixtures."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

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
    Address,
    Approved,
    Declined,
    FactKind,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.builders import GOOD_IBAN
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

    def test_odd_texts_of_an_account_count_as_absent(self) -> None:
        odd = {"id": "BA1", "account_holder_name": 5, "account_number_ending": ["11"]}
        read = BankAccount.model_validate(odd)
        assert (read.account_holder_name, read.account_number_ending) == (None, None)

    def test_an_event_is_parsed(self) -> None:
        read = Event.model_validate(FIXTURES["event_list"]["events"][0])
        assert (read.resource_type, read.action) == ("mandates", "cancelled")
        assert read.cause == "bank_account_disabled"

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


class TestHistory:
    """Events are listed newest first."""

    AGAIN = (
        objects.event("paid_out", id="EV7"),
        objects.event("confirmed", id="EV6"),
        objects.event("submitted", id="EV5"),
        objects.event("resubmission_requested", id="EV4"),
    )
    LATE_FAILURE = (
        {**objects.failure("insufficient_funds"), "id": "EV3"},
        objects.event("confirmed", id="EV2"),
        objects.event("submitted", id="EV1"),
    )

    def net(self, outcome: Outcome) -> Decimal:
        """Return what is charged back and did not come back."""
        signs = {FactKind.CHARGED_BACK: 1, FactKind.CHARGEBACK_REVERSED: -1}
        amounts = [amount * signs.get(kind, 0) for kind, amount in fact_amounts(outcome)]
        return sum(amounts, Decimal(0))

    @pytest.mark.parametrize("status", ["confirmed", "paid_out"])
    def test_a_late_failure_that_is_collected_again(self, status: str) -> None:
        outcome = payment_outcome(status, *self.AGAIN, *self.LATE_FAILURE)
        assert isinstance(outcome, Approved)
        paid, withdrawn, returned = outcome.facts
        assert (paid.kind, paid.amount) == (FactKind.PAID, TEN)
        assert (withdrawn.kind, withdrawn.id) == (FactKind.CHARGED_BACK, "PM123/charged_back")
        assert (returned.kind, returned.reverses) == (FactKind.CHARGEBACK_REVERSED, withdrawn.id)
        assert self.net(outcome) == 0

    def test_a_failure_before_the_confirmation_withdraws_nothing(self) -> None:
        early_failure = {**objects.failure("insufficient_funds", will_retry=True), "id": "EV3"}
        outcome = payment_outcome("paid_out", *self.AGAIN, early_failure)
        assert fact_amounts(outcome) == [(FactKind.PAID, TEN)]

    def test_a_cancelled_chargeback(self) -> None:
        cancelled = objects.event("chargeback_cancelled", id="EV9")
        chargeback = {**objects.failure("refund_requested", "charged_back"), "id": "EV8"}
        outcome = payment_outcome("paid_out", cancelled, chargeback, objects.event("confirmed"))
        assert isinstance(outcome, Approved)
        assert [fact.id for fact in outcome.facts] == [
            "PM123",
            "PM123/charged_back",
            "PM123/charged_back/reinstated",
        ]
        assert self.net(outcome) == 0

    @pytest.mark.parametrize("status", ["confirmed", "paid_out"])
    @pytest.mark.parametrize("withdrawal", ["charged_back", "failed"])
    def test_a_withdrawal_without_its_return_is_a_protocol_error(
        self, status: str, withdrawal: str
    ) -> None:
        """The payment was read before its events, and may have been withdrawn in between."""
        events = (objects.event(withdrawal), objects.event("confirmed"))
        with pytest.raises(ProtocolError):
            payment_outcome(status, *events)

    def test_a_payout_after_a_late_failure_shows_that_it_was_collected_again(self) -> None:
        again = (objects.event("paid_out"), objects.event("resubmission_requested"))
        assert self.net(payment_outcome("paid_out", *again, *self.LATE_FAILURE)) == 0

    def test_a_second_withdrawal_has_the_id_of_its_event(self) -> None:
        events = (
            objects.event("charged_back", id="EV10"),
            objects.event("chargeback_cancelled", id="EV9"),
            objects.event("charged_back", id="EV8"),
            objects.event("paid_out", id="EV7"),
            objects.event("confirmed", id="EV6"),
        )
        outcome = payment_outcome("charged_back", *events)
        assert isinstance(outcome, Approved)
        assert outcome.facts[-1].id == "PM123/charged_back/EV10"
        assert self.net(outcome) == TEN
        won = payment_outcome("paid_out", objects.event("chargeback_cancelled", id="EV11"), *events)
        assert self.net(won) == 0

    def test_the_order_of_a_payout_does_not_undo_a_chargeback(self) -> None:
        events = (objects.event("paid_out"), objects.event("charged_back"))
        assert self.net(payment_outcome("charged_back", *events)) == TEN

    def test_a_settled_late_failure_after_a_retry_withdraws_nothing_again(self) -> None:
        settled = objects.event("late_failure_settled", id="EV8")
        outcome = payment_outcome("paid_out", settled, *self.AGAIN, *self.LATE_FAILURE)
        assert self.net(outcome) == 0

    def test_a_retry_that_is_cancelled_leaves_the_payment_charged_back(self) -> None:
        cancelled = objects.failure("mandate_cancelled", "cancelled")
        outcome = payment_outcome("cancelled", cancelled, *self.LATE_FAILURE)
        assert self.net(outcome) == TEN

    @pytest.mark.parametrize("status", ["failed", "cancelled"])
    def test_a_list_that_lags_behind_the_status_is_a_protocol_error(self, status: str) -> None:
        """Otherwise money would be shown as paid that has been withdrawn for the second time."""
        with pytest.raises(ProtocolError):
            payment_outcome(status, *self.AGAIN, *self.LATE_FAILURE)
        with pytest.raises(ProtocolError):
            payment_outcome(
                "charged_back",
                objects.event("chargeback_cancelled"),
                objects.event("charged_back"),
                objects.event("confirmed"),
            )

    def test_facts_say_whose_they_are(self) -> None:
        outcome = payment_outcome("charged_back", objects.event("charged_back"))
        assert isinstance(outcome, Approved)
        for fact in outcome.facts:
            assert (fact.currency, fact.reference) == ("EUR", objects.REFERENCE)
        assert outcome.facts[1].parent_psp_id == "PM123"


class TestOddObjects:
    @pytest.mark.parametrize(
        "changes",
        [
            {"charge_date": "soon"},
            {"charge_date": None},
            {"amount_refunded": -20},
            {"amount_refunded": None},
            {"links": None},
            {"links": []},
            {"metadata": []},
            {"description": 7},
            {"fx": None},
            {"created_at": "2026-02-30"},
            {"created_at": None},
        ],
    )
    def test_bookkeeping_does_not_decide_whether_money_is_read(
        self, changes: dict[str, Any]
    ) -> None:
        read = Payment.model_validate(objects.payment("confirmed", **changes))
        assert fact_amounts(mapping.payment_outcome(read)) == [(FactKind.PAID, TEN)]

    @pytest.mark.parametrize(
        "changes",
        [
            {"details": None},
            {"details": []},
            {"details": {"cause": None, "description": None, "will_attempt_retry": None}},
            {"created_at": None},
            {"resource_metadata": []},
            {"metadata": None},
        ],
    )
    def test_an_event_with_odd_members_is_read(self, changes: dict[str, Any]) -> None:
        failed = objects.event("failed", **changes)
        outcome = payment_outcome("failed", failed, objects.event("confirmed"))
        assert fact_amounts(outcome) == [(FactKind.PAID, TEN), (FactKind.CHARGED_BACK, TEN)]

    def test_a_negative_amount_is_no_payment(self) -> None:
        with pytest.raises(ValidationError):
            Payment.model_validate(objects.payment("confirmed", amount=-1000))

    def test_null_members_of_other_objects(self) -> None:
        request = BillingRequest.model_validate(
            objects.billing_request(actions=None, resources=None, metadata=None)
        )
        assert request.actions == ()
        mandate = Mandate.model_validate(
            objects.mandate(reference=None, next_possible_charge_date=None, links=None)
        )
        assert mapping.build_mandate_instrument(mandate, None).bearer == {}
        creditor = {**FIXTURES["creditor_in_events"]["creditors"], "scheme_identifiers": None}
        assert Creditor.model_validate(creditor).scheme_identifiers == ()


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

    COMPANY = "Müller & Söhne GmbH & Co. KG"

    def test_a_companys_name_is_not_split(self) -> None:
        payer = Payer(name=self.COMPANY, company_name=self.COMPANY)
        call = builders.authorize(role=Role.Debit, payer=payer)
        body = request_bodies.flow_body(call, "BRQ1")
        assert body["prefilled_customer"] == {"company_name": self.COMPANY}
        steps = request_bodies.setup_steps(call, "Mia Kern", GOOD_IBAN)
        assert steps["collect_customer_details"]["customer"] == {"company_name": self.COMPANY}

    def test_nor_is_that_of_an_account_holder(self) -> None:
        call = builders.authorize(role=Role.Debit, payer=Payer())
        steps = request_bodies.setup_steps(call, self.COMPANY, GOOD_IBAN)
        assert steps["collect_customer_details"]["customer"] == {"company_name": self.COMPANY}

    def test_the_address(self) -> None:
        address = Address(
            line1="Hauptstr. 1", line2="Hof", postal_code="04103", city="Leipzig", state="Sachsen"
        )
        call = builders.authorize(role=Role.Debit, payer=Payer(country="DE", address=address))
        expected = {
            "country_code": "DE",
            "address_line1": "Hauptstr. 1",
            "address_line2": "Hof",
            "city": "Leipzig",
            "postal_code": "04103",
            "region": "Sachsen",
        }
        assert request_bodies.flow_body(call, "BRQ1")["prefilled_customer"] == expected
        steps = request_bodies.setup_steps(call, "Mia Kern", GOOD_IBAN)
        assert steps["collect_customer_details"]["customer_billing_detail"] == expected

    @pytest.mark.parametrize("blank", ["", "  ", "\n"])
    def test_blank_values_are_not_sent(self, blank: str) -> None:
        address = Address(line1=blank, line2=blank, postal_code=blank, city=blank, state=blank)
        payer = Payer(
            name=blank, email=blank, language=blank, country=blank, company_name=blank,
            address=address,
        )  # fmt: skip
        call = builders.authorize(role=Role.Debit, payer=payer)
        body = request_bodies.flow_body(call, "BRQ1")
        assert (body["prefilled_customer"], body["language"]) == (None, None)
        details = request_bodies.setup_steps(call, "Mia Kern", GOOD_IBAN)[
            "collect_customer_details"
        ]
        assert details == {
            "customer": {"company_name": "Mia Kern"},
            "customer_billing_detail": {"country_code": "DE"},
        }
        charge = builders.charge(ref=objects.REFERENCE, role=Role.Debit, text=blank)
        payment = request_bodies.payment_body(charge, "MD123", None)
        assert (payment["description"], payment["reference"]) == (None, objects.REFERENCE)

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
