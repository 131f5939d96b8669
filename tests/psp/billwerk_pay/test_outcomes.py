"""What the adapter makes of the PSP's answers; the PSP is a list of answers here."""

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
    Approved,
    Declined,
    FactKind,
    MovementKind,
    Outcome,
    Pending,
    RedirectRequired,
)
from tests.psp import builders
from tests.psp.billwerk_pay.builders import CARD, Psp, data, error
from tests.psp.builders import REFERENCE, lookup

SESSION = data("session")["id"]
SETTLE = data("transaction")["id"]
HELD = {
    "state": "authorized",
    "authorized": "2026-01-15T09:00:00.870+00:00",
    "authorized_amount": 11900,
    "settled": None,
}
CAPTURE = "20260116-65a7f1c2c2d3e4f506172a03"


def charge_call(**values: Any) -> Any:
    return builders.charge("119.00", ref=REFERENCE, instrument=CARD, **values)


def capture_call(amount: str = "119.00") -> Any:
    return builders.capture(amount, of=REFERENCE, ref=CAPTURE, key="the key")


def invoice(**changes: Any) -> dict[str, Any]:
    body = {
        "id": "inv_1",
        "handle": REFERENCE,
        "state": "settled",
        "type": "ch",
        "amount": 11900,
        "currency": "EUR",
        "transactions": [data("transaction")],
        "order_lines": data("charge")["order_lines"],
        "credit_notes": [],
    }
    return {**body, **changes}


def line(text: str, amount: int = 11900) -> dict[str, Any]:
    return {**data("charge")["order_lines"][0], "ordertext": text, "amount": amount}


def note(text: str, transaction: str | None) -> dict[str, Any]:
    lines = [{"text": text, "amount": 1900, "quantity": 1}]
    named = {"transaction": transaction} if transaction else {}
    return {
        "id": "cn-17",
        "invoice": REFERENCE,
        "amount": 1900,
        "credit_note_lines": lines,
        **named,
    }


def listed(*entries: dict[str, Any], token: str | None = None) -> dict[str, Any]:
    more = {"next_page_token": token} if token else {}
    return {"size": 100, "count": len(entries), "range": "created", "content": [*entries], **more}


def approved(outcome: Outcome | None) -> Approved:
    assert isinstance(outcome, Approved), outcome
    return outcome


def declined(outcome: Outcome | None) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


class TestCharge:
    async def test_says_all_that_is_needed(self) -> None:
        psp = Psp().on("POST", "/charge", data("charge"))
        connection = psp.connect(PrivateKey="priv_0123456789abcdef")
        outcome = approved(await connection.charge(charge_call(key="the/key", text="Pro plan")))
        assert psp.sent("POST", "/charge") == [
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
        said = {**data("charge")["source"], "acquirer_message": "No money at 4571 1122 3344 2077"}
        failed = data(
            "charge", state="failed", error=psp_error, error_state="soft_declined", source=said
        )
        psp = Psp().on("POST", "/charge", failed)
        outcome = declined(await psp.connect().charge(charge_call()))
        assert (outcome.code, outcome.psp_code) == (code, psp_error)
        assert "soft_declined" in (outcome.message or "")
        assert "4571" not in (outcome.message or "")

    async def test_a_processing_error_decides_nothing(self) -> None:
        failed = data(
            "charge",
            state="failed",
            error="acquirer_communication_error",
            error_state="processing_error",
        )
        outcome = await Psp().on("POST", "/charge", failed).connect().charge(charge_call())
        assert outcome == Pending(psp_id=f"{REFERENCE}/{SETTLE}")

    @pytest.mark.parametrize("state", ["authorized", "created", "brand_new"])
    async def test_an_unexpected_state_is_open(self, state: str) -> None:
        psp = Psp().on("POST", "/charge", data("charge", state=state))
        assert await psp.connect().charge(charge_call()) == Pending(psp_id=None)

    async def test_a_pending_one_is_known_by_its_transaction(self) -> None:
        psp = Psp().on("POST", "/charge", data("charge", state="pending", processing=True))
        outcome = await psp.connect().charge(charge_call())
        assert outcome == Pending(psp_id=f"{REFERENCE}/{SETTLE}")

    @pytest.mark.parametrize("code", [11, 79, 99, 105, 109, 999])
    async def test_after_a_refusal_the_object_decides(self, code: int) -> None:
        psp = Psp().on("POST", "/charge", error(code))
        psp.on("GET", f"/charge/{REFERENCE}", data("charge"))
        assert approved(await psp.connect().charge(charge_call())).facts[0].amount == 119

    async def test_a_failed_object_leaves_the_refusal(self) -> None:
        psp = Psp().on("POST", "/charge", error(147))
        psp.on("GET", f"/charge/{REFERENCE}", data("charge", state="failed"))
        outcome = declined(await psp.connect().charge(charge_call()))
        assert (outcome.code, outcome.psp_code) == (Code.BearerInvalid, "147")

    async def test_a_look_up_that_fails_after_a_refusal_leaves_it_open(self) -> None:
        psp = Psp().on("POST", "/charge", error(11))
        psp.on("GET", f"/charge/{REFERENCE}", error(2, 500))
        with pytest.raises(OutcomeUnknown):
            await psp.connect().charge(charge_call())

    @pytest.mark.parametrize(
        "change",
        [{"handle": "somebody-elses"}, {"currency": "DKK"}, {"amount": "119.00"}, {"amount": -1}],
    )
    async def test_what_cannot_be_ours_is_not_believed(self, change: dict[str, Any]) -> None:
        psp = Psp().on("POST", "/charge", data("charge", **change))
        with pytest.raises(ProtocolError):
            await psp.connect().charge(charge_call())

    async def test_no_card_is_known(self) -> None:
        psp = Psp()
        bare = CARD.model_copy(update={"token": {"customer": "cust-1"}})
        outcome = await psp.connect().charge(builders.charge(instrument=bare))
        assert declined(outcome).code is Code.BearerInvalid
        assert psp.requests == []


class TestErrors:
    @pytest.mark.parametrize(
        ("answer", "wanted"),
        [
            (error(3, 401), CredentialsRejected),
            (error(5, 401), CredentialsRejected),
            (error(59, 403), CredentialsRejected),
            (error(122, 429), RateLimited),
            (error(123, 429), RateLimited),
            (error(2, 500), OutcomeUnknown),
            (error(74), OutcomeUnknown),
            (error(80), OutcomeUnknown),
            (error(99, 408), OutcomeUnknown),
            (error(3, 401, http_status=200), OutcomeUnknown),
            (error(3, 401, error=None), OutcomeUnknown),
            ((401, "<html>Login</html>"), OutcomeUnknown),
            ((400, {"code": "bad", "error": "Bad", "http_status": 400}), OutcomeUnknown),
            ((429, "slow down"), OutcomeUnknown),
        ],
    )
    async def test_leave_it_open(self, answer: tuple[int, Any], wanted: type[PspError]) -> None:
        psp = Psp().on("POST", "/charge", answer)
        with pytest.raises(wanted) as caught:
            await psp.connect().charge(charge_call())
        assert isinstance(caught.value, CredentialsRejected) is (wanted is CredentialsRejected)

    @pytest.mark.parametrize(
        ("answer", "code", "psp_code"),
        [
            (error(1, 422), Code.InvalidData, "1"),
            (error(7, 403), Code.InvalidConfiguration, "7"),
            (error(139), Code.InvalidCurrency, "139"),
            (error(13), Code.UnmappedError, "13"),
            (
                error(77, transaction_error="insufficient_funds"),
                Code.InsufficientBalance,
                "insufficient_funds",
            ),
            (error(77), Code.Rejected, "77"),
        ],
    )
    async def test_decline(self, answer: tuple[int, Any], code: Code, psp_code: str) -> None:
        psp = Psp().on("POST", "/charge", answer)
        outcome = declined(await psp.connect().charge(charge_call()))
        assert (outcome.code, outcome.psp_code) == (code, psp_code)

    async def test_a_read_that_is_refused_is_no_absence(self) -> None:
        psp = Psp().on("GET", f"/charge/{REFERENCE}", error(7, 403))
        with pytest.raises(ProtocolError) as caught:
            await psp.connect().fetch_authorization(lookup())
        assert caught.value.psp_code == "7"


class TestAuthorization:
    async def fetched(self, **changes: Any) -> Outcome | None:
        psp = Psp().on("GET", f"/charge/{REFERENCE}", data("charge", **{**HELD, **changes}))
        return await psp.connect().fetch_authorization(lookup(psp_id=REFERENCE))

    async def test_holds_for_a_week(self) -> None:
        outcome = approved(await self.fetched(recurring_payment_method="ca_new"))
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

    async def test_stays_what_it_was_when_a_part_is_taken(self) -> None:
        outcome = approved(await self.fetched(state="settled", amount=4000))
        assert outcome.facts[0].amount == Decimal("119.00")

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
        assert declined(await self.fetched(**changes)).status is status

    @pytest.mark.parametrize(
        "changes",
        [
            {"state": "pending"},
            {"state": "brand_new"},
            {"state": "failed", "error_state": "processing_error", "authorized": None},
        ],
    )
    async def test_is_open(self, changes: dict[str, Any]) -> None:
        assert await self.fetched(**changes) == Pending(psp_id=REFERENCE)


class TestHostedPage:
    async def test_is_asked_for_in_the_customers_language(self) -> None:
        psp = Psp().on("POST", "checkout/session/charge", data("session"))
        psp.on("GET", f"checkout/session_info/{SESSION}", data("session_info"))
        call = builders.authorize("119.00", ref=REFERENCE, key="the key", text="Pro plan")
        connection = psp.connect(CardTypes="Visa, mastercard,Bancaire")
        assert await connection.authorize(call) == RedirectRequired(
            psp_id=SESSION,
            url=data("session")["url"],
            expires_at=datetime(2099, 1, 15, 10, tzinfo=UTC),
        )
        assert psp.sent("POST", "checkout/session/charge") == [
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

    async def test_stores_a_card_for_nothing(self) -> None:
        psp = Psp().on("POST", "checkout/session/recurring", data("session"))
        psp.on("GET", f"checkout/session_info/{SESSION}", data("session_info"))
        call = builders.authorize("0", ref=REFERENCE)
        assert isinstance(await psp.connect().authorize(call), RedirectRequired)
        [body] = psp.sent("POST", "checkout/session/recurring")
        assert (body["currency"], body["create_customer"]["handle"]) == ("EUR", REFERENCE)
        assert "order" not in body

    async def fetched(
        self, charge: Any = None, info: Any = None, cards: Any = None
    ) -> tuple[Outcome | None, Psp]:
        psp = Psp()
        if charge is not None:
            psp.on("GET", f"/charge/{REFERENCE}", charge)
        if info is not None:
            psp.on("GET", f"checkout/session_info/{SESSION}", info)
        if cards is not None:
            psp.on("GET", f"/customer/{REFERENCE}/payment_method", {"cards": cards})
        return await psp.connect().fetch_authorization(lookup(psp_id=SESSION)), psp

    async def test_a_declined_card_decides_nothing_while_it_is_open(self) -> None:
        failed = data("charge", state="failed", error="insufficient_funds", error_state="x")
        outcome, _ = await self.fetched(failed, data("session_info"))
        assert isinstance(outcome, RedirectRequired)
        over, _ = await self.fetched(failed, data("session_info", expires="2026-01-15T10:00:00Z"))
        assert declined(over).code is Code.InsufficientBalance

    async def test_runs_out(self) -> None:
        info = data("session_info", expires="2026-01-15T10:00:00Z")
        for charge in (data("charge", state="created"), None):
            outcome, _ = await self.fetched(charge, info)
            assert declined(outcome).status is Status.Expired

    async def test_that_is_gone_was_closed(self) -> None:
        outcome, _ = await self.fetched(data("charge", state="created"))
        assert declined(outcome).status is Status.Cancelled

    async def test_that_is_gone_without_a_charge_is_nothing(self) -> None:
        assert (await self.fetched())[0] is None

    async def test_leaves_the_card_of_its_own_session(self) -> None:
        method = data("payment_method")
        own = {k: v for k, v in {**method, **method["card"]}.items() if k != "card"}
        other = {**own, "id": "ca_other", "reference": "cs_other"}
        outcome, _ = await self.fetched(None, data("session_info"), [other, own])
        stored = approved(outcome).instrument
        assert stored is not None
        assert stored.token["payment_method"] == method["id"]
        assert (stored.bearer["ExpiryMonth"], stored.bearer["ExpiryYear"]) == ("1", "2031")

    @pytest.mark.parametrize("state", ["inactivated", "failed", "deleted"])
    async def test_a_dead_card_is_no_card(self, state: str) -> None:
        own = {**data("payment_method"), "state": state}
        outcome, _ = await self.fetched(None, data("session_info"), [own])
        assert declined(outcome).code is Code.BearerInvalid

    async def test_is_found_without_its_id(self) -> None:
        psp = Psp().on("GET", f"/charge/{REFERENCE}", data("charge", state="created"))
        infos = [data("session_info"), data("session_info", id="cs_2", expires="2098-01-01T00:00Z")]
        psp.on("GET", f"checkout/session_info/charge/{REFERENCE}", infos)
        outcome = await psp.connect().fetch_authorization(lookup())
        assert isinstance(outcome, RedirectRequired)
        assert outcome.psp_id == SESSION


class TestCapture:
    async def test_names_itself_in_the_text(self) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice(transactions=[]))
        psp.on("POST", f"/charge/{REFERENCE}/settle", data("charge"))
        outcome = approved(await psp.connect().capture(capture_call()))
        assert psp.sent("POST", f"/charge/{REFERENCE}/settle") == [
            {"key": "the key", "amount": 11900, "ordertext": f"[{CAPTURE}]"}
        ]
        assert outcome.psp_id == f"{REFERENCE}/{SETTLE}"

    async def test_made_before_is_not_asked_for_again(self) -> None:
        mine = invoice(order_lines=[line(f"Pro plan [{CAPTURE}]")])
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", mine)
        assert approved(await psp.connect().capture(capture_call())).facts[0].amount == 119
        assert psp.asked() == [f"GET /invoice/{REFERENCE}"]

    async def test_is_found_behind_a_refusal(self) -> None:
        mine = invoice(order_lines=[line(f"[{CAPTURE}]")])
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice(transactions=[]), mine)
        psp.on("POST", f"/charge/{REFERENCE}/settle", error(79))
        assert approved(await psp.connect().capture(capture_call())).psp_id is not None

    async def test_a_declined_one_leaves_the_charge_authorized(self) -> None:
        body = data("charge", **HELD, error="settle_blocked", error_state="soft_declined")
        psp = Psp().on("POST", f"/charge/{REFERENCE}/settle", body)
        outcome = declined(await psp.connect().capture(capture_call()))
        assert (outcome.code, outcome.psp_code) == (Code.Rejected, "settle_blocked")

    async def test_a_processing_error_leaves_it_open(self) -> None:
        body = data("charge", **HELD, error="acquirer_error", error_state="processing_error")
        psp = Psp().on("POST", f"/charge/{REFERENCE}/settle", body)
        assert await psp.connect().capture(capture_call()) == Pending(psp_id=None)

    async def test_one_of_several_is_told_by_its_text(self) -> None:
        """The answer shows the sum of all settles."""
        other = {**data("transaction"), "id": "other", "amount": 5000}
        own = {**data("transaction"), "amount": 4000}
        all_of_them = invoice(
            transactions=[other, own],
            order_lines=[line("Dashboard", 5000), line(f"[{CAPTURE}]", 4000)],
        )
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice(transactions=[other]), all_of_them)
        psp.on("POST", f"/charge/{REFERENCE}/settle", data("charge", amount=9000))
        outcome = approved(await psp.connect().capture(capture_call("40.00")))
        assert [fact.amount for fact in outcome.facts] == [Decimal("40.00")]
        assert outcome.psp_id == f"{REFERENCE}/{SETTLE}"

    async def test_one_of_several_that_does_not_show_yet_is_open(self) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice())
        psp.on("POST", f"/charge/{REFERENCE}/settle", data("charge", amount=20000))
        assert await psp.connect().capture(capture_call()) == Pending(psp_id=None)

    async def test_of_a_second_time_that_failed(self) -> None:
        """The state stays `settled`: only the error tells."""
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice())
        body = data("charge", error="authorization_amount_exceeded", error_state="hard_declined")
        psp.on("POST", f"/charge/{REFERENCE}/settle", body)
        assert declined(await psp.connect().capture(capture_call())).code is Code.InvalidAmount

    async def test_no_amount_that_fits_is_an_error(self) -> None:
        odd = invoice(order_lines=[line(f"[{CAPTURE}]", 1)])
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", odd)
        with pytest.raises(ProtocolError):
            await psp.connect().capture(capture_call())


class TestVoid:
    async def test_that_the_acquirer_lost_is_open(self) -> None:
        body = data("charge", **HELD, error="acquirer_error", error_state="processing_error")
        psp = Psp().on("POST", f"/charge/{REFERENCE}/cancel", body)
        with pytest.raises(OutcomeUnknown):
            await psp.connect().void(builders.void(REFERENCE, ref=REFERENCE))

    async def test_that_changed_nothing_keeps_the_reservation(self) -> None:
        psp = Psp().on("POST", f"/charge/{REFERENCE}/cancel", data("charge", **HELD))
        outcome = await psp.connect().void(builders.void(REFERENCE, ref=REFERENCE))
        assert declined(outcome).code is Code.InvalidPreconditions

    async def test_of_a_page_that_is_gone(self) -> None:
        outcome = await Psp().connect().void(builders.void(SESSION, ref=REFERENCE))
        assert outcome == Approved(psp_id=SESSION)

    async def test_of_a_page_that_stays_open_is_declined(self) -> None:
        psp = Psp().on("DELETE", f"checkout/session/{SESSION}", error(7, 403))
        outcome = await psp.connect().void(builders.void(SESSION, ref=REFERENCE))
        assert declined(outcome).psp_code == "7"


class TestPayment:
    ID = f"{REFERENCE}/{SETTLE}"

    async def fetched(self, *disputes: dict[str, Any], **changes: Any) -> Outcome | None:
        moved = {**data("transaction"), **changes}
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice(transactions=[moved]))
        psp.on("GET", "/list/dispute", listed(*disputes))
        return await psp.connect().fetch_payment(lookup(psp_id=self.ID))

    async def test_is_charged_back_when_the_dispute_is_lost(self) -> None:
        outcome = approved(await self.fetched(data("dispute", outcome_amount=10000)))
        assert [(f.kind, f.amount) for f in outcome.facts] == [
            (FactKind.PAID, Decimal("119.00")),
            (FactKind.CHARGED_BACK, Decimal("100.00")),
        ]
        back = outcome.facts[1]
        assert (back.id, back.booked_on, back.reason) == (
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
    async def test_other_disputes_move_nothing(self, changes: dict[str, Any]) -> None:
        assert len(approved(await self.fetched(data("dispute", **changes))).facts) == 1

    async def test_disputes_are_asked_for_from_the_beginning(self) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice())
        psp.on("GET", "/list/dispute", listed())
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
        assert isinstance(await self.fetched(**changes), Pending if open_ else Declined)

    async def test_somebody_elses_is_not_believed(self) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice())
        with pytest.raises(ProtocolError):
            await psp.connect().fetch_payment(lookup(CAPTURE, self.ID))

    async def test_a_capture_is_searched_by_its_text(self) -> None:
        own = invoice(order_lines=[line(f"Pro plan [{CAPTURE}]")])
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", own)
        psp.on("GET", "/list/dispute", listed())
        psp.on(
            "GET",
            "/list/charge",
            listed(data("charge", handle="another"), token="t2"),
            listed(data("charge", order_lines=[line(f"Pro plan [{CAPTURE}]")])),
        )
        found = approved(await psp.connect().fetch_payment(lookup(CAPTURE)))
        assert found.psp_id == self.ID
        pages = [dict(r.url.params) for r in psp.requests if r.url.path == "/v1/list/charge"]
        assert [page.get("next_page_token") for page in pages] == [None, "t2"]

    async def test_a_list_without_end_is_given_up(self) -> None:
        psp = Psp().on("GET", "/list/charge", listed(data("charge"), token="more"))
        with pytest.raises(OutcomeUnknown):
            await psp.connect().fetch_payment(lookup(CAPTURE))
        assert len(psp.requests) == 21


class TestRefund:
    REFUND = "20260117-65a7f1c2c2d3e4f506172a04"

    def call(self) -> Any:
        of = f"{REFERENCE}/{SETTLE}"
        return builders.refund("19.00", of=of, ref=self.REFUND, key="the key", text="Sorry")

    async def test_names_itself_in_the_text(self) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice())
        psp.on("POST", "/refund", data("refund"))
        outcome = approved(await psp.connect().refund(self.call()))
        assert psp.sent("POST", "/refund") == [
            {
                "invoice": REFERENCE,
                "key": "the key",
                "amount": 1900,
                "text": f"Sorry [{self.REFUND}]",
            }
        ]
        assert outcome.psp_id == data("refund")["id"]
        assert outcome.facts[0].booked_on == date(2026, 1, 16)

    async def test_made_before_is_not_asked_for_again(self) -> None:
        id = data("refund")["id"]
        mine = invoice(credit_notes=[note("Other", "r0"), note(f"Sorry [{self.REFUND}]", id)])
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", mine)
        psp.on("GET", f"/refund/{id}", data("refund"))
        assert approved(await psp.connect().refund(self.call())).psp_id == id
        assert psp.sent("POST", "/refund") == []

    async def test_of_nothing(self) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice(transactions=[]))
        assert declined(await psp.connect().refund(self.call())).code is Code.InvalidData

    @pytest.mark.parametrize(
        ("changes", "wanted"),
        [
            ({"state": "processing"}, Pending),
            ({"state": "brand_new"}, Pending),
            ({"state": "failed", "error_state": "processing_error"}, Pending),
            ({"state": "failed", "error_state": "hard_declined"}, Declined),
        ],
    )
    async def test_other_states(self, changes: dict[str, Any], wanted: type[Outcome]) -> None:
        psp = Psp().on("GET", f"/invoice/{REFERENCE}", invoice())
        psp.on("POST", "/refund", data("refund", **changes))
        outcome = await psp.connect().refund(self.call())
        assert isinstance(outcome, wanted)
        assert outcome.psp_id == data("refund")["id"]

    async def test_is_searched_by_its_text(self) -> None:
        id = data("refund")["id"]
        psp = Psp().on("GET", "/list/credit_note", listed(note(f"Sorry [{self.REFUND}]", id)))
        psp.on("GET", f"/refund/{id}", data("refund"))
        assert approved(await psp.connect().fetch_refund(lookup(self.REFUND))).psp_id == id


class TestMovements:
    SINCE = datetime(2026, 1, 15, 8, 0, tzinfo=UTC)

    async def listed(self, psp: Psp, **span: datetime) -> tuple[Any, Psp]:
        psp.on("GET", "/account", data("account"))
        since = span.get("since", self.SINCE)
        until = span.get("until", since + timedelta(hours=2))
        return await psp.connect().list_movements(since, until, None), psp

    def asked(self, psp: Psp, kind: str) -> dict[str, str]:
        found = [r for r in psp.requests if r.url.path == f"/v1/list/{kind}"]
        return dict(found[0].url.params)

    async def test_are_asked_for_in_local_time(self) -> None:
        page, psp = await self.listed(Psp().on("GET", "/list/transaction", listed()))
        params = self.asked(psp, "transaction")
        assert (params["from"], params["to"]) == ("2026-01-15T09:00:00", "2026-01-15T11:00:01")
        assert page.movements == ()
        assert page.cursor == "Europe/Copenhagen|DKK|dispute|"

    async def test_an_hour_that_comes_twice_is_asked_for_as_a_whole(self) -> None:
        """On 25 October 2026 clocks go from 3:00 back to 2:00, at 1:00 UTC."""
        since = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
        psp = Psp().on("GET", "/list/transaction", listed())
        _, psp = await self.listed(psp, since=since, until=since + timedelta(minutes=10))
        params = self.asked(psp, "transaction")
        assert (params["from"], params["to"]) == ("2026-10-25T01:10:00", "2026-10-25T03:20:01")

    async def test_are_cut_exactly(self) -> None:
        at = datetime.fromisoformat(data("transaction")["created"])
        for since, until, found in (
            (at - timedelta(hours=1), at, 0),
            (at, at + timedelta(hours=1), 1),
        ):
            psp = Psp().on("GET", "/list/transaction", listed(data("transaction")))
            page, _ = await self.listed(psp, since=since, until=until)
            assert len(page.movements) == found

    async def test_of_every_kind(self) -> None:
        auth = data("transaction", id="t1", type="authorization", state="authorized", settled=None)
        settle = data("transaction", card_transaction={"ref_transaction": "t1"})
        refund = data(
            "transaction",
            id="r1",
            type="refund",
            state="refunded",
            amount=1900,
            card_transaction={"ref_transaction": SETTLE},
        )
        failed = data("transaction", id="f1", state="failed")
        payout = data("transaction", id="p1", type="payout")
        psp = Psp().on("GET", "/list/transaction", listed(refund, settle, auth, failed, payout))
        own = data("charge", order_lines=[line(f"[{CAPTURE}]")])
        psp.on("GET", "/list/charge", listed(own))
        psp.on("GET", "/list/credit_note", listed(note("Sorry [20260117-a]", "r1")))
        page, _ = await self.listed(psp)
        shown = [(m.kind, m.psp_id, m.reference, m.parent_psp_id) for m in page.movements]
        assert shown == [
            (MovementKind.REFUND, "r1", "20260117-a", f"{REFERENCE}/{SETTLE}"),
            (MovementKind.PAYMENT, f"{REFERENCE}/{SETTLE}", CAPTURE, REFERENCE),
            (MovementKind.AUTHORIZATION, REFERENCE, REFERENCE, None),
        ]
        assert [m.outcome.facts[0].amount for m in page.movements] == [
            Decimal("19.00"),
            Decimal("119.00"),
            Decimal("119.00"),
        ]

    async def test_a_dispute_of_nothing_holds_nobody_up(self) -> None:
        psp = Psp().on("GET", "/list/dispute", listed(data("dispute")))
        page = await psp.connect().list_movements(
            datetime(2026, 2, 20, tzinfo=UTC),
            datetime(2026, 2, 21, tzinfo=UTC),
            "Europe/Copenhagen|DKK|dispute|",
        )
        assert (page.movements, page.cursor) == ((), None)

    async def test_an_unknown_time_zone_is_an_error(self) -> None:
        psp = Psp().on("GET", "/account", data("account", timezone="Atlantis/Deep"))
        with pytest.raises(ProtocolError):
            await psp.connect().list_movements(self.SINCE, self.SINCE, None)


class TestBudget:
    async def test_more_than_the_psp_allows_is_not_sent(self) -> None:
        psp = Psp().on("GET", f"/charge/{REFERENCE}", data("charge", **HELD))
        connection = psp.connect()
        for _ in range(25):
            await connection.fetch_authorization(lookup())
        with pytest.raises(RateLimited):
            await connection.fetch_authorization(lookup())
        assert len(psp.requests) == 25


class TestSettings:
    async def test_are_read_twice_and_changed_never(self) -> None:
        psp = Psp().on("GET", "/account/webhook_settings", data("webhook_settings"))
        psp.on("GET", "/account", data("account"))
        check = await psp.connect().verify_settings()
        assert check.account == data("account")["id"]
        assert psp.asked() == ["GET /account/webhook_settings", "GET /account"]
