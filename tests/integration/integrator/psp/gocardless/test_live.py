"""The GoCardless adapter against the running emulator."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import httpx
import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import OutcomeUnknown, PspUnavailable
from integrator.psp.types import (
    Absent,
    Approved,
    Charge,
    Declined,
    FactKind,
    Instrument,
    ListedEvent,
    LookupAnswer,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
    Refund,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.builders import GOOD_IBAN, lookup
from tests.integration.integrator.psp.conftest import SETTLE_SECONDS
from tests.integration.integrator.psp.gocardless.conftest import GoCardlessMerchant

TIMEOUT_SECONDS = 8.0
FAILING_IBAN = "DE62370400440532013001"
RETURNED_IBAN = "DE35370400440532013002"

T = TypeVar("T")
Merchant = GoCardlessMerchant


async def wait_for(read: Callable[[], Awaitable[T | None]]) -> T:
    """Call `read` until it returns something."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        result = await read()
        if result is not None:
            return result
        await asyncio.sleep(SETTLE_SECONDS / 4)
    raise AssertionError("did not happen in time")


def assert_approved(outcome: LookupAnswer) -> Approved:
    assert isinstance(outcome, Approved), outcome
    return outcome


def assert_declined(outcome: LookupAnswer) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


def fact_amounts(outcome: LookupAnswer) -> list[tuple[FactKind, Decimal]]:
    return [(fact.kind, fact.amount) for fact in assert_approved(outcome).facts]


def assert_nets_to_paid(outcome: Approved, *, withdrawals: int) -> None:
    """Assert that every withdrawal of a payment came back."""
    paid, *others = outcome.facts
    assert paid.kind is FactKind.PAID
    assert len({fact.id for fact in outcome.facts}) == 1 + 2 * withdrawals
    for withdrawn, returned in zip(others[::2], others[1::2], strict=True):
        assert (withdrawn.kind, returned.kind) == (
            FactKind.CHARGED_BACK,
            FactKind.CHARGEBACK_REVERSED,
        )
        assert (returned.reverses, returned.amount) == (withdrawn.id, paid.amount)


async def create_mandate(merchant: Merchant, iban: str = GOOD_IBAN) -> Instrument:
    signed = assert_approved(await merchant.connection.authorize(builders.debit(iban=iban)))
    assert signed.instrument is not None
    return signed.instrument


async def build_charge(merchant: Merchant, amount: str = "49.90", **values: Any) -> Charge:
    instrument = values.pop("instrument", None) or await create_mandate(merchant)
    return builders.charge(amount, role=Role.Debit, instrument=instrument, **values)


async def wait_for_decision(merchant: Merchant, psp_id: str | None, reference: str) -> Outcome:
    """Return the payment's outcome once it is no longer pending."""

    async def read() -> Outcome | None:
        outcome = await merchant.connection.fetch_payment(lookup(reference, psp_id))
        return None if isinstance(outcome, Pending | Absent) else outcome

    return await wait_for(read)


async def create_paid_payment(merchant: Merchant, amount: str = "49.90") -> tuple[str, str]:
    """Return reference and PSP id of a collected payment."""
    call = await build_charge(merchant, amount)
    payment = await merchant.connection.charge(call)
    assert isinstance(payment, Pending)
    assert payment.psp_id is not None
    assert_approved(await wait_for_decision(merchant, payment.psp_id, call.reference))
    return call.reference, payment.psp_id


async def refund_with_retries(merchant: Merchant, call: Refund) -> Outcome:
    """Retry a refund with its key as a worker would."""
    for _ in range(5):
        with suppress(OutcomeUnknown, PspUnavailable):
            return await merchant.connection.refund(call)
    raise AssertionError("the refund never succeeded")


class TestSignUpByIban:
    async def test_a_mandate(self, gocardless: Merchant) -> None:
        call = builders.debit()
        outcome = assert_approved(await gocardless.connection.authorize(call))
        assert outcome.psp_id is not None
        assert outcome.psp_id.startswith("BRQ")
        assert outcome.facts == ()
        assert outcome.instrument is not None
        bearer = outcome.instrument.bearer
        assert (bearer["Holder"], bearer["IBAN"]) == ("Mia Kern", GOOD_IBAN)
        response_body = await gocardless.call_api(
            "GET", f"/mandates/{outcome.instrument.token['mandate']}"
        )
        assert bearer["MandateId"] == response_body["mandates"]["reference"]

    async def test_is_found_by_id_and_by_our_reference(self, gocardless: Merchant) -> None:
        call = builders.debit()
        authorization = assert_approved(await gocardless.connection.authorize(call))
        for psp_id in (authorization.psp_id, None):
            request = lookup(call.reference, psp_id, role=Role.Debit)
            outcome = assert_approved(await gocardless.connection.fetch_authorization(request))
            assert outcome.psp_id == authorization.psp_id
            assert outcome.instrument is not None
            assert authorization.instrument is not None
            assert outcome.instrument.token == authorization.instrument.token
            assert outcome.instrument.bearer["Last4"] == GOOD_IBAN[-4:]
            assert "IBAN" not in outcome.instrument.bearer

    @pytest.mark.parametrize("step", range(5))
    async def test_continues_after_a_lost_response(self, gocardless: Merchant, step: int) -> None:
        """The response to the request, to a step or to the fulfilment may be lost."""
        call = builders.debit()
        lost = _LostResponseConnection(gocardless, step)
        with pytest.raises(OutcomeUnknown):
            await lost.connection.authorize(call)
        outcome = assert_approved(await gocardless.connection.authorize(call))
        again = assert_approved(await gocardless.connection.authorize(call))
        assert again == outcome
        listed = await gocardless.call_api("GET", "/mandates")
        assert len(listed["mandates"]) == 1

    @pytest.mark.parametrize(
        ("bearer", "code"),
        [
            ({"Holder": "Mia Kern", "IBAN": "DE00"}, Code.InvalidIBAN),
            ({"Holder": "", "IBAN": GOOD_IBAN}, Code.BearerInvalid),
        ],
    )
    async def test_invalid_payment_data_is_declined(
        self, gocardless: Merchant, bearer: dict[str, str], code: Code
    ) -> None:
        call = builders.authorize(role=Role.Debit, initial_bearer=bearer)
        assert assert_declined(await gocardless.connection.authorize(call)).code is code

    async def test_without_an_email(self, gocardless: Merchant) -> None:
        call = builders.debit(payer=Payer(name="Mia Kern"))
        refused = assert_declined(await gocardless.connection.authorize(call))
        assert (refused.code, refused.psp_code) == (Code.InvalidData, "validation_failed")

    async def test_another_currency(self, gocardless: Merchant) -> None:
        call = builders.debit(currency="SEK")
        assert (
            assert_declined(await gocardless.connection.authorize(call)).code
            is Code.InvalidCurrency
        )


class _LostResponseConnection:
    """Connection that loses the response to the n-th write."""

    def __init__(self, merchant: Merchant, step: int) -> None:
        seen = 0

        class Losing(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
                nonlocal seen
                forwarded_headers = {k: v for k, v in request.headers.items() if k not in ("host",)}
                answer = await merchant.http.request(
                    request.method,
                    str(request.url),
                    headers=forwarded_headers,
                    content=await request.aread(),
                )
                if request.method == "POST":
                    seen += 1
                    if seen == step + 1:
                        raise httpx.ReadTimeout("lost", request=request)
                return httpx.Response(answer.status_code, content=answer.content, request=request)

        http = httpx.AsyncClient(transport=Losing())
        self.connection = merchant.adapter.connect(merchant.settings, http)


class TestHostedPage:
    async def open(self, merchant: Merchant) -> tuple[str, RedirectRequired]:
        call = builders.authorize("0", role=Role.Debit)
        opened = await merchant.connection.authorize(call)
        assert isinstance(opened, RedirectRequired)
        assert opened.url is not None
        assert opened.expires_at > datetime.now(UTC)
        return call.reference, opened

    async def test_the_customer_returns_from_the_page(self, gocardless: Merchant) -> None:
        reference, opened = await self.open(gocardless)
        form = {"holder": "Mia Kern", "iban": GOOD_IBAN, "email": "mia.kern@example.org"}
        response = await gocardless.visit_page(opened.url or "", action="confirm", **form)
        assert response.headers["location"].startswith("https://shop.example/ok")
        request = lookup(reference, opened.psp_id)
        signed = assert_approved(await gocardless.connection.fetch_authorization(request))
        assert signed.psp_id == opened.psp_id
        assert signed.instrument is not None
        assert signed.instrument.bearer["Holder"] == "Mia Kern"

    async def test_exiting_the_page_leaves_it_open(self, gocardless: Merchant) -> None:
        reference, opened = await self.open(gocardless)
        response = await gocardless.visit_page(opened.url or "", action="exit")
        assert response.headers["location"].startswith("https://shop.example/abort")
        request = lookup(reference, opened.psp_id)
        outcome = await gocardless.connection.fetch_authorization(request)
        assert isinstance(outcome, RedirectRequired)

    async def test_an_open_sign_up_is_cancelled(self, gocardless: Merchant) -> None:
        reference, opened = await self.open(gocardless)
        call = builders.void(opened.psp_id, ref=reference)
        for _ in range(2):
            assert assert_approved(await gocardless.connection.void(call)).psp_id == opened.psp_id
        request = lookup(reference, opened.psp_id)
        ended = assert_declined(await gocardless.connection.fetch_authorization(request))
        assert (ended.code, ended.status) == (Code.Canceled, Status.Cancelled)

    async def test_a_signed_mandate_is_not_cancelled(self, gocardless: Merchant) -> None:
        call = builders.debit()
        authorization = assert_approved(await gocardless.connection.authorize(call))
        void = builders.void(authorization.psp_id or "", ref=call.reference)
        assert (
            assert_declined(await gocardless.connection.void(void)).code
            is Code.InvalidPreconditions
        )
        request = lookup(call.reference, authorization.psp_id)
        assert_approved(await gocardless.connection.fetch_authorization(request))

    async def test_a_new_page_is_created_after_a_lost_response(self, gocardless: Merchant) -> None:
        call = builders.authorize("0", role=Role.Debit)
        await gocardless.inject_fault(
            "drop", when="after", count=1, operations=["checkout_session"]
        )
        with pytest.raises(OutcomeUnknown):
            await gocardless.connection.authorize(call)
        opened = await gocardless.connection.authorize(call)
        assert isinstance(opened, RedirectRequired)
        assert len((await gocardless.call_api("GET", "/billing_requests"))["billing_requests"]) == 1

    async def test_without_return_urls(self, gocardless: Merchant) -> None:
        call = builders.authorize("0", role=Role.Debit, success_url=None)
        assert assert_declined(await gocardless.connection.authorize(call)).code is Code.InvalidData


class TestStoredMandate:
    async def test_an_upgrade_keeps_the_instrument(self, gocardless: Merchant) -> None:
        stored = await create_mandate(gocardless)
        call = builders.authorize("30.00", role=Role.Debit, initial=False, instrument=stored)
        outcome = assert_approved(await gocardless.connection.authorize(call))
        assert outcome.instrument == stored
        request = lookup(call.reference, outcome.psp_id)
        assert (
            assert_approved(await gocardless.connection.fetch_authorization(request)).instrument
            is None
        )

    @pytest.mark.parametrize("how", ["mandate_cancelled", "mandate_expired", "mandate_failed"])
    async def test_an_ended_mandate(self, gocardless: Merchant, how: str) -> None:
        stored = await create_mandate(gocardless)
        await gocardless.run_scenario(how, stored.token["mandate"])
        upgrade = builders.authorize("30.00", role=Role.Debit, initial=False, instrument=stored)
        assert (
            assert_declined(await gocardless.connection.authorize(upgrade)).code
            is Code.BearerInvalid
        )
        call = await build_charge(gocardless, instrument=stored)
        refused = assert_declined(await gocardless.connection.charge(call))
        assert (refused.code, refused.psp_code) == (Code.BearerInvalid, "mandate_is_inactive")

    async def test_an_existing_mandate_is_migrated(self, gocardless: Merchant) -> None:
        token = (await create_mandate(gocardless)).token["mandate"]
        call = builders.authorize("0", role=Role.Debit, migration_token=token)
        outcome = assert_approved(await gocardless.connection.authorize(call))
        assert outcome.instrument is not None
        assert outcome.instrument.token == {"mandate": token}
        assert outcome.instrument.bearer["Holder"] == "Mia Kern"

    @pytest.mark.parametrize("token", ["MD000", "../creditors", "PM1"])
    async def test_an_unknown_migration_token_is_declined(
        self, gocardless: Merchant, token: str
    ) -> None:
        call = builders.authorize("0", role=Role.Debit, migration_token=token)
        assert assert_declined(await gocardless.connection.authorize(call)).code is Code.InvalidData

    async def test_a_mandate_of_another_scheme(self, gocardless: Merchant) -> None:
        token = (await create_mandate(gocardless)).token["mandate"]
        call = builders.authorize("0", role=Role.Autogiro, currency="SEK", migration_token=token)
        assert assert_declined(await gocardless.connection.authorize(call)).code is Code.InvalidData


class TestPayments:
    async def test_paid_out(self, gocardless: Merchant) -> None:
        reference, psp_id = await create_paid_payment(gocardless)
        before = await gocardless.connection.fetch_payment(lookup(reference, psp_id))
        await gocardless.run_scenario("payment_paid_out", psp_id)
        assert await gocardless.connection.fetch_payment(lookup(reference, psp_id)) == before

    async def test_not_collected(self, gocardless: Merchant) -> None:
        call = await build_charge(
            gocardless, instrument=await create_mandate(gocardless, FAILING_IBAN)
        )
        payment = await gocardless.connection.charge(call)
        assert isinstance(payment, Pending)
        failed = assert_declined(
            await wait_for_decision(gocardless, payment.psp_id, call.reference)
        )
        assert (failed.code, failed.psp_code) == (Code.InsufficientBalance, "insufficient_funds")
        assert failed.psp_id == payment.psp_id
        assert await gocardless.list_bookings(call.reference) == []

    async def test_charged_back(self, gocardless: Merchant) -> None:
        call = await build_charge(
            gocardless, instrument=await create_mandate(gocardless, RETURNED_IBAN)
        )
        payment = await gocardless.connection.charge(call)
        assert isinstance(payment, Pending)

        async def read() -> Approved | None:
            request = lookup(call.reference, payment.psp_id)
            fetched_outcome = await gocardless.connection.fetch_payment(request)
            is_back = isinstance(fetched_outcome, Approved) and len(fetched_outcome.facts) == 2
            return fetched_outcome if is_back and isinstance(fetched_outcome, Approved) else None

        outcome = await wait_for(read)
        amount = Decimal("49.90")
        assert fact_amounts(outcome) == [(FactKind.PAID, amount), (FactKind.CHARGED_BACK, amount)]
        assert outcome.facts[1].reason is Reason.InsufficientBalance
        assert outcome.facts[1].psp_reason_code == "insufficient_funds"

    async def test_a_late_failure_is_a_chargeback(self, gocardless: Merchant) -> None:
        reference, psp_id = await create_paid_payment(gocardless)
        await gocardless.run_scenario("payment_late_failure", psp_id)
        response_body = await gocardless.call_api("GET", f"/payments/{psp_id}")
        assert response_body["payments"]["status"] == "failed"
        outcome = await gocardless.connection.fetch_payment(lookup(reference, psp_id))
        amount = Decimal("49.90")
        assert fact_amounts(outcome) == [(FactKind.PAID, amount), (FactKind.CHARGED_BACK, amount)]

    async def test_a_cancelled_chargeback(self, gocardless: Merchant) -> None:
        reference, psp_id = await create_paid_payment(gocardless)
        await gocardless.run_scenario("payment_charged_back", psp_id)
        request = lookup(reference, psp_id)
        outcome = assert_approved(await gocardless.connection.fetch_payment(request))
        assert [fact.kind for fact in outcome.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]
        await gocardless.run_scenario("payment_chargeback_cancelled", psp_id)
        returned = assert_approved(await gocardless.connection.fetch_payment(request))
        assert returned.facts[:2] == outcome.facts
        assert_nets_to_paid(returned, withdrawals=1)

    async def test_a_late_failure_that_is_collected_again(self, gocardless: Merchant) -> None:
        reference, psp_id = await create_paid_payment(gocardless)
        request = lookup(reference, psp_id)
        for scenario in ("payment_late_failure", "payment_confirmed", "payment_paid_out"):
            await gocardless.run_scenario(scenario, psp_id)
        outcome = assert_approved(await gocardless.connection.fetch_payment(request))
        assert_nets_to_paid(outcome, withdrawals=1)
        bookings = [kind for kind, _ in await gocardless.list_bookings(reference)]
        assert bookings == ["charge", "chargeback", "chargeback_reversal"]

    async def test_every_withdrawal_is_a_fact_of_its_own(self, gocardless: Merchant) -> None:
        reference, psp_id = await create_paid_payment(gocardless)
        request = lookup(reference, psp_id)
        for _ in range(2):
            await gocardless.run_scenario("payment_charged_back", psp_id)
            await gocardless.run_scenario("payment_chargeback_cancelled", psp_id)
        outcome = assert_approved(await gocardless.connection.fetch_payment(request))
        assert_nets_to_paid(outcome, withdrawals=2)
        await gocardless.run_scenario("payment_charged_back", psp_id)
        lost = assert_approved(await gocardless.connection.fetch_payment(request))
        kinds = [fact.kind for fact in lost.facts]
        assert kinds.count(FactKind.CHARGED_BACK) == kinds.count(FactKind.CHARGEBACK_REVERSED) + 1

    async def test_the_list_says_the_same_as_a_look_up(self, gocardless: Merchant) -> None:
        since = datetime.now(UTC) - timedelta(minutes=1)
        reference, psp_id = await create_paid_payment(gocardless)
        untouched, untouched_id = await create_paid_payment(gocardless)
        await gocardless.run_scenario("payment_late_failure", psp_id)
        await gocardless.run_scenario("payment_confirmed", psp_id)
        until = datetime.now(UTC) + timedelta(minutes=1)
        page = await gocardless.connection.list_movements(since, until, None)
        listed = {movement.psp_id: movement.outcome for movement in page.movements}
        for request in (lookup(reference, psp_id), lookup(untouched, untouched_id)):
            outcome = await gocardless.connection.fetch_payment(request)
            assert listed[request.psp_id or ""] == outcome
        assert_nets_to_paid(assert_approved(listed[psp_id]), withdrawals=1)

    async def test_cancelled_in_the_dashboard(self, gocardless: Merchant) -> None:
        call = await build_charge(gocardless)
        payment = await gocardless.connection.charge(call)
        assert isinstance(payment, Pending)
        await gocardless.call_api(
            "POST", f"/payments/{payment.psp_id}/actions/cancel", {"data": {}}
        )
        ended = assert_declined(
            await gocardless.connection.fetch_payment(lookup(call.reference, payment.psp_id))
        )
        assert (ended.code, ended.status) == (Code.Canceled, Status.Cancelled)

    @pytest.mark.parametrize("days", [-3, 0, 30])
    async def test_a_charge_date_before_the_first_possible_is_moved(
        self, gocardless: Merchant, days: int
    ) -> None:
        requested_date = datetime.now(UTC).date() + timedelta(days=days)
        call = await build_charge(gocardless, execute_on=requested_date)
        payment = await gocardless.connection.charge(call)
        assert isinstance(payment, Pending)
        response_body = await gocardless.call_api("GET", f"/payments/{payment.psp_id}")
        first = await gocardless.call_api("GET", f"/mandates/{call.instrument.token['mandate']}")
        earliest = date.fromisoformat(first["mandates"]["next_possible_charge_date"])
        assert date.fromisoformat(response_body["payments"]["charge_date"]) == max(
            requested_date, earliest
        )

    async def test_a_replaced_mandate_continues_with_the_new_one(
        self, gocardless: Merchant
    ) -> None:
        sign_up = builders.debit()
        signed = assert_approved(await gocardless.connection.authorize(sign_up))
        assert signed.instrument is not None
        former = signed.instrument.token["mandate"]
        await gocardless.run_scenario("mandate_replaced", former)
        call = await build_charge(gocardless, instrument=signed.instrument)
        payment = await gocardless.connection.charge(call)
        assert isinstance(payment, Pending)
        assert payment.succession is not None
        assert payment.succession.former_id == former
        sent = await gocardless.call_api("GET", f"/payments/{payment.psp_id}")
        assert sent["payments"]["links"]["mandate"] == payment.succession.new_id
        repeated = await gocardless.connection.charge(call)
        assert repeated == payment
        assert len(await gocardless.list_bookings(call.reference)) <= 1
        looked_up = assert_approved(
            await gocardless.connection.fetch_authorization(
                lookup(sign_up.reference, signed.psp_id)
            )
        )
        assert looked_up.succession == payment.succession
        assert looked_up.instrument is not None
        assert looked_up.instrument.token == {"mandate": payment.succession.new_id}

    async def test_a_repetition_returns_the_payment(self, gocardless: Merchant) -> None:
        call = await build_charge(gocardless)
        first = await gocardless.connection.charge(call)
        again = await gocardless.connection.charge(call)
        assert isinstance(first, Pending)
        assert getattr(again, "psp_id", None) == first.psp_id
        await wait_for_decision(gocardless, first.psp_id, call.reference)
        settled = assert_approved(await gocardless.connection.charge(call))
        assert settled.psp_id == first.psp_id
        assert await gocardless.list_bookings(call.reference) == [("charge", "49.90")]

    async def test_a_repetition_refused_for_another_reason_returns_the_payment(
        self, gocardless: Merchant
    ) -> None:
        """It is unconfirmed whether GoCardless checks the key before the mandate."""
        call = await build_charge(gocardless)
        first = await gocardless.connection.charge(call)
        assert isinstance(first, Pending)
        await gocardless.run_scenario("mandate_cancelled", call.instrument.token["mandate"])
        other_key = call.model_copy(update={"idempotency_key": "expired"})
        again = await gocardless.connection.charge(other_key)
        assert getattr(again, "psp_id", None) == first.psp_id

    async def test_metadata_and_texts(self, gocardless: Merchant) -> None:
        text = "20260115-65a7f1c2 Grundgebühr „Pro“ für März"
        call = await build_charge(gocardless, text=text)
        payment = await gocardless.connection.charge(call)
        assert isinstance(payment, Pending)
        response_body = (await gocardless.call_api("GET", f"/payments/{payment.psp_id}"))[
            "payments"
        ]
        assert response_body["metadata"] == {"transaction_id": call.reference}
        assert response_body["reference"] == "20260115-65a7f1c2 Grundgebuhr Pro fur Marz"
        assert response_body["description"] == text
        assert response_body["retry_if_possible"] is False

    async def test_nothing_to_capture(self, gocardless: Merchant) -> None:
        refused = assert_declined(
            await gocardless.connection.capture(builders.capture(authorization_id="BRQ1"))
        )
        assert refused.code is Code.InvalidPreconditions

    async def test_an_unknown_payment_is_not_found(self, gocardless: Merchant) -> None:
        answer = await gocardless.connection.fetch_payment(lookup(psp_id="PM000"))
        assert answer == Absent(proven=False)


class TestRefunds:
    async def wait_for_refund(
        self, merchant: Merchant, call: Refund, psp_id: str | None
    ) -> Outcome:
        async def read() -> Outcome | None:
            outcome = await merchant.connection.fetch_refund(lookup(call.reference, psp_id))
            return None if isinstance(outcome, Pending | Absent) else outcome

        return await wait_for(read)

    async def test_more_than_is_left(self, gocardless: Merchant) -> None:
        _, payment = await create_paid_payment(gocardless)
        await gocardless.connection.refund(builders.refund("40.00", payment_id=payment))
        refused = assert_declined(
            await gocardless.connection.refund(builders.refund("10.00", payment_id=payment))
        )
        assert refused.code is Code.InvalidAmount

    async def test_a_payment_that_is_not_collected_yet(self, gocardless: Merchant) -> None:
        payment = await gocardless.connection.charge(await build_charge(gocardless))
        assert isinstance(payment, Pending)
        call = builders.refund("10.00", payment_id=payment.psp_id or "")
        refused = assert_declined(await gocardless.connection.refund(call))
        assert refused.psp_code == "refund_payment_invalid_state"

    async def test_a_payment_that_does_not_exist(self, gocardless: Merchant) -> None:
        refused = assert_declined(
            await gocardless.connection.refund(builders.refund(payment_id="PM000"))
        )
        assert refused.code is Code.InvalidData

    @pytest.mark.parametrize("how", ["refund_bounced", "refund_returned"])
    async def test_a_returned_refund_has_failed(self, gocardless: Merchant, how: str) -> None:
        _, payment = await create_paid_payment(gocardless)
        call = builders.refund("19.00", payment_id=payment)
        refund_outcome = await gocardless.connection.refund(call)
        assert isinstance(refund_outcome, Pending)
        assert_approved(await self.wait_for_refund(gocardless, call, refund_outcome.psp_id))
        await gocardless.run_scenario(how, refund_outcome.psp_id or "")
        outcome = assert_declined(
            await gocardless.connection.fetch_refund(lookup(call.reference, refund_outcome.psp_id))
        )
        assert outcome.status is Status.Failed
        assert outcome.psp_code == {"refund_bounced": "bounced"}.get(how, "funds_returned")
        # A returned amount can be refunded again.
        approved_again = await gocardless.connection.refund(
            builders.refund("49.90", payment_id=payment)
        )
        assert isinstance(approved_again, Pending)

    async def test_concurrent_refunds_confirm_each_other(self, gocardless: Merchant) -> None:
        _, payment = await create_paid_payment(gocardless)
        calls = [builders.refund("10.00", payment_id=payment) for _ in range(4)]
        outcomes = await asyncio.gather(*(refund_with_retries(gocardless, call) for call in calls))
        assert all(isinstance(outcome, Pending | Approved) for outcome in outcomes)
        for call in calls:
            await self.wait_for_refund(gocardless, call, None)
            assert await gocardless.list_bookings(call.reference) == [("refund", "10.00")]


class TestLists:
    async def list_all_events(
        self, merchant: Merchant, cursor: str | None
    ) -> tuple[list[Any], str | None]:
        events: list[ListedEvent] = []
        while True:
            page = await merchant.connection.list_events(cursor)
            events += page.events
            cursor = page.cursor
            if not page.more:
                return events, cursor

    async def test_events_oldest_first(self, gocardless: Merchant) -> None:
        reference, psp_id = await create_paid_payment(gocardless)
        await asyncio.sleep(5.2)  # the list is read up to a moment that surely is complete
        events, cursor = await self.list_all_events(gocardless, None)
        notices = [notice for event in events for notice in event.notices]
        payment_events = [notice for notice in notices if psp_id in notice.psp_ids]
        assert [notice.reference for notice in payment_events] == [reference]
        assert all(notice.result is None for notice in notices)
        assert [tuple(gocardless.adapter.read_event(event.raw)) for event in events] == [
            event.notices for event in events
        ]
        stored = await gocardless.call_api("GET", "/events")
        assert [n.event_id for n in notices] == [e["id"] for e in stored["events"]][::-1]
        # Without new events the cursor is unchanged.
        assert await self.list_all_events(gocardless, cursor) == ([], cursor)


class TestSettings:
    async def test_good_settings(self, gocardless: Merchant) -> None:
        check = await gocardless.connection.verify_settings()
        assert check.roles == {Role.Debit, Role.Autogiro, Role.Betalingsservice}
        assert check.account is not None
        assert check.account.startswith("CR")
