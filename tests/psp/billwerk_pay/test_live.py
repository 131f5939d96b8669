"""The adapter against its stand-in, a process of its own."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, RateLimited
from integrator.psp.types import (
    Approved,
    Declined,
    FactKind,
    Movement,
    MovementKind,
    Outcome,
    Pending,
    RedirectRequired,
)
from tests.psp import builders
from tests.psp.billwerk_pay.builders import settings
from tests.psp.billwerk_pay.conftest import EXPIRED, POOR, Merchant
from tests.psp.builders import lookup

T = TypeVar("T")
Sums = list[tuple[FactKind, Decimal]]


async def eventually(look: Callable[[], Awaitable[T | None]]) -> T:
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline:
        found = await look()
        if found is not None:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("did not happen in time")


def approved(outcome: Outcome | None) -> Approved:
    assert isinstance(outcome, Approved), outcome
    return outcome


def declined(outcome: Outcome | None) -> Declined:
    assert isinstance(outcome, Declined), outcome
    return outcome


def sums(outcome: Outcome | None) -> Sums:
    return [(fact.kind, fact.amount) for fact in approved(outcome).facts]


async def held(merchant: Merchant, amount: str = "119.00") -> tuple[str, Approved]:
    card = await merchant.stored_card()
    call = builders.authorize(amount, initial=False, instrument=card)
    return call.reference, approved(await merchant.connection.authorize(call))


async def paid(merchant: Merchant, amount: str = "119.00") -> tuple[str, Approved]:
    call = builders.charge(amount, instrument=await merchant.stored_card())
    return call.reference, approved(await merchant.connection.charge(call))


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
        query = await merchant.visit(opened.url or "")
        assert query["invoice"] == reference
        assert query["id"] == opened.psp_id
        find = lookup(reference, opened.psp_id)
        found = approved(await merchant.connection.fetch_authorization(find))
        assert found.psp_id == reference
        assert sums(found) == [(FactKind.AUTHORIZED, Decimal("119.00"))]
        assert found.facts[0].id == reference
        assert found.facts[0].expires_at is not None
        assert found.instrument is not None
        assert found.instrument.token == {
            "payment_method": query["payment_method"],
            "customer": reference,
        }
        assert found.instrument.bearer == {
            "CardType": "visa",
            "Country": "DE",
            "ExpiryMonth": "12",
            "ExpiryYear": "2030",
            "Last4": "4242",
            "MaskedCardPan": "424242XXXXXX4242",
        }
        later = builders.charge("20.00", instrument=found.instrument)
        assert sums(await merchant.connection.charge(later)) == [(FactKind.PAID, Decimal("20.00"))]

    async def test_stores_the_card_alone_for_nothing(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "0")
        query = await merchant.visit(opened.url or "")
        find = lookup(reference, opened.psp_id)
        found = approved(await merchant.connection.fetch_authorization(find))
        assert found.psp_id is None
        assert found.facts == ()
        assert found.instrument is not None
        assert found.instrument.token["payment_method"] == query["payment_method"]
        again = builders.authorize("0", initial=False, instrument=found.instrument)
        assert approved(await merchant.connection.authorize(again)).facts == ()

    async def test_a_declined_card_ends_as_its_issuer_says(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        await merchant.visit(opened.url or "", POOR)
        find = lookup(reference, opened.psp_id)
        found = declined(await merchant.connection.fetch_authorization(find))
        assert (found.code, found.psp_code) == (Code.InsufficientBalance, "insufficient_funds")

    @pytest.mark.parametrize("amount", ["119.00", "0"])
    async def test_runs_out(self, merchant: Merchant, amount: str) -> None:
        reference, opened = await self.open(merchant, amount)
        await merchant.control("expirations", id=opened.psp_id)
        find = lookup(reference, opened.psp_id)
        found = declined(await merchant.connection.fetch_authorization(find))
        assert found.status is Status.Expired

    async def test_is_closed_by_a_void(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        closing = builders.void(opened.psp_id, ref=reference)
        assert approved(await merchant.connection.void(closing)).psp_id == opened.psp_id
        back = await merchant.http.post(opened.url or "", data={"action": "pay"})
        assert back.is_redirect
        assert await merchant.booked(reference) == []

    async def test_a_void_cancels_what_the_page_has_reserved(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        await merchant.visit(opened.url or "")
        closing = builders.void(opened.psp_id, ref=reference)
        assert approved(await merchant.connection.void(closing)).psp_id == reference
        assert [kind for kind, _, _ in await merchant.booked(reference)] == ["authorize", "void"]

    async def test_the_same_page_comes_again(self, merchant: Merchant) -> None:
        call = builders.authorize("119.00")
        first = await merchant.connection.authorize(call)
        second = await merchant.connection.authorize(call)
        assert isinstance(first, RedirectRequired)
        assert isinstance(second, RedirectRequired)
        assert second.psp_id == first.psp_id

    async def test_needs_the_return_urls(self, merchant: Merchant) -> None:
        call = builders.authorize("119.00", success_url=None)
        assert declined(await merchant.connection.authorize(call)).code is Code.InvalidData

    async def test_a_paid_handle_decides_a_refused_page(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "119.00")
        await merchant.visit(opened.url or "")
        again = builders.authorize("119.00", ref=reference, key="another key")
        assert approved(await merchant.connection.authorize(again)).psp_id == reference


class TestReservation:
    async def test_on_a_stored_card(self, merchant: Merchant) -> None:
        reference, outcome = await held(merchant)
        assert outcome.psp_id == reference
        assert sums(outcome) == [(FactKind.AUTHORIZED, Decimal("119.00"))]
        assert approved(await merchant.connection.fetch_authorization(lookup(reference))) == outcome

    @pytest.mark.parametrize(
        ("number", "code"), [(POOR, Code.InsufficientBalance), (EXPIRED, Code.BearerExpired)]
    )
    async def test_declined(self, merchant: Merchant, number: str, code: Code) -> None:
        card = await merchant.stored_card(number)
        call = builders.authorize("119.00", initial=False, instrument=card)
        outcome = declined(await merchant.connection.authorize(call))
        assert (outcome.code, outcome.psp_id) == (code, call.reference)

    async def test_a_repetition_reserves_once(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        call = builders.authorize("119.00", initial=False, instrument=card)
        outcomes = [await merchant.connection.authorize(call) for _ in range(2)]
        other_key = call.model_copy(update={"idempotency_key": "forgotten"})
        outcomes.append(await merchant.connection.authorize(other_key))
        assert outcomes[0] == outcomes[1] == outcomes[2]
        assert len(await merchant.booked(call.reference)) == 1

    async def test_is_cancelled_once(self, merchant: Merchant) -> None:
        reference, _ = await held(merchant)
        for _ in range(2):
            outcome = await merchant.connection.void(builders.void(reference, ref=reference))
            assert approved(outcome).psp_id == reference
        found = declined(
            await merchant.connection.fetch_authorization(lookup(reference, reference))
        )
        assert found.status is Status.Cancelled
        assert [kind for kind, _, _ in await merchant.booked(reference)] == ["authorize", "void"]

    async def test_a_captured_one_is_not_cancelled(self, merchant: Merchant) -> None:
        reference, _ = await held(merchant)
        await merchant.connection.capture(builders.capture("119.00", of=reference))
        outcome = declined(await merchant.connection.void(builders.void(reference, ref=reference)))
        assert (outcome.code, outcome.psp_code) == (Code.InvalidPreconditions, "79")

    async def test_lapses(self, merchant: Merchant) -> None:
        reference, _ = await held(merchant)
        shown = (await merchant.raw("GET", f"v1/charge/{reference}")).json()
        await merchant.control("expirations", id=shown["transaction"])
        found = declined(
            await merchant.connection.fetch_authorization(lookup(reference, reference))
        )
        assert found.status is Status.Expired

    async def test_an_unknown_card(self, merchant: Merchant) -> None:
        call = builders.authorize(
            "119.00",
            initial=False,
            instrument=builders.CARD.model_copy(update={"token": {"payment_method": "ca_none"}}),
        )
        outcome = declined(await merchant.connection.authorize(call))
        assert (outcome.code, outcome.psp_code) == (Code.BearerInvalid, "40")

    async def test_a_card_is_taken_over(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        token = card.token["payment_method"]
        taken = approved(
            await merchant.connection.authorize(builders.authorize("0", migration_token=token))
        )
        assert taken.instrument is not None
        assert taken.instrument.token == card.token
        unknown = builders.authorize("0", migration_token="ca_none")
        assert declined(await merchant.connection.authorize(unknown)).code is Code.InvalidData


class TestCapture:
    async def test_of_a_part_once(self, merchant: Merchant) -> None:
        handle, _ = await held(merchant)
        call = builders.capture("100.00", of=handle)
        first = approved(await merchant.connection.capture(call))
        assert first.psp_id is not None
        assert first.psp_id.startswith(f"{handle}/")
        assert sums(first) == [(FactKind.PAID, Decimal("100.00"))]
        assert await merchant.connection.capture(call) == first
        forgotten = call.model_copy(update={"idempotency_key": "forgotten"})
        assert await merchant.connection.capture(forgotten) == first
        assert await merchant.booked(call.reference) == [
            ("capture", Decimal("100.00"), call.idempotency_key)
        ]

    async def test_is_found_by_id_and_by_reference(self, merchant: Merchant) -> None:
        handle, _ = await held(merchant)
        call = builders.capture("119.00", of=handle)
        made = approved(await merchant.connection.capture(call))
        for psp_id in (made.psp_id, None):
            find = lookup(call.reference, psp_id)
            assert await merchant.connection.fetch_payment(find) == made
        kept = await merchant.connection.fetch_authorization(lookup(handle, handle))
        assert sums(kept) == [(FactKind.AUTHORIZED, Decimal("119.00"))]

    async def test_somebody_elses_is_none_of_ours(self, merchant: Merchant) -> None:
        handle, _ = await held(merchant)
        await merchant.control("captures", reference=handle)
        call = builders.capture("119.00", of=handle)
        outcome = declined(await merchant.connection.capture(call))
        assert (outcome.code, outcome.psp_code) == (Code.InvalidPreconditions, "79")

    async def test_declined_leaves_the_reservation(self, merchant: Merchant) -> None:
        handle, _ = await held(merchant)
        outcome = await merchant.connection.capture(builders.capture("100.01", of=handle))
        assert declined(outcome).code is Code.InsufficientBalance
        assert isinstance(
            await merchant.connection.fetch_authorization(lookup(handle, handle)), Approved
        )
        retried = await merchant.connection.capture(builders.capture("100.00", of=handle))
        assert sums(retried) == [(FactKind.PAID, Decimal("100.00"))]

    async def test_beyond_what_is_held(self, merchant: Merchant) -> None:
        handle, _ = await held(merchant, "50.00")
        outcome = declined(await merchant.connection.capture(builders.capture("50.50", of=handle)))
        assert (outcome.code, outcome.psp_code) == (Code.InvalidAmount, "102")

    @pytest.mark.parametrize(("amount", "done"), [("100.05", True), ("100.06", False)])
    async def test_decided_later(self, merchant: Merchant, amount: str, done: bool) -> None:
        handle, _ = await held(merchant)
        call = builders.capture(amount, of=handle)
        first = await merchant.connection.capture(call)
        assert isinstance(first, Pending)
        assert first.psp_id is not None

        async def look() -> Outcome | None:
            found = await merchant.connection.fetch_payment(lookup(call.reference, first.psp_id))
            return None if isinstance(found, Pending) else found

        assert isinstance(await eventually(look), Approved if done else Declined)


class TestCharge:
    async def test_takes_money_once(self, merchant: Merchant) -> None:
        call = builders.charge("119.00", instrument=await merchant.stored_card())
        first = approved(await merchant.connection.charge(call))
        assert sums(first) == [(FactKind.PAID, Decimal("119.00"))]
        assert first.facts[0].booked_on == datetime.now(UTC).date()
        forgotten = call.model_copy(update={"idempotency_key": "forgotten"})
        for repeated in (call, forgotten):
            assert await merchant.connection.charge(repeated) == first
        assert await merchant.booked(call.reference) == [
            ("charge", Decimal("119.00"), call.idempotency_key)
        ]
        for psp_id in (first.psp_id, None):
            found = await merchant.connection.fetch_payment(lookup(call.reference, psp_id))
            assert found == first

    @pytest.mark.parametrize(
        ("amount", "code"), [("100.01", Code.InsufficientBalance), ("100.02", Code.BearerExpired)]
    )
    async def test_declined(self, merchant: Merchant, amount: str, code: Code) -> None:
        call = builders.charge(amount, instrument=await merchant.stored_card())
        outcome = declined(await merchant.connection.charge(call))
        assert outcome.code is code
        assert await merchant.connection.fetch_payment(lookup(call.reference)) == outcome

    @pytest.mark.parametrize("amount", ["100.03", "100.04", "100.09", "100.10"])
    async def test_troubles_on_the_way(self, merchant: Merchant, amount: str) -> None:
        call = builders.charge(amount, instrument=await merchant.stored_card())
        outcome: Outcome | None = None
        for _ in range(4):
            try:
                outcome = await merchant.connection.charge(call)
                break
            except (OutcomeUnknown, RateLimited):
                continue
        assert sums(outcome) == [(FactKind.PAID, Decimal(amount))]
        assert len(await merchant.booked(call.reference)) == 1

    @pytest.mark.parametrize(
        ("currency", "amount", "units"), [("JPY", "4990", 499000), ("BHD", "49.905", 49905)]
    )
    async def test_other_units(
        self, merchant: Merchant, currency: str, amount: str, units: int
    ) -> None:
        card = await merchant.stored_card()
        call = builders.charge(amount, currency=currency, instrument=card)
        assert sums(await merchant.connection.charge(call)) == [(FactKind.PAID, Decimal(amount))]
        shown = (await merchant.raw("GET", f"v1/charge/{call.reference}")).json()
        assert shown["amount"] == units
        found = await merchant.connection.fetch_payment(lookup(call.reference, currency=currency))
        assert sums(found) == [(FactKind.PAID, Decimal(amount))]

    async def test_is_charged_back(self, merchant: Merchant) -> None:
        reference, made = await paid(merchant, "100.07")

        async def look() -> Outcome | None:
            found = await merchant.connection.fetch_payment(lookup(reference, made.psp_id))
            return found if len(approved(found).facts) == 2 else None

        found = approved(await eventually(look))
        assert sums(found)[1] == (FactKind.CHARGED_BACK, Decimal("100.07"))
        assert found.facts[1].reason is Reason.UserInitiated
        assert found.facts[1].psp_reason_code == "unauthorised"

    async def test_nothing_is_known_of_others(self, merchant: Merchant) -> None:
        other = builders.reference()
        assert await merchant.connection.fetch_payment(lookup(other)) is None
        assert await merchant.connection.fetch_refund(lookup(other)) is None
        assert await merchant.connection.fetch_authorization(lookup(other)) is None


class TestRefund:
    async def test_of_a_captured_payment_in_parts(self, merchant: Merchant) -> None:
        handle, _ = await held(merchant)
        capture = builders.capture("119.00", of=handle)
        made = approved(await merchant.connection.capture(capture))
        for amount in ("19.00", "100.00"):
            call = builders.refund(amount, of=made.psp_id or "", text="Sorry")
            given = approved(await merchant.connection.refund(call))
            assert sums(given) == [(FactKind.REFUNDED, Decimal(amount))]
            assert await merchant.connection.refund(call) == given
            for psp_id in (given.psp_id, None):
                find = lookup(call.reference, psp_id)
                assert await merchant.connection.fetch_refund(find) == given
            assert await merchant.booked(call.reference) == [
                ("refund", Decimal(amount), call.idempotency_key)
            ]
        beyond = declined(
            await merchant.connection.refund(builders.refund("1.00", of=made.psp_id or ""))
        )
        assert (beyond.code, beyond.psp_code) == (Code.InvalidAmount, "65")

    async def test_a_forgotten_key_is_told_by_the_credit_note(self, merchant: Merchant) -> None:
        _, made = await paid(merchant)
        call = builders.refund("119.00", of=made.psp_id or "")
        given = await merchant.connection.refund(call)
        forgotten = call.model_copy(update={"idempotency_key": "forgotten"})
        assert await merchant.connection.refund(forgotten) == given
        assert len(await merchant.booked(call.reference)) == 1

    async def test_declined(self, merchant: Merchant) -> None:
        _, made = await paid(merchant)
        outcome = await merchant.connection.refund(builders.refund("50.01", of=made.psp_id or ""))
        assert declined(outcome).code is Code.InsufficientBalance

    @pytest.mark.parametrize(("amount", "done"), [("50.05", True), ("50.06", False)])
    async def test_decided_later(self, merchant: Merchant, amount: str, done: bool) -> None:
        _, made = await paid(merchant)
        call = builders.refund(amount, of=made.psp_id or "")
        first = await merchant.connection.refund(call)
        assert isinstance(first, Pending)

        async def look() -> Outcome | None:
            found = await merchant.connection.fetch_refund(lookup(call.reference, first.psp_id))
            return None if isinstance(found, Pending) else found

        assert isinstance(await eventually(look), Approved if done else Declined)


class TestAccount:
    async def test_good_settings(self, merchant: Merchant) -> None:
        check = await merchant.connection.verify_settings()
        assert check.roles == {Role.CreditCard}
        assert check.account is not None

    async def test_a_wrong_webhook_secret(self, merchant: Merchant) -> None:
        wrong = settings(PrivateKey=merchant.key, WebhookSecret="not,the,one")
        connection = merchant.adapter.connect(wrong, merchant.http)
        assert (await connection.verify_settings()).roles == frozenset()

    async def test_one_of_several_secrets(self, merchant: Merchant) -> None:
        own = merchant.settings.webhook_secret.get_secret_value()
        several = settings(PrivateKey=merchant.key, WebhookSecret=f"old, {own}")
        connection = merchant.adapter.connect(several, merchant.http)
        assert (await connection.verify_settings()).roles == {Role.CreditCard}

    async def test_a_wrong_key(self, merchant: Merchant) -> None:
        connection = merchant.adapter.connect(settings(), merchant.http)
        with pytest.raises(CredentialsRejected):
            await connection.verify_settings()
        with pytest.raises(CredentialsRejected):
            await connection.charge(builders.charge(instrument=builders.CARD))


class TestMovements:
    async def all(self, merchant: Merchant, since: datetime, until: datetime) -> list[Movement]:
        found: list[Movement] = []
        cursor: str | None = None
        while True:
            page = await merchant.connection.list_movements(since, until, cursor)
            found += page.movements
            cursor = page.cursor
            if cursor is None:
                return found

    async def test_everything_in_a_window(self, merchant: Merchant) -> None:
        since = datetime.now(UTC)
        handle, _ = await held(merchant)
        capture = builders.capture("119.00", of=handle)
        taken = approved(await merchant.connection.capture(capture))
        refund = builders.refund("19.00", of=taken.psp_id or "")
        given = approved(await merchant.connection.refund(refund))
        reference, made = await paid(merchant)
        await merchant.connection.charge(
            builders.charge("100.01", instrument=await merchant.stored_card())
        )
        until = datetime.now(UTC) + timedelta(seconds=1)
        found = {m.psp_id: m for m in await self.all(merchant, since, until)}
        assert set(found) == {handle, taken.psp_id, given.psp_id, made.psp_id}
        assert found[handle].kind is MovementKind.AUTHORIZATION
        own = found[taken.psp_id or ""]
        assert (own.kind, own.parent_psp_id) == (MovementKind.PAYMENT, handle)
        assert own.outcome == taken
        assert found[made.psp_id or ""].reference == reference
        back = found[given.psp_id or ""]
        assert (back.kind, back.parent_psp_id) == (MovementKind.REFUND, taken.psp_id)
        assert back.outcome == given
        assert await self.all(merchant, until, until + timedelta(hours=1)) == []

    async def test_in_pages(self, merchant: Merchant) -> None:
        since = datetime.now(UTC)
        card = await merchant.stored_card()
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
            (await merchant.raw("POST", "v1/charge", json=body)).raise_for_status()
        page = (
            await merchant.raw("GET", "v1/list/transaction", params={"size": 10, "type": "settle"})
        ).json()
        assert len(page["content"]) == 10
        assert page["next_page_token"] == "10"
        found = await self.all(merchant, since, datetime.now(UTC) + timedelta(seconds=1))
        assert {m.reference for m in found} == {call.reference for call in calls}

    async def test_a_chargeback_brings_its_payment_back(self, merchant: Merchant) -> None:
        reference, made = await paid(merchant)
        await asyncio.sleep(0.01)
        since = datetime.now(UTC)
        await merchant.control("chargebacks", reference=reference)
        until = datetime.now(UTC) + timedelta(seconds=1)
        [found] = await self.all(merchant, since, until)
        assert (found.kind, found.psp_id) == (MovementKind.PAYMENT, made.psp_id)
        assert sums(found.outcome) == [
            (FactKind.PAID, Decimal("119.00")),
            (FactKind.CHARGED_BACK, Decimal("119.00")),
        ]
