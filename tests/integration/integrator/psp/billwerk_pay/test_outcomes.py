"""Outcomes of the Billwerk+ Pay adapter for canned responses of the PSP."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    RateLimited,
)
from integrator.psp.types import (
    Absent,
    Address,
    Approved,
    Declined,
    FactKind,
    Lookup,
    LookupAnswer,
    MovementKind,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.billwerk_pay.builders import (
    CARD,
    FakePsp,
    error_response,
    load_body,
)
from tests.integration.integrator.psp.builders import REFERENCE, lookup

NULLS = {"source": None, "order_lines": None, "error": None, "authorized_amount": None}
SESSION = load_body("session")["id"]
SETTLE = load_body("transaction")["id"]
AUTHORIZED = {
    "state": "authorized",
    "authorized": "2026-01-15T09:00:00.870+00:00",
    "authorized_amount": 11900,
    "settled": None,
}
CAPTURE = "20260116-65a7f1c2c2d3e4f506172a03"


def build_charge(**values: Any) -> Any:
    return builders.charge("119.00", ref=REFERENCE, instrument=CARD, **values)


def build_capture(amount: str = "119.00") -> Any:
    return builders.capture(amount, authorization_id=REFERENCE, ref=CAPTURE, key="the key")


def invoice(**changes: Any) -> dict[str, Any]:
    body = {
        "id": "inv_1",
        "handle": REFERENCE,
        "state": "settled",
        "type": "ch",
        "amount": 11900,
        "currency": "EUR",
        "transactions": [load_body("transaction")],
        "order_lines": load_body("charge")["order_lines"],
        "credit_notes": [],
    }
    return {**body, **changes}


def aged(request: Lookup, age: timedelta | None) -> Lookup:
    """Return a look-up of a transaction of this age; None for an unknown one."""
    created_at = None if age is None else datetime.now(UTC) - age
    return request.model_copy(update={"created_at": created_at})


def order_line(text: str, amount: int = 11900) -> dict[str, Any]:
    return {**load_body("charge")["order_lines"][0], "ordertext": text, "amount": amount}


def credit_note(text: str, transaction: str | None) -> dict[str, Any]:
    lines = [{"text": text, "amount": 1900, "quantity": 1}]
    named = {"transaction": transaction} if transaction else {}
    return {
        "id": "cn-17",
        "invoice": REFERENCE,
        "amount": 1900,
        "credit_note_lines": lines,
        **named,
    }


def list_page(*entries: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    more = {"next_page_token": token} if token else {}
    return {"size": 100, "count": len(entries), "range": "created", "content": [*entries], **more}


def assert_approved(outcome: LookupAnswer) -> Approved:
    assert isinstance(outcome, Approved), outcome
    return outcome


def assert_declined(outcome: LookupAnswer) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


class TestCharge:
    async def test_request_body(self) -> None:
        psp = FakePsp().respond_to("POST", "/charge", load_body("charge"))
        connection = psp.connect(PrivateKey="priv_0123456789abcdef")
        outcome = assert_approved(
            await connection.charge(build_charge(key="the/key", text="Pro plan"))
        )
        assert psp.request_bodies("POST", "/charge") == [
            {
                "handle": REFERENCE,
                "key": "the/key",
                "amount": 11900,
                "currency": "EUR",
                "source": "ca_1",
                "customer_handle": "cust-1",
                "settle": True,
                "ordertext": "Pro plan",
                "metadata": {"reference": REFERENCE},
            }
        ]
        assert psp.requests[0].headers["Authorization"] == "Basic cHJpdl8wMTIzNDU2Nzg5YWJjZGVmOg=="
        assert outcome.psp_id == f"{REFERENCE}/{SETTLE}"
        [fact] = outcome.facts
        assert (fact.kind, fact.id, fact.amount, fact.booked_on) == (
            FactKind.PAID,
            outcome.psp_id,
            Decimal("119.00"),
            date(2026, 1, 15),
        )

    @pytest.mark.parametrize(
        ("psp_error", "code"),
        [
            ("insufficient_funds", Code.InsufficientBalance),
            ("credit_card_expired", Code.BearerExpired),
            ("sca_required", Code.Rejected),
            ("what_is_this", Code.UnmappedError),
            (None, Code.UnmappedError),
        ],
    )
    async def test_a_decline_is_http_200(self, psp_error: str | None, code: Code) -> None:
        source = {
            **load_body("charge")["source"],
            "acquirer_message": "No money at 4571 1122 3344 2077",
        }
        failed = load_body(
            "charge", state="failed", error=psp_error, error_state="soft_declined", source=source
        )
        psp = FakePsp().respond_to("POST", "/charge", failed)
        outcome = assert_declined(await psp.connect().charge(build_charge()))
        assert (outcome.code, outcome.psp_code) == (code, psp_error)
        assert "soft_declined" in (outcome.message or "")
        assert "4571" not in (outcome.message or "")

    async def test_a_processing_error_is_pending(self) -> None:
        failed = load_body(
            "charge",
            state="failed",
            error="acquirer_communication_error",
            error_state="processing_error",
        )
        outcome = (
            await FakePsp().respond_to("POST", "/charge", failed).connect().charge(build_charge())
        )
        assert outcome == Pending(psp_id=f"{REFERENCE}/{SETTLE}")

    @pytest.mark.parametrize("state", ["authorized", "created", "brand_new"])
    async def test_an_unexpected_state_is_pending(self, state: str) -> None:
        psp = FakePsp().respond_to("POST", "/charge", load_body("charge", state=state))
        assert await psp.connect().charge(build_charge()) == Pending(psp_id=None)

    async def test_a_pending_charge_has_the_id_of_its_transaction(self) -> None:
        psp = FakePsp().respond_to(
            "POST", "/charge", load_body("charge", state="pending", processing=True)
        )
        outcome = await psp.connect().charge(build_charge())
        assert outcome == Pending(psp_id=f"{REFERENCE}/{SETTLE}")

    @pytest.mark.parametrize("code", [11, 79, 99, 105, 109, 999])
    async def test_an_existing_charge_is_returned_after_a_refusal(self, code: int) -> None:
        psp = FakePsp().respond_to("POST", "/charge", error_response(code))
        psp.respond_to("GET", f"/charge/{REFERENCE}", load_body("charge"))
        assert assert_approved(await psp.connect().charge(build_charge())).facts[0].amount == 119

    async def test_a_failed_charge_keeps_the_refusal(self) -> None:
        psp = FakePsp().respond_to("POST", "/charge", error_response(147))
        psp.respond_to("GET", f"/charge/{REFERENCE}", load_body("charge", state="failed"))
        outcome = assert_declined(await psp.connect().charge(build_charge()))
        assert (outcome.code, outcome.psp_code) == (Code.BearerInvalid, "147")

    async def test_a_failed_look_up_after_a_refusal_leaves_the_outcome_unknown(self) -> None:
        psp = FakePsp().respond_to("POST", "/charge", error_response(11))
        psp.respond_to("GET", f"/charge/{REFERENCE}", error_response(2, 500))
        with pytest.raises(OutcomeUnknown):
            await psp.connect().charge(build_charge())

    @pytest.mark.parametrize(
        "change",
        [
            {"handle": "another-transaction"},
            {"currency": "DKK"},
            {"amount": "119.00"},
            {"amount": -1},
        ],
    )
    async def test_a_charge_of_another_transaction_is_a_protocol_error(
        self, change: dict[str, Any]
    ) -> None:
        psp = FakePsp().respond_to("POST", "/charge", load_body("charge", **change))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(build_charge())

    async def test_without_a_stored_card_nothing_is_sent(self) -> None:
        psp = FakePsp()
        bare = CARD.model_copy(update={"token": {"customer": "cust-1"}})
        outcome = await psp.connect().charge(builders.charge(instrument=bare))
        assert assert_declined(outcome).code is Code.BearerInvalid
        assert psp.requests == []


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (error_response(3, 401), CredentialsRejected),
            (error_response(5, 401), CredentialsRejected),
            (error_response(59, 403), CredentialsRejected),
            (error_response(122, 429), RateLimited),
            (error_response(123, 429), RateLimited),
            (error_response(2, 500), OutcomeUnknown),
            (error_response(74), OutcomeUnknown),
            (error_response(80), OutcomeUnknown),
            (error_response(99, 408), OutcomeUnknown),
            (error_response(3, 401, http_status=200), OutcomeUnknown),
            (error_response(3, 401, error=None), OutcomeUnknown),
            ((401, "<html>Login</html>"), OutcomeUnknown),
            ((400, {"code": "bad", "error": "Bad", "http_status": 400}), OutcomeUnknown),
            ((429, "slow down"), OutcomeUnknown),
        ],
    )
    async def test_indefinite_responses_raise(
        self, answer: tuple[int, Any], expected: type[PspError]
    ) -> None:
        psp = FakePsp().respond_to("POST", "/charge", answer)
        with pytest.raises(expected) as caught:
            await psp.connect().charge(build_charge())
        assert isinstance(caught.value, CredentialsRejected) is (expected is CredentialsRejected)

    @pytest.mark.parametrize(
        ("answer", "code", "psp_code"),
        [
            (error_response(1, 422), Code.InvalidData, "1"),
            (error_response(7, 403), Code.InvalidConfiguration, "7"),
            (error_response(139), Code.InvalidCurrency, "139"),
            (error_response(13), Code.UnmappedError, "13"),
            (
                error_response(77, transaction_error="insufficient_funds"),
                Code.InsufficientBalance,
                "insufficient_funds",
            ),
            (error_response(77), Code.Rejected, "77"),
            (error_response(8, 404), Code.BearerInvalid, "8"),
            (error_response(9, 404), Code.BearerInvalid, "9"),
            (error_response(71, 404), Code.BearerInvalid, "71"),
            (error_response(110), Code.BearerInvalid, "110"),
            (error_response(140), Code.BearerInvalid, "140"),
            (error_response(72), Code.InvalidCurrency, "72"),
            (error_response(128), Code.InvalidPreconditions, "128"),
            (error_response(138), Code.InvalidConfiguration, "138"),
        ],
    )
    async def test_refusals_are_declined(
        self, answer: tuple[int, Any], code: Code, psp_code: str
    ) -> None:
        psp = FakePsp().respond_to("POST", "/charge", answer)
        outcome = assert_declined(await psp.connect().charge(build_charge()))
        assert (outcome.code, outcome.psp_code) == (code, psp_code)

    @pytest.mark.parametrize(
        ("answer", "code"),
        [
            (error_response(8, 404), Code.InvalidData),
            (error_response(31, 404), Code.InvalidData),
            (error_response(64), Code.InvalidPreconditions),
            (error_response(81), Code.InvalidPreconditions),
            (error_response(132), Code.InvalidAmount),
        ],
    )
    async def test_refusals_of_a_refund(self, answer: tuple[int, Any], code: Code) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("POST", "/refund", answer)
        assert assert_declined(await psp.connect().refund(TestRefund().call())).code is code

    async def test_a_refused_read_is_a_protocol_error(self) -> None:
        psp = FakePsp().respond_to("GET", f"/charge/{REFERENCE}", error_response(7, 403))
        with pytest.raises(ProtocolError) as caught:
            await psp.connect().fetch_authorization(lookup())
        assert caught.value.psp_code == "7"


class TestAuthorization:
    async def fetch_outcome(self, **changes: Any) -> LookupAnswer:
        psp = FakePsp().respond_to(
            "GET", f"/charge/{REFERENCE}", load_body("charge", **{**AUTHORIZED, **changes})
        )
        return await psp.connect().fetch_authorization(lookup(psp_id=REFERENCE))

    async def test_reservation_expires_after_a_week(self) -> None:
        outcome = assert_approved(await self.fetch_outcome(recurring_payment_method="ca_new"))
        [fact] = outcome.facts
        assert (fact.kind, fact.id, fact.amount) == (
            FactKind.AUTHORIZED,
            REFERENCE,
            Decimal("119.00"),
        )
        assert fact.expires_at == datetime(2026, 1, 22, 9, 0, 0, 870000, tzinfo=UTC)
        assert outcome.instrument is not None
        assert outcome.instrument.token["payment_method"] == "ca_new"
        assert outcome.instrument.bearer == {
            "CardType": "visa_dk",
            "Country": "DK",
            "ExpiryMonth": "8",
            "ExpiryYear": "2030",
            "Last4": "2077",
            "MaskedCardPan": "457111XXXXXX2077",
        }

    async def test_keeps_its_amount_after_a_partial_capture(self) -> None:
        outcome = assert_approved(await self.fetch_outcome(state="settled", amount=4000))
        assert outcome.facts[0].amount == Decimal("119.00")

    async def test_names_its_capture(self) -> None:
        assert assert_approved(await self.fetch_outcome()).capture is None
        captured = {"state": "settled", "amount": 4000, "transaction": SETTLE}
        settled = {**captured, "settled": "2026-01-16T09:00:00.870+00:00"}
        capture = assert_approved(await self.fetch_outcome(**settled)).capture
        assert capture is not None
        assert (capture.psp_id, capture.amount) == (f"{REFERENCE}/{SETTLE}", Decimal("40.00"))
        assert (capture.currency, capture.booked_on) == ("EUR", date(2026, 1, 16))

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"state": "cancelled"}, Status.Cancelled),
            ({"state": "failed", "error": "declined_by_acquirer"}, Status.Cancelled),
            ({"state": "failed", "error": "authorization_expired"}, Status.Expired),
            ({"state": "failed", "error": "insufficient_funds", "authorized": None}, Status.Failed),
        ],
    )
    async def test_ends(self, changes: dict[str, Any], status: Status) -> None:
        assert assert_declined(await self.fetch_outcome(**changes)).status is status

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "pending"},
            {"state": "brand_new"},
            {"state": "failed", "error_state": "processing_error", "authorized": None},
        ],
    )
    async def test_undecided_states_are_pending(self, changes: dict[str, Any]) -> None:
        assert await self.fetch_outcome(**changes) == Pending(psp_id=REFERENCE)


class TestHostedPage:
    async def test_request_body_of_a_reservation(self) -> None:
        psp = FakePsp().respond_to("POST", "checkout/session/charge", load_body("session"))
        psp.respond_to("GET", f"checkout/session_info/{SESSION}", load_body("session_info"))
        call = builders.authorize("119.00", ref=REFERENCE, key="the key", text="Pro plan")
        connection = psp.connect(CardTypes="Visa, mastercard,Bancaire")
        assert await connection.authorize(call) == RedirectRequired(
            psp_id=SESSION,
            url=load_body("session")["url"],
            expires_at=datetime(2099, 1, 15, 10, tzinfo=UTC),
        )
        assert psp.request_bodies("POST", "checkout/session/charge") == [
            {
                "locale": "de_DE",
                "ttl": "PT60M",
                "accept_url": "https://shop.example/ok",
                "cancel_url": "https://shop.example/abort",
                "payment_methods": ["visa", "mc"],
                "settle": False,
                "recurring": True,
                "order": {
                    "handle": REFERENCE,
                    "key": "the key",
                    "amount": 11900,
                    "currency": "EUR",
                    "ordertext": "Pro plan",
                    "customer": {
                        "handle": REFERENCE,
                        "email": "mia.kern@example.org",
                        "first_name": "Mia",
                        "last_name": "Kern",
                    },
                    "metadata": {"reference": REFERENCE},
                },
            }
        ]

    async def test_request_body_for_amount_zero(self) -> None:
        psp = FakePsp().respond_to("POST", "checkout/session/recurring", load_body("session"))
        psp.respond_to("GET", f"checkout/session_info/{SESSION}", load_body("session_info"))
        call = builders.authorize("0", ref=REFERENCE)
        assert isinstance(await psp.connect().authorize(call), RedirectRequired)
        [body] = psp.request_bodies("POST", "checkout/session/recurring")
        assert (body["currency"], body["create_customer"]["handle"]) == ("EUR", REFERENCE)
        assert "order" not in body

    async def fetch_outcome(
        self, charge: Any = None, info: Any = None, cards: Any = None
    ) -> tuple[LookupAnswer, FakePsp]:
        psp = FakePsp()
        if charge is not None:
            psp.respond_to("GET", f"/charge/{REFERENCE}", charge)
        if info is not None:
            psp.respond_to("GET", f"checkout/session_info/{SESSION}", info)
        if cards is not None:
            psp.respond_to("GET", f"/customer/{REFERENCE}/payment_method", {"cards": cards})
        return await psp.connect().fetch_authorization(lookup(psp_id=SESSION)), psp

    async def test_a_declined_card_is_not_final_while_the_page_is_open(self) -> None:
        failed = load_body("charge", state="failed", error="insufficient_funds", error_state="x")
        outcome, _ = await self.fetch_outcome(failed, load_body("session_info"))
        assert isinstance(outcome, RedirectRequired)
        over, _ = await self.fetch_outcome(
            failed, load_body("session_info", expires="2026-01-15T10:00:00Z")
        )
        assert assert_declined(over).code is Code.InsufficientBalance

    async def test_expires(self) -> None:
        info = load_body("session_info", expires="2026-01-15T10:00:00Z")
        for charge in (load_body("charge", state="created"), None):
            outcome, _ = await self.fetch_outcome(charge, info)
            assert assert_declined(outcome).status is Status.Expired

    async def test_a_missing_page_was_closed(self) -> None:
        outcome, _ = await self.fetch_outcome(load_body("charge", state="created"))
        assert assert_declined(outcome).status is Status.Cancelled

    async def test_a_missing_page_without_a_charge_is_not_found(self) -> None:
        assert (await self.fetch_outcome())[0] == Absent(proven=False)

    async def test_returns_the_card_of_its_session(self) -> None:
        method = load_body("payment_method")
        stored_card = {k: v for k, v in {**method, **method["card"]}.items() if k != "card"}
        other = {**stored_card, "id": "ca_other", "reference": "cs_other"}
        outcome, _ = await self.fetch_outcome(None, load_body("session_info"), [other, stored_card])
        stored = assert_approved(outcome).instrument
        assert stored is not None
        assert stored.token["payment_method"] == method["id"]
        assert (stored.bearer["ExpiryMonth"], stored.bearer["ExpiryYear"]) == ("1", "2031")

    @pytest.mark.parametrize("state", ["inactivated", "failed", "deleted"])
    async def test_an_inactive_card_is_declined(self, state: str) -> None:
        stored_card = {**load_body("payment_method"), "state": state}
        outcome, _ = await self.fetch_outcome(None, load_body("session_info"), [stored_card])
        assert assert_declined(outcome).code is Code.BearerInvalid

    async def test_is_found_without_its_id(self) -> None:
        psp = FakePsp().respond_to(
            "GET", f"/charge/{REFERENCE}", load_body("charge", state="created")
        )
        infos = [
            load_body("session_info"),
            load_body("session_info", id="cs_2", expires="2098-01-01T00:00Z"),
        ]
        psp.respond_to("GET", f"checkout/session_info/charge/{REFERENCE}", infos)
        outcome = await psp.connect().fetch_authorization(lookup())
        assert isinstance(outcome, RedirectRequired)
        assert outcome.psp_id == SESSION


class TestCapture:
    async def test_request_body_has_our_reference_in_the_text(self) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice(transactions=[]))
        psp.respond_to("POST", f"/charge/{REFERENCE}/settle", load_body("charge"))
        outcome = assert_approved(await psp.connect().capture(build_capture()))
        assert psp.request_bodies("POST", f"/charge/{REFERENCE}/settle") == [
            {"key": "the key", "amount": 11900, "ordertext": f"[{CAPTURE}]"}
        ]
        assert outcome.psp_id == f"{REFERENCE}/{SETTLE}"

    async def test_an_existing_one_is_not_requested_again(self) -> None:
        ours = invoice(order_lines=[order_line(f"Pro plan [{CAPTURE}]")])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", ours)
        assert assert_approved(await psp.connect().capture(build_capture())).facts[0].amount == 119
        assert psp.request_lines() == [f"GET /invoice/{REFERENCE}"]

    async def test_is_found_after_a_refusal(self) -> None:
        ours = invoice(order_lines=[order_line(f"[{CAPTURE}]")])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice(transactions=[]), ours)
        psp.respond_to("POST", f"/charge/{REFERENCE}/settle", error_response(79))
        assert assert_approved(await psp.connect().capture(build_capture())).psp_id is not None

    async def test_a_decline_leaves_the_charge_authorized(self) -> None:
        body = load_body(
            "charge", **AUTHORIZED, error="settle_blocked", error_state="soft_declined"
        )
        psp = FakePsp().respond_to("POST", f"/charge/{REFERENCE}/settle", body)
        outcome = assert_declined(await psp.connect().capture(build_capture()))
        assert (outcome.code, outcome.psp_code) == (Code.Rejected, "settle_blocked")

    async def test_a_processing_error_is_pending(self) -> None:
        body = load_body(
            "charge", **AUTHORIZED, error="acquirer_error", error_state="processing_error"
        )
        psp = FakePsp().respond_to("POST", f"/charge/{REFERENCE}/settle", body)
        assert await psp.connect().capture(build_capture()) == Pending(psp_id=None)

    async def test_one_of_several_settles_is_identified_by_its_text(self) -> None:
        """The response has the total of all settles."""
        other = {**load_body("transaction"), "id": "other", "amount": 5000}
        own_transaction = {**load_body("transaction"), "amount": 4000}
        all_of_them = invoice(
            transactions=[other, own_transaction],
            order_lines=[order_line("Dashboard", 5000), order_line(f"[{CAPTURE}]", 4000)],
        )
        psp = FakePsp().respond_to(
            "GET", f"/invoice/{REFERENCE}", invoice(transactions=[other]), all_of_them
        )
        psp.respond_to("POST", f"/charge/{REFERENCE}/settle", load_body("charge", amount=9000))
        outcome = assert_approved(await psp.connect().capture(build_capture("40.00")))
        assert [fact.amount for fact in outcome.facts] == [Decimal("40.00")]
        assert outcome.psp_id == f"{REFERENCE}/{SETTLE}"

    async def test_a_settle_that_is_not_listed_yet_is_pending(self) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("POST", f"/charge/{REFERENCE}/settle", load_body("charge", amount=20000))
        assert await psp.connect().capture(build_capture()) == Pending(psp_id=None)

    async def test_a_failed_second_settle_is_declined(self) -> None:
        """The state stays `settled`: only the error shows the failure."""
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        body = load_body(
            "charge", error="authorization_amount_exceeded", error_state="hard_declined"
        )
        psp.respond_to("POST", f"/charge/{REFERENCE}/settle", body)
        assert (
            assert_declined(await psp.connect().capture(build_capture())).code is Code.InvalidAmount
        )

    async def test_a_settle_without_a_matching_amount_is_a_protocol_error(self) -> None:
        odd = invoice(order_lines=[order_line(f"[{CAPTURE}]", 1)])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", odd)
        with pytest.raises(ProtocolError):
            await psp.connect().capture(build_capture())


class TestVoid:
    async def test_a_processing_error_leaves_the_outcome_unknown(self) -> None:
        body = load_body(
            "charge", **AUTHORIZED, error="acquirer_error", error_state="processing_error"
        )
        psp = FakePsp().respond_to("POST", f"/charge/{REFERENCE}/cancel", body)
        with pytest.raises(OutcomeUnknown):
            await psp.connect().void(builders.void(REFERENCE, ref=REFERENCE))

    async def test_an_unchanged_charge_is_declined(self) -> None:
        psp = FakePsp().respond_to(
            "POST", f"/charge/{REFERENCE}/cancel", load_body("charge", **AUTHORIZED)
        )
        outcome = await psp.connect().void(builders.void(REFERENCE, ref=REFERENCE))
        assert assert_declined(outcome).code is Code.InvalidPreconditions

    async def test_a_missing_page_counts_as_closed(self) -> None:
        outcome = await FakePsp().connect().void(builders.void(SESSION, ref=REFERENCE))
        assert outcome == Approved(psp_id=SESSION)

    async def test_a_page_that_cannot_be_closed_is_declined(self) -> None:
        psp = FakePsp().respond_to("DELETE", f"checkout/session/{SESSION}", error_response(7, 403))
        outcome = await psp.connect().void(builders.void(SESSION, ref=REFERENCE))
        assert assert_declined(outcome).psp_code == "7"


class TestPayment:
    ID = f"{REFERENCE}/{SETTLE}"

    async def fetch_outcome(self, *disputes: dict[str, Any], **changes: Any) -> LookupAnswer:
        transaction = {**load_body("transaction"), **changes}
        psp = FakePsp().respond_to(
            "GET", f"/invoice/{REFERENCE}", invoice(transactions=[transaction])
        )
        psp.respond_to("GET", "/list/dispute", list_page(*disputes))
        return await psp.connect().fetch_payment(lookup(psp_id=self.ID))

    async def test_is_charged_back_when_the_dispute_is_lost(self) -> None:
        outcome = assert_approved(
            await self.fetch_outcome(load_body("dispute", outcome_amount=10000))
        )
        assert [(f.kind, f.amount) for f in outcome.facts] == [
            (FactKind.PAID, Decimal("119.00")),
            (FactKind.CHARGED_BACK, Decimal("100.00")),
        ]
        chargeback = outcome.facts[1]
        assert (chargeback.id, chargeback.booked_on, chargeback.reason) == (
            "dsp_1",
            date(2026, 2, 20),
            Reason.UserInitiated,
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "open", "outcome": None},
            {"state": "under_review", "outcome": "customer_favor_chargeback"},
            {"outcome": "merchant_favor"},
            {"outcome": "customer_favor_refund"},
            {"outcome": "cancelled_by_customer"},
            {"outcome": "provider_payout"},
        ],
    )
    async def test_other_disputes_are_not_chargebacks(self, changes: dict[str, Any]) -> None:
        assert (
            len(assert_approved(await self.fetch_outcome(load_body("dispute", **changes))).facts)
            == 1
        )

    @pytest.mark.parametrize(
        "changes",
        [
            {"outcome": None},
            {"outcome": "customer_favor_partial"},
            {"state": "other"},
            {"state": "brand_new"},
            {"state": "other", "outcome": "merchant_favor"},
        ],
    )
    async def test_a_dispute_that_is_not_understood_is_an_error(
        self, changes: dict[str, Any]
    ) -> None:
        with pytest.raises(ProtocolError, match=r"dsp_1 .* may have withdrawn money"):
            await self.fetch_outcome(load_body("dispute", **changes))

    @pytest.mark.parametrize("outcome", ["customer_favor_refund", "provider_payout"])
    async def test_a_decision_for_the_payer_without_chargeback_is_logged(
        self, outcome: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        await self.fetch_outcome(load_body("dispute", outcome=outcome))
        assert f"dsp_1 was resolved as {outcome}: no chargeback is booked" in caplog.text

    async def test_a_dispute_without_outcome_is_undecided(self) -> None:
        undecided = load_body("dispute", state="other", outcome=None)
        assert len(assert_approved(await self.fetch_outcome(undecided)).facts) == 1

    async def test_disputes_are_listed_from_the_month_of_the_payment(self) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("GET", "/list/dispute", list_page())
        await psp.connect().fetch_payment(lookup(psp_id=self.ID))
        assert dict(psp.requests[-1].url.params) == {
            "invoice": REFERENCE,
            "from": "2026-01-01",
            "size": "100",
        }

    @pytest.mark.parametrize(
        ("changes", "open_"),
        [
            ({"state": "processing"}, True),
            ({"state": "pending"}, True),
            ({"state": "failed", "card_transaction": {"error_state": "processing_error"}}, True),
            ({"state": "failed", "card_transaction": {"error": "settle_blocked"}}, False),
            ({"state": "cancelled"}, False),
        ],
    )
    async def test_other_states(self, changes: dict[str, Any], open_: bool) -> None:
        assert isinstance(await self.fetch_outcome(**changes), Pending if open_ else Declined)

    async def test_a_payment_of_another_transaction_is_a_protocol_error(self) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_payment(lookup(CAPTURE, self.ID))

    async def test_a_capture_is_searched_by_its_text(self) -> None:
        own_invoice = invoice(order_lines=[order_line(f"Pro plan [{CAPTURE}]")])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", own_invoice)
        psp.respond_to("GET", "/list/dispute", list_page())
        psp.respond_to(
            "GET",
            "/list/charge",
            list_page(load_body("charge", handle="another"), token="t2"),
            list_page(load_body("charge", order_lines=[order_line(f"Pro plan [{CAPTURE}]")])),
        )
        outcome = assert_approved(await psp.connect().fetch_payment(lookup(CAPTURE)))
        assert outcome.psp_id == self.ID
        pages = [dict(r.url.params) for r in psp.requests if r.url.path == "/v1/list/charge"]
        assert [page.get("next_page_token") for page in pages] == [None, "t2"]

    async def test_a_list_that_is_too_long_is_not_read_completely(self) -> None:
        psp = FakePsp().respond_to(
            "GET", "/list/charge", list_page(load_body("charge"), token="more")
        )
        with pytest.raises(OutcomeUnknown):
            await psp.connect().fetch_payment(lookup(CAPTURE))
        assert len(psp.requests) == 21


class TestIdentity:
    """An object of another charge or currency is an error, never money."""

    ID = f"{REFERENCE}/{SETTLE}"

    async def fetch_payment(
        self, *disputes: dict[str, Any], **invoice_changes: Any
    ) -> LookupAnswer:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice(**invoice_changes))
        psp.respond_to("GET", "/list/dispute", list_page(*disputes))
        return await psp.connect().fetch_payment(lookup(psp_id=self.ID))

    @pytest.mark.parametrize(
        "changes",
        [
            {"currency": "USD"},
            {"transaction": "another"},
            {"outcome_amount": -13000},
            {"invoice": "another"},
        ],
    )
    async def test_a_dispute_that_is_not_this_payments(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ProtocolError):
            await self.fetch_payment(load_body("dispute", **changes))

    async def test_a_dispute_may_name_the_invoice_by_its_id(self) -> None:
        outcome = assert_approved(await self.fetch_payment(load_body("dispute", invoice="inv_1")))
        assert [fact.kind for fact in outcome.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]

    async def test_a_dispute_belongs_to_one_of_several_settles(self) -> None:
        """It names the handle: otherwise it would be booked once for every settle."""
        first = load_body("transaction", id="t1", amount=4000)
        settles = [first, load_body("transaction", amount=7900)]
        dispute = load_body("dispute", amount=7900, outcome_amount=7900)
        last = assert_approved(await self.fetch_payment(dispute, transactions=settles))
        assert [fact.kind for fact in last.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]
        assert last.facts[1].parent_psp_id == self.ID
        named = {**dispute, "transaction": "t1"}
        other = assert_approved(await self.fetch_payment(named, transactions=settles))
        assert [fact.kind for fact in other.facts] == [FactKind.PAID]

    @pytest.mark.parametrize(
        "changes", [{"invoice": "another"}, {"currency": "USD"}, {"amount": -1900}]
    )
    async def test_a_refund_of_another_charge(self, changes: dict[str, Any]) -> None:
        refund = load_body("refund", **changes)
        psp = FakePsp().respond_to("GET", f"/refund/{refund['id']}", refund)
        request = lookup("20260117-a", refund["id"], parent=self.ID)
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_refund(request)

    async def test_a_refund_says_whose_it_is(self) -> None:
        refund = load_body("refund")
        psp = FakePsp().respond_to("GET", f"/refund/{refund['id']}", refund)
        request = lookup("20260117-a", refund["id"], parent=self.ID)
        [fact] = assert_approved(await psp.connect().fetch_refund(request)).facts
        assert (fact.currency, fact.parent_psp_id) == ("EUR", self.ID)

    async def test_a_settle_of_another_charge(self) -> None:
        with pytest.raises(ProtocolError):
            await self.fetch_payment(transactions=[load_body("transaction", invoice="another")])

    async def test_a_cancellation_of_another_charge(self) -> None:
        other = load_body("charge", handle="another", state="cancelled")
        psp = FakePsp().respond_to("POST", f"/charge/{REFERENCE}/cancel", other)
        with pytest.raises(ProtocolError):
            await psp.connect().void(builders.void(REFERENCE, ref=REFERENCE))


class TestOddObjects:
    """Members that are null where the documentation shows objects, and unreadable bookkeeping."""

    @pytest.mark.parametrize(
        "changes",
        [
            NULLS,
            {"created": "2026-02-30", "settled": "later", "customer": 7},
            {"source": {"card": None, "exp_date": 830}},
            {"order_lines": [{"ordertext": None, "amount": None}]},
        ],
    )
    async def test_a_charge_is_read(self, changes: dict[str, Any]) -> None:
        body = {**load_body("charge"), **changes}
        psp = FakePsp().respond_to("POST", "/charge", body)
        outcome = assert_approved(await psp.connect().charge(build_charge()))
        assert outcome.facts[0].amount == Decimal("119.00")

    async def test_an_open_charge_without_source_is_read(self) -> None:
        body = {**load_body("charge"), **NULLS, "state": "created", "settled": None}
        psp = FakePsp().respond_to("GET", f"/charge/{REFERENCE}", body)
        psp.respond_to("GET", f"checkout/session_info/{SESSION}", load_body("session_info"))
        outcome = await psp.connect().fetch_authorization(lookup(psp_id=SESSION))
        assert isinstance(outcome, RedirectRequired)

    async def test_a_reservation_without_its_time_has_no_expiry(self) -> None:
        body = {**load_body("charge"), **AUTHORIZED, "authorized": None, "created": None}
        psp = FakePsp().respond_to("GET", f"/charge/{REFERENCE}", body)
        [fact] = assert_approved(await psp.connect().fetch_authorization(lookup())).facts
        assert fact.expires_at is None

    @pytest.mark.parametrize(
        "changes",
        [
            {"card_transaction": None},
            {"created": None, "settled": None},
            {"created": "2026-02-30"},
        ],
    )
    async def test_a_settle_is_read(self, changes: dict[str, Any]) -> None:
        settle = {**load_body("transaction"), **changes}
        fee = {**settle, "id": "fee", "type": "fee", "amount": -2000, "card_transaction": None}
        body = invoice(transactions=[settle, fee], order_lines=None, credit_notes=None)
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", body)
        psp.respond_to("GET", "/list/dispute", list_page())
        outcome = await psp.connect().fetch_payment(lookup(psp_id=f"{REFERENCE}/{SETTLE}"))
        assert assert_approved(outcome).facts[0].amount == Decimal("119.00")

    @pytest.mark.parametrize(
        "changes",
        [{"reason": None}, {"reason": ["x"]}, {"resolved": None}, {"outcome_amount": None}],
    )
    async def test_a_dispute_is_read(self, changes: dict[str, Any]) -> None:
        dispute = {**load_body("dispute"), **changes}
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("GET", "/list/dispute", list_page(dispute))
        outcome = await psp.connect().fetch_payment(lookup(psp_id=f"{REFERENCE}/{SETTLE}"))
        assert assert_approved(outcome).facts[1].amount == Decimal("119.00")

    async def test_a_refund_is_read(self) -> None:
        refund = {**load_body("refund"), "created": None, "ref_transaction": None, "error": None}
        psp = FakePsp().respond_to("GET", f"/refund/{refund['id']}", refund)
        outcome = await psp.connect().fetch_refund(lookup("20260117-a", refund["id"]))
        [fact] = assert_approved(outcome).facts
        assert (fact.amount, fact.booked_on, fact.parent_psp_id) == (Decimal("19.00"), None, None)


class TestCurrencies:
    """Where the PSP's sources contradict each other on the unit, nothing new is taken."""

    CONTESTED = ("ISK", "JPY", "KRW", "BHD", "JOD", "VND")

    @pytest.mark.parametrize("currency", CONTESTED)
    async def test_new_preauths_and_charges_are_refused(self, currency: str) -> None:
        psp = FakePsp()
        connection = psp.connect()
        amount = {"amount": Decimal(499), "currency": currency}
        upgrade = builders.authorize(ref=REFERENCE, initial=False, instrument=CARD)
        outcomes = [
            await connection.charge(build_charge().model_copy(update=amount)),
            await connection.authorize(builders.authorize(ref=REFERENCE).model_copy(update=amount)),
            await connection.authorize(upgrade.model_copy(update=amount)),
            await connection.authorize(
                builders.authorize("0", ref=REFERENCE).model_copy(update={"currency": currency})
            ),
        ]
        for outcome in outcomes:
            declined = assert_declined(outcome)
            assert declined.code is Code.InvalidCurrency
            assert currency in (declined.message or "")
        assert not [request for request in psp.requests if request.method != "GET"]

    async def test_what_was_taken_before_is_read_with_its_unit(self) -> None:
        charge = load_body("charge", currency="ISK", amount=49900)
        settle = load_body("transaction", currency="ISK", amount=49900)
        psp = FakePsp().respond_to(
            "GET", f"/invoice/{REFERENCE}", invoice(currency="ISK", transactions=[settle])
        )
        psp.respond_to("GET", f"/charge/{REFERENCE}", charge)
        psp.respond_to("GET", "/list/dispute", list_page())
        connection = psp.connect()
        call = build_charge().model_copy(update={"amount": Decimal(499), "currency": "ISK"})
        for outcome in (
            await connection.fetch_payment(lookup(psp_id=f"{REFERENCE}/{SETTLE}", currency="ISK")),
            await connection.charge(call),
        ):
            assert assert_approved(outcome).facts[0].amount == Decimal(499)
        assert not [request for request in psp.requests if request.method != "GET"]

    async def test_and_refunded_with_its_unit(self) -> None:
        settle = load_body("transaction", currency="ISK", amount=49900)
        psp = FakePsp().respond_to(
            "GET", f"/invoice/{REFERENCE}", invoice(currency="ISK", transactions=[settle])
        )
        psp.respond_to("POST", "/refund", load_body("refund", currency="ISK", amount=9900))
        call = builders.refund("99", payment_id=f"{REFERENCE}/{SETTLE}", ref="20260117-a")
        outcome = await psp.connect().refund(call.model_copy(update={"currency": "ISK"}))
        assert assert_approved(outcome).facts[0].amount == Decimal(99)
        [body] = psp.request_bodies("POST", "/refund")
        assert body["amount"] == 9900

    async def test_and_captured_with_its_unit(self) -> None:
        settled = load_body("charge", currency="ISK", amount=49900)
        psp = FakePsp().respond_to("POST", f"/charge/{REFERENCE}/settle", settled)
        call = build_capture("499").model_copy(update={"currency": "ISK"})
        assert assert_approved(await psp.connect().capture(call)).facts[0].amount == Decimal(499)
        [body] = psp.request_bodies("POST", f"/charge/{REFERENCE}/settle")
        assert body["amount"] == 49900


class TestPayer:
    COMPANY = "Müller & Söhne GmbH & Co. KG"

    async def sent_customer(self, payer: Payer) -> dict[str, Any]:
        psp = FakePsp().respond_to("POST", "checkout/session/charge", load_body("session"))
        psp.respond_to("GET", f"checkout/session_info/{SESSION}", load_body("session_info"))
        await psp.connect().authorize(builders.authorize(ref=REFERENCE, payer=payer))
        [body] = psp.request_bodies("POST", "checkout/session/charge")
        customer: dict[str, Any] = body["order"]["customer"]
        return customer

    async def test_a_company_with_its_address(self) -> None:
        address = Address(
            line1="Hauptstr. 1", line2="Hof", postal_code="04103", city="Leipzig", state="Sachsen"
        )
        payer = Payer(name=self.COMPANY, company_name=self.COMPANY, country="DE", address=address)
        assert await self.sent_customer(payer) == {
            "handle": REFERENCE,
            "company": self.COMPANY,
            "address": "Hauptstr. 1",
            "address2": "Hof",
            "postal_code": "04103",
            "city": "Leipzig",
            "country": "DE",
        }

    @pytest.mark.parametrize("blank", ["", "  "])
    async def test_blank_values_are_not_sent(self, blank: str) -> None:
        address = Address(line1=blank, line2=blank, postal_code=blank, city=blank, state=blank)
        payer = Payer(
            name=blank, email=blank, language=blank, country=blank, company_name=blank,
            address=address,
        )  # fmt: skip
        assert await self.sent_customer(payer) == {"handle": REFERENCE}

    async def test_a_blank_text_is_not_sent(self) -> None:
        psp = FakePsp().respond_to("POST", "/charge", load_body("charge"))
        await psp.connect().charge(build_charge(text="  "))
        assert "ordertext" not in psp.request_bodies("POST", "/charge")[0]


class TestRefusedTexts:
    REFUSED = error_response(1, 422, message="ordertext: contains characters that are refused")

    async def test_a_charge_is_sent_again_without(self, caplog: pytest.LogCaptureFixture) -> None:
        psp = FakePsp().respond_to("POST", "/charge", self.REFUSED, load_body("charge"))
        assert_approved(await psp.connect().charge(build_charge(text="Pro plan ✓")))
        first, second = psp.request_bodies("POST", "/charge")
        assert second == {name: value for name, value in first.items() if name != "ordertext"}
        assert "ordertext" in caplog.text
        assert "Pro plan" not in caplog.text

    async def test_a_capture_keeps_our_reference(self) -> None:
        path = f"/charge/{REFERENCE}/settle"
        psp = FakePsp().respond_to("POST", path, self.REFUSED, load_body("charge"))
        call = build_capture().model_copy(update={"text": "Pro plan ✓"})
        assert_approved(await psp.connect().capture(call))
        texts = [body["ordertext"] for body in psp.request_bodies("POST", path)]
        assert texts == [f"Pro plan ✓ [{CAPTURE}]", f"[{CAPTURE}]"]

    async def test_a_refund_keeps_our_reference(self) -> None:
        refused = error_response(1, 422, message="text: too odd")
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("POST", "/refund", refused, load_body("refund"))
        assert_approved(await psp.connect().refund(TestRefund().call()))
        texts = [body["text"] for body in psp.request_bodies("POST", "/refund")]
        assert texts == [f"Sorry [{TestRefund.REFUND}]", f"[{TestRefund.REFUND}]"]

    async def test_an_address_does_not_prevent_a_page(self) -> None:
        refused = error_response(1, 422, message="order.customer.postal_code: not valid")
        psp = FakePsp().respond_to("POST", "checkout/session/charge", refused, load_body("session"))
        psp.respond_to("GET", f"checkout/session_info/{SESSION}", load_body("session_info"))
        payer = Payer(country="DE", address=Address(postal_code="?", city="Leipzig"))
        call = builders.authorize(ref=REFERENCE, payer=payer)
        assert isinstance(await psp.connect().authorize(call), RedirectRequired)
        customer = psp.request_bodies("POST", "checkout/session/charge")[1]["order"]["customer"]
        assert customer == {"handle": REFERENCE, "country": "DE", "city": "Leipzig"}

    @pytest.mark.parametrize(
        ("code", "message"), [(1, "amount: must be positive"), (77, "text: declined"), (1, None)]
    )
    async def test_other_refusals_are_not_sent_again(self, code: int, message: str | None) -> None:
        psp = FakePsp().respond_to("POST", "/charge", error_response(code, 400, message=message))
        assert_declined(await psp.connect().charge(build_charge(text="Pro plan")))
        assert len(psp.request_bodies("POST", "/charge")) == 1


class TestRefund:
    REFUND = "20260117-65a7f1c2c2d3e4f506172a04"

    def call(self) -> Any:
        of = f"{REFERENCE}/{SETTLE}"
        return builders.refund("19.00", payment_id=of, ref=self.REFUND, key="the key", text="Sorry")

    async def test_request_body_has_our_reference_in_the_text(self) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("POST", "/refund", load_body("refund"))
        outcome = assert_approved(await psp.connect().refund(self.call()))
        assert psp.request_bodies("POST", "/refund") == [
            {
                "invoice": REFERENCE,
                "key": "the key",
                "amount": 1900,
                "text": f"Sorry [{self.REFUND}]",
            }
        ]
        assert outcome.psp_id == load_body("refund")["id"]
        assert outcome.facts[0].booked_on == date(2026, 1, 16)

    async def test_an_existing_one_is_not_requested_again(self) -> None:
        id = load_body("refund")["id"]
        ours = invoice(
            credit_notes=[credit_note("Other", "r0"), credit_note(f"Sorry [{self.REFUND}]", id)]
        )
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", ours)
        psp.respond_to("GET", f"/refund/{id}", load_body("refund"))
        assert assert_approved(await psp.connect().refund(self.call())).psp_id == id
        assert psp.request_bodies("POST", "/refund") == []

    async def test_of_an_unknown_payment_is_declined(self) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice(transactions=[]))
        assert assert_declined(await psp.connect().refund(self.call())).code is Code.InvalidData

    @pytest.mark.parametrize(
        ("changes", "expected"),
        [
            ({"state": "processing"}, Pending),
            ({"state": "brand_new"}, Pending),
            ({"state": "failed", "error_state": "processing_error"}, Pending),
            ({"state": "failed", "error_state": "hard_declined"}, Declined),
        ],
    )
    async def test_other_states(self, changes: dict[str, Any], expected: type[Outcome]) -> None:
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        psp.respond_to("POST", "/refund", load_body("refund", **changes))
        outcome = await psp.connect().refund(self.call())
        assert isinstance(outcome, expected)
        assert outcome.psp_id == load_body("refund")["id"]

    async def test_is_searched_by_its_text(self) -> None:
        id = load_body("refund")["id"]
        psp = FakePsp().respond_to(
            "GET", "/list/credit_note", list_page(credit_note(f"Sorry [{self.REFUND}]", id))
        )
        psp.respond_to("GET", f"/refund/{id}", load_body("refund"))
        assert assert_approved(await psp.connect().fetch_refund(lookup(self.REFUND))).psp_id == id

    async def test_is_found_at_its_payment_without_reading_a_list(self) -> None:
        id = load_body("refund")["id"]
        ours = invoice(credit_notes=[credit_note(f"Sorry [{self.REFUND}]", id)])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", ours)
        psp.respond_to("GET", f"/refund/{id}", load_body("refund"))
        request = lookup(self.REFUND, parent=f"{REFERENCE}/{SETTLE}")
        assert assert_approved(await psp.connect().fetch_refund(request)).psp_id == id
        assert "GET /list/credit_note" not in psp.request_lines()

    @pytest.mark.parametrize(
        ("refunds", "age", "proven"),
        [
            ([], None, False),
            ([], timedelta(hours=24), False),
            ([], timedelta(hours=26), True),
            (["refund_without_note"], timedelta(hours=26), False),
        ],
    )
    async def test_is_proven_absent_at_its_payment_once_nothing_is_sent_any_more(
        self, refunds: list[str], age: timedelta | None, proven: bool
    ) -> None:
        moved = [{**load_body("transaction"), "type": "refund", "id": id} for id in refunds]
        ours = invoice()
        ours["transactions"] += moved
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", ours)
        psp.respond_to("GET", "/list/credit_note", list_page())
        request = aged(lookup(self.REFUND, parent=f"{REFERENCE}/{SETTLE}"), age)
        assert await psp.connect().fetch_refund(request) == Absent(proven=proven)


class TestCaptureOfAParent:
    async def test_is_found_at_its_reservation_without_reading_a_list(self) -> None:
        ours = invoice(order_lines=[order_line(f"Pro plan [{CAPTURE}]")])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", ours)
        psp.respond_to("GET", "/list/dispute", list_page())
        outcome = await psp.connect().fetch_payment(lookup(CAPTURE, parent=REFERENCE))
        assert assert_approved(outcome).psp_id == f"{REFERENCE}/{SETTLE}"
        assert "GET /list/charge" not in psp.request_lines()

    @pytest.mark.parametrize(
        ("settled", "age", "proven"),
        [
            (False, None, False),
            (False, timedelta(hours=24), False),
            (False, timedelta(hours=26), True),
            (True, timedelta(hours=26), False),
        ],
    )
    async def test_is_proven_absent_at_an_unsettled_reservation_once_nothing_is_sent_any_more(
        self, settled: bool, age: timedelta | None, proven: bool
    ) -> None:
        reservation = invoice(order_lines=[]) if settled else invoice(transactions=[])
        psp = FakePsp().respond_to("GET", f"/invoice/{REFERENCE}", reservation)
        psp.respond_to("GET", "/list/charge", list_page())
        request = aged(lookup(CAPTURE, parent=REFERENCE), age)
        assert await psp.connect().fetch_payment(request) == Absent(proven=proven)


class TestMovements:
    SINCE = datetime(2026, 1, 15, 8, 0, tzinfo=UTC)

    async def list_movements(self, psp: FakePsp, **span: datetime) -> tuple[Any, FakePsp]:
        psp.respond_to("GET", "/account", load_body("account"))
        since = span.get("since", self.SINCE)
        until = span.get("until", since + timedelta(hours=2))
        return await psp.connect().list_movements(since, until, None), psp

    def query_params(self, psp: FakePsp, kind: str) -> dict[str, str]:
        requests = [r for r in psp.requests if r.url.path == f"/v1/list/{kind}"]
        return dict(requests[0].url.params)

    async def test_windows_are_sent_in_local_time(self) -> None:
        page, psp = await self.list_movements(
            FakePsp().respond_to("GET", "/list/transaction", list_page())
        )
        params = self.query_params(psp, "transaction")
        assert (params["from"], params["to"]) == ("2026-01-15T09:00:00", "2026-01-15T11:00:01")
        assert page.movements == ()
        assert page.cursor == "Europe/Copenhagen|DKK|dispute|"

    async def test_an_ambiguous_hour_is_covered_completely(self) -> None:
        """On 25 October 2026 clocks are put back from 3:00 to 2:00, at 1:00 UTC."""
        since = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
        psp = FakePsp().respond_to("GET", "/list/transaction", list_page())
        _, psp = await self.list_movements(psp, since=since, until=since + timedelta(minutes=10))
        params = self.query_params(psp, "transaction")
        assert (params["from"], params["to"]) == ("2026-10-25T01:10:00", "2026-10-25T03:20:01")

    async def test_entries_are_filtered_by_the_window(self) -> None:
        at = datetime.fromisoformat(load_body("transaction")["created"])
        for since, until, found in (
            (at - timedelta(hours=1), at, 0),
            (at, at + timedelta(hours=1), 1),
        ):
            psp = FakePsp().respond_to(
                "GET", "/list/transaction", list_page(load_body("transaction"))
            )
            page, _ = await self.list_movements(psp, since=since, until=until)
            assert len(page.movements) == found

    async def test_every_movement_kind(self) -> None:
        auth = load_body(
            "transaction", id="t1", type="authorization", state="authorized", settled=None
        )
        settle = load_body("transaction", card_transaction={"ref_transaction": "t1"})
        refund = load_body(
            "transaction",
            id="r1",
            type="refund",
            state="refunded",
            amount=1900,
            card_transaction={"ref_transaction": SETTLE},
        )
        failed = load_body("transaction", id="f1", state="failed")
        payout = load_body("transaction", id="p1", type="payout")
        psp = FakePsp().respond_to(
            "GET", "/list/transaction", list_page(refund, settle, auth, failed, payout)
        )
        own_charge = load_body("charge", order_lines=[order_line(f"[{CAPTURE}]")])
        psp.respond_to("GET", "/list/charge", list_page(own_charge))
        psp.respond_to(
            "GET", "/list/credit_note", list_page(credit_note("Sorry [20260117-a]", "r1"))
        )
        page, _ = await self.list_movements(psp)
        movements = [(m.kind, m.psp_id, m.reference, m.parent_psp_id) for m in page.movements]
        assert movements == [
            (MovementKind.REFUND, "r1", "20260117-a", f"{REFERENCE}/{SETTLE}"),
            (MovementKind.PAYMENT, f"{REFERENCE}/{SETTLE}", CAPTURE, REFERENCE),
            (MovementKind.AUTHORIZATION, REFERENCE, REFERENCE, None),
        ]
        assert [m.outcome.facts[0].amount for m in page.movements] == [
            Decimal("19.00"),
            Decimal("119.00"),
            Decimal("119.00"),
        ]

    async def test_a_dispute_without_a_settle_is_skipped(self) -> None:
        psp = FakePsp().respond_to("GET", "/list/dispute", list_page(load_body("dispute")))
        page = await psp.connect().list_movements(
            datetime(2026, 2, 20, tzinfo=UTC),
            datetime(2026, 2, 21, tzinfo=UTC),
            "Europe/Copenhagen|DKK|dispute|",
        )
        assert (page.movements, page.cursor) == ((), None)

    async def test_entries_of_other_systems_do_not_stop_the_list(self) -> None:
        """An unknown currency, or amounts in units that are not those of this adapter."""
        changes: list[dict[str, Any]] = [{"currency": "XQZ"}, {"currency": "ISK", "amount": 499}]
        others = [
            load_body("transaction", id=f"t{n}", invoice="theirs", **change)
            for n, change in enumerate(changes)
        ]
        psp = FakePsp().respond_to(
            "GET", "/list/transaction", list_page(*others, load_body("transaction"))
        )
        page, _ = await self.list_movements(psp)
        assert [movement.psp_id for movement in page.movements] == [f"{REFERENCE}/{SETTLE}"]

    @pytest.mark.parametrize(
        "theirs",
        [
            {"currency": "XQZ"},
            {"currency": "ISK", "transactions": [load_body("transaction", amount=499)]},
            {"transactions": []},
        ],
    )
    async def test_disputes_of_other_systems_do_not_stop_the_list(
        self, theirs: dict[str, Any]
    ) -> None:
        other = load_body("dispute", id="dsp_0", invoice="theirs")
        odd = load_body("dispute", id="dsp_2", currency="USD")
        unclear = load_body("dispute", id="dsp_3", invoice="theirs", outcome="brand_new")
        psp = FakePsp().respond_to("GET", "/invoice/theirs", invoice(handle="theirs", **theirs))
        psp.respond_to("GET", f"/invoice/{REFERENCE}", invoice())
        at = datetime(2026, 2, 20, tzinfo=UTC)
        window = (at, at + timedelta(days=1), "Europe/Copenhagen|DKK|dispute|")
        psp.respond_to(
            "GET",
            "/list/dispute",
            list_page(other, odd, unclear, load_body("dispute")),
            list_page(),
        )
        page = await psp.connect().list_movements(*window)
        assert [movement.psp_id for movement in page.movements] == [f"{REFERENCE}/{SETTLE}"]

    async def test_an_unknown_time_zone_is_a_protocol_error(self) -> None:
        psp = FakePsp().respond_to(
            "GET", "/account", load_body("account", timezone="Atlantis/Deep")
        )
        with pytest.raises(ProtocolError):
            await psp.connect().list_movements(self.SINCE, self.SINCE, None)


class TestRateLimit:
    async def test_calls_beyond_the_rate_limit_are_not_sent(self) -> None:
        psp = FakePsp().respond_to("GET", f"/charge/{REFERENCE}", load_body("charge", **AUTHORIZED))
        connection = psp.connect()
        for _ in range(25):
            await connection.fetch_authorization(lookup())
        with pytest.raises(RateLimited):
            await connection.fetch_authorization(lookup())
        assert len(psp.requests) == 25


class TestSettings:
    async def test_settings_are_only_read(self) -> None:
        psp = FakePsp().respond_to(
            "GET", "/account/webhook_settings", load_body("webhook_settings")
        )
        psp.respond_to("GET", "/account", load_body("account"))
        check = await psp.connect().verify_settings()
        assert check.account == load_body("account")["id"]
        assert psp.request_lines() == ["GET /account/webhook_settings", "GET /account"]
