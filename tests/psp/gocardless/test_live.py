"""The adapter against the stand-in, a process of its own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspUnavailable, RateLimited
from integrator.psp.types import (
    Approved,
    Charge,
    Declined,
    FactKind,
    Instrument,
    ListedEvent,
    Movement,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
    Refund,
)
from tests.psp import builders
from tests.psp.builders import GOOD_IBAN, lookup
from tests.psp.conftest import SETTLE_SECONDS
from tests.psp.gocardless.conftest import GoCardlessMerchant

PATIENCE_SECONDS = 8.0
FAILING_IBAN = "DE62370400440532013001"
RETURNED_IBAN = "DE35370400440532013002"

T = TypeVar("T")
Merchant = GoCardlessMerchant


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    """What `look` finds, once it finds something."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(SETTLE_SECONDS / 4)
    raise AssertionError("did not happen in time")


def approved(outcome: Outcome | None) -> Approved:
    assert isinstance(outcome, Approved), outcome
    return outcome


def declined(outcome: Outcome | None) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


def facts(outcome: Outcome | None) -> list[tuple[FactKind, Decimal]]:
    return [(fact.kind, fact.amount) for fact in approved(outcome).facts]


async def mandate(merchant: Merchant, iban: str = GOOD_IBAN) -> Instrument:
    signed = approved(await merchant.connection.authorize(builders.debit(iban=iban)))
    assert signed.instrument is not None
    return signed.instrument


async def charged(merchant: Merchant, amount: str = "49.90", **values: Any) -> Charge:
    instrument = values.pop("instrument", None) or await mandate(merchant)
    return builders.charge(amount, role=Role.Debit, instrument=instrument, **values)


async def decided(merchant: Merchant, psp_id: str | None, reference: str) -> Outcome:
    """The payment's outcome once it is no longer pending."""

    async def look() -> Outcome | None:
        found = await merchant.connection.fetch_payment(lookup(reference, psp_id))
        return None if isinstance(found, Pending) else found

    return await eventually(look)


async def paid(merchant: Merchant, amount: str = "49.90") -> tuple[str, str]:
    """(reference, PSP id) of a payment that was collected."""
    call = await charged(merchant, amount)
    made = await merchant.connection.charge(call)
    assert isinstance(made, Pending)
    assert made.psp_id is not None
    approved(await decided(merchant, made.psp_id, call.reference))
    return call.reference, made.psp_id


async def persistently(merchant: Merchant, call: Charge | Refund) -> tuple[Outcome, list[type]]:
    """Repeat a call with its key as a worker would; also what went wrong on the way."""
    troubles: list[type] = []
    act: Any = (
        merchant.connection.charge if isinstance(call, Charge) else merchant.connection.refund
    )
    for _ in range(5):
        try:
            return await act(call), troubles
        except (OutcomeUnknown, PspUnavailable) as trouble:
            troubles.append(type(trouble))
    raise AssertionError(troubles)


class TestSignUpByIban:
    async def test_a_mandate(self, gocardless: Merchant) -> None:
        call = builders.debit()
        outcome = approved(await gocardless.connection.authorize(call))
        assert outcome.psp_id is not None
        assert outcome.psp_id.startswith("BRQ")
        assert outcome.facts == ()
        assert outcome.instrument is not None
        bearer = outcome.instrument.bearer
        assert (bearer["Holder"], bearer["IBAN"]) == ("Mia Kern", GOOD_IBAN)
        made = await gocardless.call("GET", f"/mandates/{outcome.instrument.token['mandate']}")
        assert bearer["MandateId"] == made["mandates"]["reference"]

    async def test_found_again_by_its_id_and_by_our_reference(self, gocardless: Merchant) -> None:
        call = builders.debit()
        made = approved(await gocardless.connection.authorize(call))
        for psp_id in (made.psp_id, None):
            look = lookup(call.reference, psp_id, role=Role.Debit)
            found = approved(await gocardless.connection.fetch_authorization(look))
            assert found.psp_id == made.psp_id
            assert found.instrument is not None
            assert made.instrument is not None
            assert found.instrument.token == made.instrument.token
            assert found.instrument.bearer["Last4"] == GOOD_IBAN[-4:]
            assert "IBAN" not in found.instrument.bearer

    @pytest.mark.parametrize("step", range(5))
    async def test_goes_on_where_a_lost_attempt_stopped(
        self, gocardless: Merchant, step: int
    ) -> None:
        """The request, its three steps and the fulfilment: any answer may get lost."""
        call = builders.debit()
        lost = _LosesAnswer(gocardless, step)
        with pytest.raises(OutcomeUnknown):
            await lost.connection.authorize(call)
        outcome = approved(await gocardless.connection.authorize(call))
        again = approved(await gocardless.connection.authorize(call))
        assert again == outcome
        listed = await gocardless.call("GET", "/mandates")
        assert len(listed["mandates"]) == 1

    @pytest.mark.parametrize(
        ("bearer", "code"),
        [
            ({"Holder": "Mia Kern", "IBAN": "DE00"}, Code.InvalidIBAN),
            ({"Holder": "", "IBAN": GOOD_IBAN}, Code.BearerInvalid),
        ],
    )
    async def test_typed_wrongly(
        self, gocardless: Merchant, bearer: dict[str, str], code: Code
    ) -> None:
        call = builders.authorize(role=Role.Debit, initial_bearer=bearer)
        assert declined(await gocardless.connection.authorize(call)).code is code

    async def test_without_an_email(self, gocardless: Merchant) -> None:
        call = builders.debit(payer=Payer(name="Mia Kern"))
        refused = declined(await gocardless.connection.authorize(call))
        assert (refused.code, refused.psp_code) == (Code.InvalidData, "validation_failed")

    async def test_another_currency(self, gocardless: Merchant) -> None:
        call = builders.debit(currency="SEK")
        assert declined(await gocardless.connection.authorize(call)).code is Code.InvalidCurrency


class _LosesAnswer:
    """A connection whose n-th write is carried out and not answered."""

    def __init__(self, merchant: Merchant, step: int) -> None:
        seen = 0

        class Losing(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                nonlocal seen
                own = {k: v for k, v in request.headers.items() if k not in ("host",)}
                answer = await merchant.http.request(
                    request.method, str(request.url), headers=own, content=await request.aread()
                )
                if request.method == "POST":
                    seen += 1
                    if seen == step + 1:
                        raise httpx.ReadTimeout("lost", request=request)
                return httpx.Response(answer.status_code, content=answer.content, request=request)

        http = httpx.AsyncClient(transport=Losing())
        self.connection = merchant.adapter.connect(merchant.settings, http)


class TestHostedPage:
    async def open(
        self, merchant: Merchant, role: Role = Role.Debit, currency: str = "EUR"
    ) -> tuple[str, RedirectRequired]:
        call = builders.authorize("0", role=role, currency=currency)
        opened = await merchant.connection.authorize(call)
        assert isinstance(opened, RedirectRequired)
        assert opened.url is not None
        assert opened.expires_at > datetime.now(UTC)
        return call.reference, opened

    @pytest.mark.parametrize(
        ("role", "currency", "identity"),
        [
            (Role.Debit, "EUR", {}),
            (Role.Autogiro, "SEK", {"swedish_identity_number": "198112289874"}),
            (Role.Betalingsservice, "DKK", {"danish_identity_number": "220550-6218"}),
        ],
    )
    async def test_a_mandate_and_a_payment_with_it(
        self, gocardless: Merchant, role: Role, currency: str, identity: dict[str, str]
    ) -> None:
        reference, opened = await self.open(gocardless, role, currency)
        look = lookup(reference, opened.psp_id, role=role, currency=currency)
        waiting = await gocardless.connection.fetch_authorization(look)
        assert isinstance(waiting, RedirectRequired)
        assert waiting.psp_id == opened.psp_id
        form = {"holder": "Mia Kern", "iban": GOOD_IBAN, "email": "mia.kern@example.org"}
        if identity:
            refused = await gocardless.visit(opened.url or "", action="confirm", **form)
            assert refused.status_code == 422
        back = await gocardless.visit(opened.url or "", action="confirm", **form, **identity)
        assert back.headers["location"].startswith("https://shop.example/ok")
        signed = approved(await gocardless.connection.fetch_authorization(look))
        assert signed.psp_id == opened.psp_id
        assert signed.instrument is not None
        assert signed.instrument.bearer["Holder"] == "Mia Kern"
        call = builders.charge(
            "19.00", role=role, currency=currency, instrument=signed.instrument, text="Pro plan"
        )
        made = await gocardless.connection.charge(call)
        assert isinstance(made, Pending)
        outcome = await decided_in(gocardless, made.psp_id, call.reference, currency)
        assert facts(outcome) == [(FactKind.PAID, Decimal("19.00"))]

    async def test_going_back_leaves_it_open(self, gocardless: Merchant) -> None:
        reference, opened = await self.open(gocardless)
        back = await gocardless.visit(opened.url or "", action="exit")
        assert back.headers["location"].startswith("https://shop.example/abort")
        look = lookup(reference, opened.psp_id)
        found = await gocardless.connection.fetch_authorization(look)
        assert isinstance(found, RedirectRequired)

    async def test_called_off(self, gocardless: Merchant) -> None:
        reference, opened = await self.open(gocardless)
        call = builders.void(opened.psp_id, ref=reference)
        for _ in range(2):
            assert approved(await gocardless.connection.void(call)).psp_id == opened.psp_id
        look = lookup(reference, opened.psp_id)
        ended = declined(await gocardless.connection.fetch_authorization(look))
        assert (ended.code, ended.status) == (Code.Canceled, Status.Cancelled)

    async def test_a_mandate_once_given_is_not_called_off(self, gocardless: Merchant) -> None:
        call = builders.debit()
        made = approved(await gocardless.connection.authorize(call))
        void = builders.void(made.psp_id or "", ref=call.reference)
        assert declined(await gocardless.connection.void(void)).code is Code.InvalidPreconditions
        look = lookup(call.reference, made.psp_id)
        approved(await gocardless.connection.fetch_authorization(look))

    async def test_the_page_is_made_again_after_a_lost_answer(self, gocardless: Merchant) -> None:
        call = builders.authorize("0", role=Role.Debit)
        await gocardless.fault("drop", when="after", count=1, operations=["checkout_session"])
        with pytest.raises(OutcomeUnknown):
            await gocardless.connection.authorize(call)
        opened = await gocardless.connection.authorize(call)
        assert isinstance(opened, RedirectRequired)
        assert len((await gocardless.call("GET", "/billing_requests"))["billing_requests"]) == 1

    async def test_without_a_way_back(self, gocardless: Merchant) -> None:
        call = builders.authorize("0", role=Role.Debit, success_url=None)
        assert declined(await gocardless.connection.authorize(call)).code is Code.InvalidData


async def decided_in(
    merchant: Merchant, psp_id: str | None, reference: str, currency: str
) -> Outcome:
    async def look() -> Outcome | None:
        asked = lookup(reference, psp_id, currency=currency)
        found = await merchant.connection.fetch_payment(asked)
        return None if isinstance(found, Pending) else found

    return await eventually(look)


class TestUseOfAMandate:
    async def test_an_upgrade_keeps_what_is_stored(self, gocardless: Merchant) -> None:
        stored = await mandate(gocardless)
        call = builders.authorize("30.00", role=Role.Debit, initial=False, instrument=stored)
        outcome = approved(await gocardless.connection.authorize(call))
        assert outcome.instrument == stored
        look = lookup(call.reference, outcome.psp_id)
        assert approved(await gocardless.connection.fetch_authorization(look)).instrument is None

    @pytest.mark.parametrize("how", ["mandate_cancelled", "mandate_expired", "mandate_failed"])
    async def test_an_ended_mandate(self, gocardless: Merchant, how: str) -> None:
        stored = await mandate(gocardless)
        await gocardless.simulate(how, stored.token["mandate"])
        upgrade = builders.authorize("30.00", role=Role.Debit, initial=False, instrument=stored)
        assert declined(await gocardless.connection.authorize(upgrade)).code is Code.BearerInvalid
        call = await charged(gocardless, instrument=stored)
        refused = declined(await gocardless.connection.charge(call))
        assert (refused.code, refused.psp_code) == (Code.BearerInvalid, "mandate_is_inactive")

    async def test_an_existing_mandate_is_taken_over(self, gocardless: Merchant) -> None:
        token = (await mandate(gocardless)).token["mandate"]
        call = builders.authorize("0", role=Role.Debit, migration_token=token)
        outcome = approved(await gocardless.connection.authorize(call))
        assert outcome.instrument is not None
        assert outcome.instrument.token == {"mandate": token}
        assert outcome.instrument.bearer["Holder"] == "Mia Kern"

    @pytest.mark.parametrize("token", ["MD000", "../creditors", "PM1"])
    async def test_a_mandate_that_is_none(self, gocardless: Merchant, token: str) -> None:
        call = builders.authorize("0", role=Role.Debit, migration_token=token)
        assert declined(await gocardless.connection.authorize(call)).code is Code.InvalidData

    async def test_a_mandate_of_another_scheme(self, gocardless: Merchant) -> None:
        token = (await mandate(gocardless)).token["mandate"]
        call = builders.authorize("0", role=Role.Autogiro, currency="SEK", migration_token=token)
        assert declined(await gocardless.connection.authorize(call)).code is Code.InvalidData


class TestPayments:
    async def test_collected(self, gocardless: Merchant) -> None:
        reference, psp_id = await paid(gocardless)
        assert await gocardless.booked(reference) == [("charge", "49.90")]
        for known in (psp_id, None):
            found = approved(await gocardless.connection.fetch_payment(lookup(reference, known)))
            assert facts(found) == [(FactKind.PAID, Decimal("49.90"))]
            assert found.psp_id == found.facts[0].id == psp_id

    async def test_paid_out(self, gocardless: Merchant) -> None:
        reference, psp_id = await paid(gocardless)
        before = await gocardless.connection.fetch_payment(lookup(reference, psp_id))
        await gocardless.simulate("payment_paid_out", psp_id)
        assert await gocardless.connection.fetch_payment(lookup(reference, psp_id)) == before

    async def test_not_collected(self, gocardless: Merchant) -> None:
        call = await charged(gocardless, instrument=await mandate(gocardless, FAILING_IBAN))
        made = await gocardless.connection.charge(call)
        assert isinstance(made, Pending)
        failed = declined(await decided(gocardless, made.psp_id, call.reference))
        assert (failed.code, failed.psp_code) == (Code.InsufficientBalance, "insufficient_funds")
        assert failed.psp_id == made.psp_id
        assert await gocardless.booked(call.reference) == []

    async def test_charged_back(self, gocardless: Merchant) -> None:
        call = await charged(gocardless, instrument=await mandate(gocardless, RETURNED_IBAN))
        made = await gocardless.connection.charge(call)
        assert isinstance(made, Pending)

        async def look() -> Approved | None:
            look = lookup(call.reference, made.psp_id)
            found = await gocardless.connection.fetch_payment(look)
            is_back = isinstance(found, Approved) and len(found.facts) == 2
            return found if is_back and isinstance(found, Approved) else None

        outcome = await eventually(look)
        amount = Decimal("49.90")
        assert facts(outcome) == [(FactKind.PAID, amount), (FactKind.CHARGED_BACK, amount)]
        assert outcome.facts[1].reason is Reason.InsufficientBalance
        assert outcome.facts[1].psp_reason_code == "insufficient_funds"

    async def test_a_late_failure_is_a_chargeback(self, gocardless: Merchant) -> None:
        reference, psp_id = await paid(gocardless)
        await gocardless.simulate("payment_late_failure", psp_id)
        shown = await gocardless.call("GET", f"/payments/{psp_id}")
        assert shown["payments"]["status"] == "failed"
        outcome = await gocardless.connection.fetch_payment(lookup(reference, psp_id))
        amount = Decimal("49.90")
        assert facts(outcome) == [(FactKind.PAID, amount), (FactKind.CHARGED_BACK, amount)]

    async def test_a_cancelled_chargeback(self, gocardless: Merchant) -> None:
        reference, psp_id = await paid(gocardless)
        await gocardless.simulate("payment_charged_back", psp_id)
        look = lookup(reference, psp_id)
        back = approved(await gocardless.connection.fetch_payment(look))
        assert [fact.kind for fact in back.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]
        await gocardless.simulate("payment_chargeback_cancelled", psp_id)
        kept = approved(await gocardless.connection.fetch_payment(look))
        assert kept.facts == back.facts[:1]

    async def test_cancelled_in_the_dashboard(self, gocardless: Merchant) -> None:
        call = await charged(gocardless)
        made = await gocardless.connection.charge(call)
        assert isinstance(made, Pending)
        await gocardless.call("POST", f"/payments/{made.psp_id}/actions/cancel", {"data": {}})
        ended = declined(
            await gocardless.connection.fetch_payment(lookup(call.reference, made.psp_id))
        )
        assert (ended.code, ended.status) == (Code.Canceled, Status.Cancelled)

    @pytest.mark.parametrize("days", [-3, 0, 30])
    async def test_a_day_that_is_too_early_is_moved(self, gocardless: Merchant, days: int) -> None:
        wanted = datetime.now(UTC).date() + timedelta(days=days)
        call = await charged(gocardless, execute_on=wanted)
        made = await gocardless.connection.charge(call)
        assert isinstance(made, Pending)
        shown = await gocardless.call("GET", f"/payments/{made.psp_id}")
        first = await gocardless.call("GET", f"/mandates/{call.instrument.token['mandate']}")
        earliest = date.fromisoformat(first["mandates"]["next_possible_charge_date"])
        assert date.fromisoformat(shown["payments"]["charge_date"]) == max(wanted, earliest)

    async def test_a_repetition_gets_the_payment(self, gocardless: Merchant) -> None:
        call = await charged(gocardless)
        first = await gocardless.connection.charge(call)
        again = await gocardless.connection.charge(call)
        assert isinstance(first, Pending)
        assert getattr(again, "psp_id", None) == first.psp_id
        await decided(gocardless, first.psp_id, call.reference)
        settled = approved(await gocardless.connection.charge(call))
        assert settled.psp_id == first.psp_id
        assert await gocardless.booked(call.reference) == [("charge", "49.90")]

    async def test_a_repetition_refused_for_another_reason_gets_the_payment(
        self, gocardless: Merchant
    ) -> None:
        """Whether GoCardless looks at the key before the mandate is unconfirmed."""
        call = await charged(gocardless)
        first = await gocardless.connection.charge(call)
        assert isinstance(first, Pending)
        await gocardless.simulate("mandate_cancelled", call.instrument.token["mandate"])
        other_key = call.model_copy(update={"idempotency_key": "expired"})
        again = await gocardless.connection.charge(other_key)
        assert getattr(again, "psp_id", None) == first.psp_id

    @pytest.mark.parametrize(
        ("ending", "troubles"),
        [
            ("03", [OutcomeUnknown, OutcomeUnknown]),
            ("04", [OutcomeUnknown]),
            ("09", [RateLimited]),
            ("10", [OutcomeUnknown, OutcomeUnknown]),
        ],
    )
    async def test_troubles_on_the_way(
        self, gocardless: Merchant, ending: str, troubles: list[type]
    ) -> None:
        call = await charged(gocardless, f"12.{ending}")
        outcome, met = await persistently(gocardless, call)
        assert met == troubles
        await decided(gocardless, getattr(outcome, "psp_id", None), call.reference)
        assert await gocardless.booked(call.reference) == [("charge", f"12.{ending}")]

    async def test_metadata_and_texts(self, gocardless: Merchant) -> None:
        text = "20260115-65a7f1c2 Grundgebühr „Pro“ für März"
        call = await charged(gocardless, text=text)
        made = await gocardless.connection.charge(call)
        assert isinstance(made, Pending)
        shown = (await gocardless.call("GET", f"/payments/{made.psp_id}"))["payments"]
        assert shown["metadata"] == {"transaction_id": call.reference}
        assert shown["reference"] == "20260115-65a7f1c2 Grundgebuhr Pro fur Marz"
        assert shown["description"] == text
        assert shown["retry_if_possible"] is False

    async def test_without_a_mandate(self, gocardless: Merchant) -> None:
        call = builders.charge(role=Role.Debit, instrument=Instrument(token={}, bearer={}))
        assert declined(await gocardless.connection.charge(call)).code is Code.BearerInvalid

    async def test_an_amount_no_request_can_carry(self, gocardless: Merchant) -> None:
        call = await charged(gocardless, "1.001")
        assert declined(await gocardless.connection.charge(call)).code is Code.InvalidAmount

    async def test_nothing_to_capture(self, gocardless: Merchant) -> None:
        refused = declined(await gocardless.connection.capture(builders.capture(of="BRQ1")))
        assert refused.code is Code.InvalidPreconditions

    async def test_somebody_elses_payment(self, gocardless: Merchant) -> None:
        assert await gocardless.connection.fetch_payment(lookup(psp_id="PM000")) is None


class TestRefunds:
    async def given(self, merchant: Merchant, call: Refund, psp_id: str | None) -> Outcome:
        async def look() -> Outcome | None:
            found = await merchant.connection.fetch_refund(lookup(call.reference, psp_id))
            return None if isinstance(found, Pending) else found

        return await eventually(look)

    async def test_several_parts(self, gocardless: Merchant) -> None:
        _, payment = await paid(gocardless)
        for amount in ("19.00", "30.90"):
            call = builders.refund(amount, of=payment)
            made = await gocardless.connection.refund(call)
            assert isinstance(made, Pending)
            done = await self.given(gocardless, call, made.psp_id)
            assert facts(done) == [(FactKind.REFUNDED, Decimal(amount))]
            assert await gocardless.booked(call.reference) == [("refund", amount)]
            named = await gocardless.connection.fetch_refund(lookup(call.reference))
            assert named == done

    async def test_more_than_is_left(self, gocardless: Merchant) -> None:
        _, payment = await paid(gocardless)
        await gocardless.connection.refund(builders.refund("40.00", of=payment))
        refused = declined(await gocardless.connection.refund(builders.refund("10.00", of=payment)))
        assert refused.code is Code.InvalidAmount

    async def test_a_balance_that_is_too_small(self, gocardless: Merchant) -> None:
        _, payment = await paid(gocardless)
        call = builders.refund("10.01", of=payment)
        refused = declined(await gocardless.connection.refund(call))
        assert refused.code is Code.InsufficientBalance
        assert refused.psp_code == "available_refund_amount_insufficient"

    async def test_a_payment_that_is_not_there_yet(self, gocardless: Merchant) -> None:
        made = await gocardless.connection.charge(await charged(gocardless))
        assert isinstance(made, Pending)
        call = builders.refund("10.00", of=made.psp_id or "")
        refused = declined(await gocardless.connection.refund(call))
        assert refused.psp_code == "refund_payment_invalid_state"

    async def test_a_payment_that_does_not_exist(self, gocardless: Merchant) -> None:
        refused = declined(await gocardless.connection.refund(builders.refund(of="PM000")))
        assert refused.code is Code.InvalidData

    @pytest.mark.parametrize("how", ["refund_bounced", "refund_returned"])
    async def test_one_that_comes_back(self, gocardless: Merchant, how: str) -> None:
        _, payment = await paid(gocardless)
        call = builders.refund("19.00", of=payment)
        made = await gocardless.connection.refund(call)
        assert isinstance(made, Pending)
        approved(await self.given(gocardless, call, made.psp_id))
        await gocardless.simulate(how, made.psp_id or "")
        back = declined(
            await gocardless.connection.fetch_refund(lookup(call.reference, made.psp_id))
        )
        assert back.status is Status.Failed
        assert back.psp_code == {"refund_bounced": "bounced"}.get(how, "funds_returned")
        # What came back can be given again.
        approved_again = await gocardless.connection.refund(builders.refund("49.90", of=payment))
        assert isinstance(approved_again, Pending)

    async def test_a_repetition_gets_the_refund_though_its_total_differs(
        self, gocardless: Merchant
    ) -> None:
        _, payment = await paid(gocardless)
        call = builders.refund("49.90", of=payment)
        await gocardless.fault("drop", when="after", count=1, operations=["refund"])
        outcome, met = await persistently(gocardless, call)
        assert met == [OutcomeUnknown]
        await self.given(gocardless, call, getattr(outcome, "psp_id", None))
        assert await gocardless.booked(call.reference) == [("refund", "49.90")]

    async def test_two_at_once_know_of_each_other(self, gocardless: Merchant) -> None:
        _, payment = await paid(gocardless)
        calls = [builders.refund("10.00", of=payment) for _ in range(4)]
        done = await asyncio.gather(*(persistently(gocardless, call) for call in calls))
        assert all(isinstance(outcome, Pending | Approved) for outcome, _ in done)
        for call in calls:
            await self.given(gocardless, call, None)
            assert await gocardless.booked(call.reference) == [("refund", "10.00")]


class TestLists:
    async def events(self, merchant: Merchant, cursor: str | None) -> tuple[list[Any], str | None]:
        found: list[ListedEvent] = []
        while True:
            page = await merchant.connection.list_events(cursor)
            found += page.events
            cursor = page.cursor
            if not page.more:
                return found, cursor

    async def test_events_oldest_first(self, gocardless: Merchant) -> None:
        reference, psp_id = await paid(gocardless)
        await asyncio.sleep(5.2)  # the list is read up to a moment that surely is complete
        found, cursor = await self.events(gocardless, None)
        notices = [notice for event in found for notice in event.notices]
        told = [notice for notice in notices if psp_id in notice.psp_ids]
        assert [notice.reference for notice in told] == [reference]
        assert all(notice.result is None for notice in notices)
        assert [tuple(gocardless.adapter.read_event(event.raw)) for event in found] == [
            event.notices for event in found
        ]
        stored = await gocardless.call("GET", "/events")
        assert [n.event_id for n in notices] == [e["id"] for e in stored["events"]][::-1]
        # Nothing new: the cursor stays.
        assert await self.events(gocardless, cursor) == ([], cursor)

    async def test_movements_of_a_window(self, gocardless: Merchant) -> None:
        since = datetime.now(UTC)
        reference, payment = await paid(gocardless)
        call = builders.refund("19.00", of=payment)
        await gocardless.connection.refund(call)
        until = datetime.now(UTC) + timedelta(seconds=1)
        found: list[Movement] = []
        cursor: str | None = None
        while True:
            page = await gocardless.connection.list_movements(since, until, cursor)
            found += page.movements
            cursor = page.cursor
            if cursor is None:
                break
        assert [(m.reference, m.amount, m.parent_psp_id) for m in found] == [
            (reference, Decimal("49.90"), None),
            (call.reference, Decimal("19.00"), payment),
        ]
        assert found[0].outcome == await gocardless.connection.fetch_payment(
            lookup(reference, payment)
        )
        before = await gocardless.connection.list_movements(since - timedelta(hours=1), since, None)
        assert before.movements == ()


class TestSettings:
    async def test_right_ones(self, gocardless: Merchant) -> None:
        check = await gocardless.connection.verify_settings()
        assert check.roles == {Role.Debit, Role.Autogiro, Role.Betalingsservice}
        assert check.account is not None
        assert check.account.startswith("CR")

    async def test_a_wrong_token(self, gocardless: Merchant) -> None:
        wrong = gocardless.settings.model_copy(
            update={"access_token": type(gocardless.settings.access_token)("sandbox_wrong")}
        )
        connection = gocardless.adapter.connect(wrong, gocardless.http)
        with pytest.raises(CredentialsRejected):
            await connection.verify_settings()
        with pytest.raises(CredentialsRejected):
            await connection.charge(await charged(gocardless))
