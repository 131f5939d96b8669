"""The Billwerk+ Pay adapter against the running emulator."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.types import (
    Approved,
    Declined,
    FactKind,
    LookupAnswer,
    Movement,
    MovementKind,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.billwerk_pay.builders import settings
from tests.integration.integrator.psp.billwerk_pay.conftest import CARD_WITHOUT_FUNDS, Merchant
from tests.integration.integrator.psp.builders import lookup

T = TypeVar("T")
FactAmounts = list[tuple[FactKind, Decimal]]


async def wait_for(read: Callable[[], Awaitable[T | None]]) -> T:
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        result = await read()
        if result is not None:
            return result
        await asyncio.sleep(0.05)
    raise AssertionError("did not happen in time")


def assert_approved(outcome: LookupAnswer) -> Approved:
    assert isinstance(outcome, Approved), outcome
    return outcome


def assert_declined(outcome: LookupAnswer) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


def fact_amounts(outcome: LookupAnswer) -> FactAmounts:
    return [(fact.kind, fact.amount) for fact in assert_approved(outcome).facts]


async def create_reservation(merchant: Merchant, amount: str = "119.00") -> tuple[str, Approved]:
    card = await merchant.create_stored_card()
    call = builders.authorize(amount, initial=False, instrument=card)
    return call.reference, assert_approved(await merchant.connection.authorize(call))


async def create_payment(merchant: Merchant, amount: str = "119.00") -> tuple[str, Approved]:
    call = builders.charge(amount, instrument=await merchant.create_stored_card())
    return call.reference, assert_approved(await merchant.connection.charge(call))


class TestCheckout:
    async def open(self, merchant: Merchant, amount: str) -> tuple[str, RedirectRequired]:
        call = builders.authorize(amount)
        opened = await merchant.connection.authorize(call)
        assert isinstance(opened, RedirectRequired)
        assert opened.url is not None
        assert opened.expires_at > datetime.now(UTC)
        waiting = await merchant.connection.fetch_authorization(
            lookup(call.reference, opened.psp_id)
        )
        assert isinstance(waiting, RedirectRequired)
        return call.reference, opened

    async def test_reserves_and_stores_the_card(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        query = await merchant.visit_page(opened.url or "")
        assert query["invoice"] == reference
        assert query["id"] == opened.psp_id
        lookup_request = lookup(reference, opened.psp_id)
        outcome = assert_approved(await merchant.connection.fetch_authorization(lookup_request))
        assert outcome.psp_id == reference
        assert fact_amounts(outcome) == [(FactKind.AUTHORIZED, Decimal("119.00"))]
        assert outcome.facts[0].id == reference
        assert outcome.facts[0].expires_at is not None
        assert outcome.instrument is not None
        assert outcome.instrument.token == {
            "payment_method": query["payment_method"],
            "customer": reference,
        }
        assert outcome.instrument.bearer == {
            "CardType": "visa",
            "Country": "DE",
            "ExpiryMonth": "12",
            "ExpiryYear": "2030",
            "Last4": "4242",
            "MaskedCardPan": "424242XXXXXX4242",
        }
        later = builders.charge("20.00", instrument=outcome.instrument)
        assert fact_amounts(await merchant.connection.charge(later)) == [
            (FactKind.PAID, Decimal("20.00"))
        ]

    async def test_stores_the_card_for_amount_zero(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "0")
        query = await merchant.visit_page(opened.url or "")
        lookup_request = lookup(reference, opened.psp_id)
        outcome = assert_approved(await merchant.connection.fetch_authorization(lookup_request))
        assert outcome.psp_id is None
        assert outcome.facts == ()
        assert outcome.instrument is not None
        assert outcome.instrument.token["payment_method"] == query["payment_method"]

    async def test_a_declined_card_has_the_issuers_code(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        await merchant.visit_page(opened.url or "", CARD_WITHOUT_FUNDS)
        lookup_request = lookup(reference, opened.psp_id)
        outcome = assert_declined(await merchant.connection.fetch_authorization(lookup_request))
        assert (outcome.code, outcome.psp_code) == (Code.InsufficientBalance, "insufficient_funds")

    async def test_expires_for_amount_zero(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "0")
        await merchant.call_control("expirations", id=opened.psp_id)
        lookup_request = lookup(reference, opened.psp_id)
        outcome = assert_declined(await merchant.connection.fetch_authorization(lookup_request))
        assert outcome.status is Status.Expired

    async def test_is_closed_by_a_void(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        closing = builders.void(opened.psp_id, ref=reference)
        assert assert_approved(await merchant.connection.void(closing)).psp_id == opened.psp_id
        response = await merchant.http.post(opened.url or "", data={"action": "pay"})
        assert response.is_redirect
        assert await merchant.list_bookings(reference) == []

    async def test_a_void_cancels_the_reservation_of_the_page(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        await merchant.visit_page(opened.url or "")
        closing = builders.void(opened.psp_id, ref=reference)
        assert assert_approved(await merchant.connection.void(closing)).psp_id == reference
        assert [kind for kind, _, _ in await merchant.list_bookings(reference)] == [
            "authorize",
            "void",
        ]

    async def test_needs_the_return_urls(self, merchant: Merchant) -> None:
        call = builders.authorize("119.00", success_url=None)
        assert assert_declined(await merchant.connection.authorize(call)).code is Code.InvalidData

    async def test_an_existing_reservation_is_returned_for_a_refused_page(
        self, merchant: Merchant
    ) -> None:
        reference, opened = await self.open(merchant, "119.00")
        await merchant.visit_page(opened.url or "")
        again = builders.authorize("119.00", ref=reference, key="another key")
        assert assert_approved(await merchant.connection.authorize(again)).psp_id == reference


class TestReservation:
    async def test_declined(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card(CARD_WITHOUT_FUNDS)
        call = builders.authorize("119.00", initial=False, instrument=card)
        outcome = assert_declined(await merchant.connection.authorize(call))
        assert (outcome.code, outcome.psp_id) == (Code.InsufficientBalance, call.reference)

    async def test_a_repetition_reserves_once(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        call = builders.authorize("119.00", initial=False, instrument=card)
        outcomes = [await merchant.connection.authorize(call) for _ in range(2)]
        other_key = call.model_copy(update={"idempotency_key": "forgotten"})
        outcomes.append(await merchant.connection.authorize(other_key))
        assert outcomes[0] == outcomes[1] == outcomes[2]
        assert len(await merchant.list_bookings(call.reference)) == 1

    async def test_is_cancelled_once(self, merchant: Merchant) -> None:
        reference, _ = await create_reservation(merchant)
        for _ in range(2):
            outcome = await merchant.connection.void(builders.void(reference, ref=reference))
            assert assert_approved(outcome).psp_id == reference
        fetched_outcome = assert_declined(
            await merchant.connection.fetch_authorization(lookup(reference, reference))
        )
        assert fetched_outcome.status is Status.Cancelled
        assert [kind for kind, _, _ in await merchant.list_bookings(reference)] == [
            "authorize",
            "void",
        ]

    async def test_a_captured_one_is_not_cancelled(self, merchant: Merchant) -> None:
        reference, _ = await create_reservation(merchant)
        await merchant.connection.capture(builders.capture("119.00", authorization_id=reference))
        outcome = assert_declined(
            await merchant.connection.void(builders.void(reference, ref=reference))
        )
        assert (outcome.code, outcome.psp_code) == (Code.InvalidPreconditions, "79")

    async def test_expires(self, merchant: Merchant) -> None:
        reference, _ = await create_reservation(merchant)
        response_body = (await merchant.call_api("GET", f"v1/charge/{reference}")).json()
        await merchant.call_control("expirations", id=response_body["transaction"])
        outcome = assert_declined(
            await merchant.connection.fetch_authorization(lookup(reference, reference))
        )
        assert outcome.status is Status.Expired

    async def test_an_unknown_card(self, merchant: Merchant) -> None:
        call = builders.authorize(
            "119.00",
            initial=False,
            instrument=builders.CARD.model_copy(update={"token": {"payment_method": "ca_none"}}),
        )
        outcome = assert_declined(await merchant.connection.authorize(call))
        assert (outcome.code, outcome.psp_code) == (Code.BearerInvalid, "40")

    async def test_a_card_is_migrated(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        token = card.token["payment_method"]
        authorization = assert_approved(
            await merchant.connection.authorize(builders.authorize("0", migration_token=token))
        )
        assert authorization.instrument is not None
        assert authorization.instrument.token == card.token
        unknown = builders.authorize("0", migration_token="ca_none")
        assert (
            assert_declined(await merchant.connection.authorize(unknown)).code is Code.InvalidData
        )


class TestCapture:
    async def test_partial_capture_is_booked_once(self, merchant: Merchant) -> None:
        handle, _ = await create_reservation(merchant)
        call = builders.capture("100.00", authorization_id=handle)
        first = assert_approved(await merchant.connection.capture(call))
        assert first.psp_id is not None
        assert first.psp_id.startswith(f"{handle}/")
        assert fact_amounts(first) == [(FactKind.PAID, Decimal("100.00"))]
        assert await merchant.connection.capture(call) == first
        forgotten = call.model_copy(update={"idempotency_key": "forgotten"})
        assert await merchant.connection.capture(forgotten) == first
        assert await merchant.list_bookings(call.reference) == [
            ("capture", Decimal("100.00"), call.idempotency_key)
        ]

    async def test_a_capture_made_elsewhere_is_not_returned(self, merchant: Merchant) -> None:
        handle, _ = await create_reservation(merchant)
        await merchant.call_control("captures", reference=handle)
        call = builders.capture("119.00", authorization_id=handle)
        outcome = assert_declined(await merchant.connection.capture(call))
        assert (outcome.code, outcome.psp_code) == (Code.InvalidPreconditions, "79")

    async def test_declined_leaves_the_reservation(self, merchant: Merchant) -> None:
        handle, _ = await create_reservation(merchant)
        outcome = await merchant.connection.capture(
            builders.capture("100.01", authorization_id=handle)
        )
        assert assert_declined(outcome).code is Code.InsufficientBalance
        assert isinstance(
            await merchant.connection.fetch_authorization(lookup(handle, handle)), Approved
        )
        retried = await merchant.connection.capture(
            builders.capture("100.00", authorization_id=handle)
        )
        assert fact_amounts(retried) == [(FactKind.PAID, Decimal("100.00"))]


class TestCharge:
    async def test_is_booked_once(self, merchant: Merchant) -> None:
        call = builders.charge("119.00", instrument=await merchant.create_stored_card())
        first = assert_approved(await merchant.connection.charge(call))
        assert fact_amounts(first) == [(FactKind.PAID, Decimal("119.00"))]
        assert first.facts[0].booked_on == datetime.now(UTC).date()
        forgotten = call.model_copy(update={"idempotency_key": "forgotten"})
        for repeated in (call, forgotten):
            assert await merchant.connection.charge(repeated) == first
        assert await merchant.list_bookings(call.reference) == [
            ("charge", Decimal("119.00"), call.idempotency_key)
        ]
        for psp_id in (first.psp_id, None):
            outcome = await merchant.connection.fetch_payment(lookup(call.reference, psp_id))
            assert outcome == first

    async def test_a_decline_is_found(self, merchant: Merchant) -> None:
        call = builders.charge("100.01", instrument=await merchant.create_stored_card())
        outcome = assert_declined(await merchant.connection.charge(call))
        assert outcome.code is Code.InsufficientBalance
        assert await merchant.connection.fetch_payment(lookup(call.reference)) == outcome

    async def test_is_charged_back(self, merchant: Merchant) -> None:
        reference, payment = await create_payment(merchant, "100.07")

        async def read() -> LookupAnswer:
            outcome = await merchant.connection.fetch_payment(lookup(reference, payment.psp_id))
            return outcome if len(assert_approved(outcome).facts) == 2 else None

        outcome = assert_approved(await wait_for(read))
        assert fact_amounts(outcome)[1] == (FactKind.CHARGED_BACK, Decimal("100.07"))
        assert outcome.facts[1].reason is Reason.UserInitiated
        assert outcome.facts[1].psp_reason_code == "unauthorised"


class TestRefund:
    async def test_partial_refunds_of_a_captured_payment(self, merchant: Merchant) -> None:
        handle, _ = await create_reservation(merchant)
        capture = builders.capture("119.00", authorization_id=handle)
        capture_outcome = assert_approved(await merchant.connection.capture(capture))
        for amount in ("19.00", "100.00"):
            call = builders.refund(amount, payment_id=capture_outcome.psp_id or "", text="Sorry")
            refund_outcome = assert_approved(await merchant.connection.refund(call))
            assert fact_amounts(refund_outcome) == [(FactKind.REFUNDED, Decimal(amount))]
            assert await merchant.connection.refund(call) == refund_outcome
            for psp_id in (refund_outcome.psp_id, None):
                lookup_request = lookup(call.reference, psp_id)
                assert await merchant.connection.fetch_refund(lookup_request) == refund_outcome
            assert await merchant.list_bookings(call.reference) == [
                ("refund", Decimal(amount), call.idempotency_key)
            ]
        beyond = assert_declined(
            await merchant.connection.refund(
                builders.refund("1.00", payment_id=capture_outcome.psp_id or "")
            )
        )
        assert (beyond.code, beyond.psp_code) == (Code.InvalidAmount, "65")

    async def test_a_repetition_with_another_key_is_found_by_the_credit_note(
        self, merchant: Merchant
    ) -> None:
        _, payment = await create_payment(merchant)
        call = builders.refund("119.00", payment_id=payment.psp_id or "")
        refund_outcome = await merchant.connection.refund(call)
        forgotten = call.model_copy(update={"idempotency_key": "forgotten"})
        assert await merchant.connection.refund(forgotten) == refund_outcome
        assert len(await merchant.list_bookings(call.reference)) == 1


class TestAccount:
    async def test_one_of_several_secrets(self, merchant: Merchant) -> None:
        secret = merchant.settings.webhook_secret.get_secret_value()
        several = settings(PrivateKey=merchant.key, WebhookSecret=f"old, {secret}")
        connection = merchant.adapter.connect(several, merchant.http)
        assert (await connection.verify_settings()).roles == {Role.CreditCard}


class TestMovements:
    async def list_all_movements(
        self, merchant: Merchant, since: datetime, until: datetime
    ) -> list[Movement]:
        movements: list[Movement] = []
        cursor: str | None = None
        while True:
            page = await merchant.connection.list_movements(since, until, cursor)
            movements += page.movements
            cursor = page.cursor
            if cursor is None:
                return movements

    async def test_everything_in_a_window(self, merchant: Merchant) -> None:
        since = datetime.now(UTC)
        handle, _ = await create_reservation(merchant)
        capture = builders.capture("119.00", authorization_id=handle)
        capture_outcome = assert_approved(await merchant.connection.capture(capture))
        refund = builders.refund("19.00", payment_id=capture_outcome.psp_id or "")
        refund_outcome = assert_approved(await merchant.connection.refund(refund))
        reference, payment = await create_payment(merchant)
        await merchant.connection.charge(
            builders.charge("100.01", instrument=await merchant.create_stored_card())
        )
        until = datetime.now(UTC) + timedelta(seconds=1)
        movements = {m.psp_id: m for m in await self.list_all_movements(merchant, since, until)}
        assert set(movements) == {
            handle,
            capture_outcome.psp_id,
            refund_outcome.psp_id,
            payment.psp_id,
        }
        assert movements[handle].kind is MovementKind.AUTHORIZATION
        captured = movements[capture_outcome.psp_id or ""]
        assert (captured.kind, captured.parent_psp_id) == (MovementKind.PAYMENT, handle)
        assert captured.outcome == capture_outcome
        assert movements[payment.psp_id or ""].reference == reference
        refunded = movements[refund_outcome.psp_id or ""]
        assert (refunded.kind, refunded.parent_psp_id) == (
            MovementKind.REFUND,
            capture_outcome.psp_id,
        )
        assert refunded.outcome == refund_outcome
        assert await self.list_all_movements(merchant, until, until + timedelta(hours=1)) == []

    async def test_in_pages(self, merchant: Merchant) -> None:
        since = datetime.now(UTC)
        card = await merchant.create_stored_card()
        calls = [builders.charge(f"{n}.50", instrument=card) for n in range(1, 13)]
        bodies = [
            {
                "handle": call.reference,
                "amount": int(call.amount * 100),
                "currency": "EUR",
                "source": card.token["payment_method"],
                "settle": True,
            }
            for call in calls
        ]
        for body in bodies:
            (await merchant.call_api("POST", "v1/charge", json=body)).raise_for_status()
        page = (
            await merchant.call_api(
                "GET", "v1/list/transaction", params={"size": 10, "type": "settle"}
            )
        ).json()
        assert len(page["content"]) == 10
        assert page["next_page_token"] == "10"
        movements = await self.list_all_movements(
            merchant, since, datetime.now(UTC) + timedelta(seconds=1)
        )
        assert {m.reference for m in movements} == {call.reference for call in calls}

    async def test_a_chargeback_lists_its_payment_again(self, merchant: Merchant) -> None:
        reference, payment = await create_payment(merchant)
        await asyncio.sleep(0.01)
        since = datetime.now(UTC)
        await merchant.call_control("chargebacks", reference=reference)
        until = datetime.now(UTC) + timedelta(seconds=1)
        [movements] = await self.list_all_movements(merchant, since, until)
        assert (movements.kind, movements.psp_id) == (MovementKind.PAYMENT, payment.psp_id)
        assert fact_amounts(movements.outcome) == [
            (FactKind.PAID, Decimal("119.00")),
            (FactKind.CHARGED_BACK, Decimal("119.00")),
        ]
