"""The sandbox adapter against the sandbox PSP itself, a process of its own."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TypeVar

import httpx
import pytest

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.sandbox import SandboxAdapter
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.types import (
    Approved,
    Charge,
    Declined,
    FactKind,
    Instrument,
    NotificationEvent,
    Outcome,
    Pending,
    RedirectRequired,
)
from tests.psp import builders
from tests.psp.builders import GOOD_IBAN, lookup, settings
from tests.psp.conftest import SETTLE_SECONDS, Merchant

PATIENCE_SECONDS = 8.0
FAILING_IBAN = "DE62370400440532013001"
RETURNED_IBAN = "DE35370400440532013002"

T = TypeVar("T")


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


async def settled(merchant: Merchant, reference: str) -> Outcome:
    """The payment's outcome when the PSP has decided."""

    async def look() -> Outcome | None:
        found = await merchant.connection.fetch_payment(lookup(reference))
        return None if isinstance(found, Pending) else found

    return await eventually(look)


async def mandate(merchant: Merchant, iban: str = GOOD_IBAN) -> Instrument:
    signed = approved(await merchant.connection.authorize(builders.debit(iban=iban)))
    assert signed.instrument is not None
    return signed.instrument


async def persistently(merchant: Merchant, call: Charge) -> tuple[Outcome, list[type[Exception]]]:
    """Repeat a charge with its key as a worker would; also what went wrong on the way."""
    troubles: list[type[Exception]] = []
    for _ in range(5):
        try:
            return await merchant.connection.charge(call), troubles
        except (OutcomeUnknown, PspUnavailable) as trouble:
            troubles.append(type(trouble))
    raise AssertionError(troubles)


class TestCheckout:
    async def open(
        self, merchant: Merchant, amount: str = "119.00"
    ) -> tuple[str, RedirectRequired]:
        call = builders.authorize(amount)
        opened = await merchant.connection.authorize(call)
        assert isinstance(opened, RedirectRequired)
        assert opened.url is not None
        assert opened.expires_at > datetime.now(UTC)
        return call.reference, opened

    async def test_a_reservation(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant)
        look = lookup(reference, opened.psp_id)
        assert await merchant.connection.fetch_authorization(look) == opened
        await merchant.visit(opened.url or "")
        outcome = approved(await merchant.connection.fetch_authorization(look))
        assert facts(outcome) == [(FactKind.AUTHORIZED, Decimal("119.00"))]
        assert outcome.psp_id == outcome.facts[0].id
        assert outcome.psp_id is not None
        assert outcome.facts[0].expires_at is not None
        assert outcome.instrument is not None
        bearer = outcome.instrument.bearer
        assert bearer["Last4"] == "4242"
        assert (bearer["ExpiryMonth"], bearer["ExpiryYear"]) == ("12", "2030")
        assert not set(bearer.values()) & set(outcome.instrument.token.values())
        for by in (lookup(reference), lookup(reference, outcome.psp_id)):
            assert await merchant.connection.fetch_authorization(by) == outcome

    async def test_a_set_up_without_money(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "0")
        await merchant.visit(opened.url or "")
        outcome = approved(await merchant.connection.fetch_authorization(lookup(reference)))
        assert (outcome.psp_id, outcome.facts) == (None, ())
        assert outcome.instrument is not None
        payment = builders.charge("9.90", instrument=outcome.instrument)
        assert facts(await merchant.connection.charge(payment)) == [
            (FactKind.PAID, Decimal("9.90"))
        ]

    @pytest.mark.parametrize(
        ("number", "code"),
        [
            ("4000000000000002", Code.Rejected),
            ("4000000000009995", Code.InsufficientBalance),
            ("4000000000000069", Code.BearerExpired),
        ],
    )
    async def test_a_declined_card(self, merchant: Merchant, number: str, code: Code) -> None:
        reference, opened = await self.open(merchant)
        await merchant.visit(opened.url or "", number)
        outcome = declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert (outcome.code, outcome.status) == (code, Status.Failed)
        assert outcome.message is not None

    async def test_cancelled_and_expired(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant)
        await merchant.visit(opened.url or "", None)
        outcome = declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert outcome.status is Status.Cancelled

        reference, opened = await self.open(merchant)
        await merchant.control("expirations", id=opened.psp_id)
        outcome = declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert outcome.status is Status.Expired

    async def test_closing_an_open_one(self, merchant: Merchant) -> None:
        description = (await merchant.http.get(f"{merchant.url}/openapi.json")).json()
        if "/v1/checkout_sessions/{id}/cancel" not in description["paths"]:
            pytest.skip("this version of the sandbox PSP cannot close checkouts")
        reference, opened = await self.open(merchant)
        call = builders.void(opened.psp_id, ref=reference)
        assert await merchant.connection.void(call) == Approved(psp_id=opened.psp_id)
        outcome = declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert outcome.status is Status.Cancelled

        reference, opened = await self.open(merchant)
        await merchant.visit(opened.url or "")
        late = declined(await merchant.connection.void(builders.void(opened.psp_id)))
        assert late.code is Code.InvalidPreconditions
        assert approved(await merchant.connection.fetch_authorization(lookup(reference)))

    async def test_the_same_key_opens_the_same_session(self, merchant: Merchant) -> None:
        call = builders.authorize()
        first = await merchant.connection.authorize(call)
        assert await merchant.connection.authorize(call) == first


class TestReservations:
    async def reserve(self, merchant: Merchant, amount: str = "30.00") -> tuple[str, str]:
        """(reference, authorization id) of a plan change."""
        card = await merchant.stored_card()
        call = builders.authorize(amount, initial=False, instrument=card)
        outcome = approved(await merchant.connection.authorize(call))
        assert facts(outcome) == [(FactKind.AUTHORIZED, Decimal(amount))]
        assert outcome.instrument is not None
        assert outcome.instrument.token == card.token
        return call.reference, outcome.psp_id or ""

    async def test_capture_of_a_part(self, merchant: Merchant) -> None:
        reference, held = await self.reserve(merchant)
        call = builders.capture("20.00", of=held)
        outcome = await merchant.connection.capture(call)
        assert facts(outcome) == [(FactKind.PAID, Decimal("20.00"))]
        assert await merchant.connection.capture(call) == outcome
        assert await merchant.connection.fetch_payment(lookup(call.reference)) == outcome
        assert await merchant.booked(call.reference) == [("capture", "20.00")]
        again = declined(await merchant.connection.capture(builders.capture("1.00", of=held)))
        assert again.code is Code.InvalidPreconditions
        assert facts(await merchant.connection.fetch_authorization(lookup(reference))) == [
            (FactKind.AUTHORIZED, Decimal("30.00"))
        ]
        late = declined(await merchant.connection.void(builders.void(held)))
        assert late.code is Code.InvalidPreconditions

    async def test_capture_of_too_much(self, merchant: Merchant) -> None:
        _, held = await self.reserve(merchant)
        outcome = declined(await merchant.connection.capture(builders.capture("30.99", of=held)))
        assert outcome.code is Code.InvalidAmount

    async def test_void(self, merchant: Merchant) -> None:
        reference, held = await self.reserve(merchant)
        assert await merchant.connection.void(builders.void(held, ref=reference)) == Approved(
            psp_id=held
        )
        assert approved(await merchant.connection.void(builders.void(held, ref=reference)))
        outcome = declined(await merchant.connection.fetch_authorization(lookup(reference, held)))
        assert outcome.status is Status.Cancelled
        assert ("void", "30.00") in await merchant.booked(reference)

    async def test_expiry(self, merchant: Merchant) -> None:
        reference, held = await self.reserve(merchant)
        await merchant.control("expirations", id=held)
        outcome = declined(await merchant.connection.fetch_authorization(lookup(reference, held)))
        assert outcome.status is Status.Expired

    async def test_unknown_reservations(self, merchant: Merchant) -> None:
        assert declined(await merchant.connection.capture(builders.capture(of="auth_nobodys")))
        assert declined(await merchant.connection.void(builders.void("auth_nobodys")))

    async def test_a_declining_card(self, merchant: Merchant) -> None:
        card = await merchant.stored_card("4000000000009995")
        call = builders.authorize(initial=False, instrument=card)
        outcome = declined(await merchant.connection.authorize(call))
        assert outcome.code is Code.InsufficientBalance
        found = declined(await merchant.connection.fetch_authorization(lookup(call.reference)))
        assert found == outcome

    async def test_a_plan_change_without_money(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        call = builders.authorize("0", initial=False, instrument=card)
        outcome = approved(await merchant.connection.authorize(call))
        assert (outcome.psp_id, outcome.facts) == (None, ())
        gone = Instrument(token={"payment_method": "pm_nobodys"}, bearer={})
        call = builders.authorize("0", initial=False, instrument=gone)
        assert declined(await merchant.connection.authorize(call)).code is Code.BearerInvalid

    async def test_an_existing_customer_is_taken_over(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        token = card.token["payment_method"]
        outcome = approved(
            await merchant.connection.authorize(builders.authorize(migration_token=token))
        )
        assert (outcome.psp_id, outcome.facts) == (None, ())
        assert outcome.instrument is not None
        assert outcome.instrument.token == card.token
        for call in (
            builders.authorize(migration_token="pm_nobodys"),
            builders.authorize(role=Role.Debit, migration_token=token),
        ):
            assert declined(await merchant.connection.authorize(call)).code is Code.InvalidData

    async def test_an_existing_mandate_is_taken_over(self, merchant: Merchant) -> None:
        token = (await mandate(merchant)).token["payment_method"]
        call = builders.authorize(role=Role.Debit, migration_token=token)
        assert approved(await merchant.connection.authorize(call)).psp_id == token
        foreign = builders.authorize(role=Role.Debit, migration_token=token, currency="SEK")
        outcome = declined(await merchant.connection.authorize(foreign))
        assert outcome.code is Code.InvalidCurrency


class TestDebit:
    async def test_sign_up(self, merchant: Merchant) -> None:
        call = builders.debit(iban="de89 3704 0044 0532 0130 00")
        outcome = approved(await merchant.connection.authorize(call))
        assert outcome.facts == ()
        assert outcome.instrument is not None
        assert outcome.instrument.bearer == {
            "Holder": "Mia Kern",
            "IBAN": GOOD_IBAN,
            "MandateId": outcome.psp_id,
        }
        for by in (
            lookup(call.reference, role=Role.Debit),
            lookup(call.reference, outcome.psp_id, role=Role.Debit),
        ):
            assert await merchant.connection.fetch_authorization(by) == outcome
        upgrade = builders.authorize(role=Role.Debit, initial=False, instrument=outcome.instrument)
        assert await merchant.connection.authorize(upgrade) == outcome

    async def test_a_debit_settles_later(self, merchant: Merchant) -> None:
        call = builders.charge(
            "49.90",
            role=Role.Debit,
            instrument=await mandate(merchant),
            execute_on=date(2026, 2, 19),
            text="INV-2026-0042",
        )
        first = await merchant.connection.charge(call)
        assert isinstance(first, Pending)
        assert first.facts == ()
        outcome = approved(await settled(merchant, call.reference))
        (paid,) = outcome.facts
        assert (outcome.psp_id, paid.id) == (first.psp_id, first.psp_id)
        assert (paid.amount, paid.description) == (Decimal("49.90"), None)
        assert paid.booked_on is not None

    async def test_a_debit_fails_later(self, merchant: Merchant) -> None:
        instrument = await mandate(merchant, FAILING_IBAN)
        call = builders.charge("49.90", role=Role.Debit, instrument=instrument)
        assert isinstance(await merchant.connection.charge(call), Pending)
        outcome = declined(await settled(merchant, call.reference))
        assert outcome.code is Code.InsufficientBalance

    async def test_a_debit_is_charged_back(self, merchant: Merchant) -> None:
        instrument = await mandate(merchant, RETURNED_IBAN)
        call = builders.charge("49.90", role=Role.Debit, instrument=instrument)
        await merchant.connection.charge(call)

        async def look() -> Approved | None:
            found = await merchant.connection.fetch_payment(lookup(call.reference))
            return found if isinstance(found, Approved) and len(found.facts) == 2 else None

        back = (await eventually(look)).facts[1]
        assert (back.kind, back.amount) == (FactKind.CHARGED_BACK, Decimal("49.90"))
        assert (back.fee, back.reason) == (Decimal("3.50"), Reason.InsufficientBalance)
        assert back.psp_reason_code == "AM04"


class TestCharges:
    @pytest.mark.parametrize(
        ("amount", "code"), [("9.01", Code.InsufficientBalance), ("9.02", Code.BearerExpired)]
    )
    async def test_declined(self, merchant: Merchant, amount: str, code: Code) -> None:
        call = builders.charge(amount, instrument=await merchant.stored_card())
        outcome = declined(await merchant.connection.charge(call))
        assert outcome.code is code
        assert outcome.psp_id is not None
        assert await merchant.connection.charge(call) == outcome
        assert await merchant.connection.fetch_payment(lookup(call.reference)) == outcome
        assert await merchant.booked(call.reference) == []

    @pytest.mark.parametrize(
        ("amount", "troubles"),
        [
            ("9.03", [OutcomeUnknown, OutcomeUnknown]),
            ("9.04", [OutcomeUnknown]),
            ("9.09", [RateLimited]),
            ("9.10", [OutcomeUnknown, OutcomeUnknown]),
        ],
    )
    async def test_trouble_on_the_way_moves_no_money_twice(
        self, merchant: Merchant, amount: str, troubles: list[type[Exception]]
    ) -> None:
        call = builders.charge(amount, instrument=await merchant.stored_card())
        outcome, met = await persistently(merchant, call)
        assert met == troubles
        assert facts(outcome) == [(FactKind.PAID, Decimal(amount))]
        assert await merchant.booked(call.reference) == [("charge", amount)]

    async def test_an_impatient_caller(self, merchant: Merchant, sandbox_url: str) -> None:
        call = builders.charge("9.08", instrument=await merchant.stored_card())
        async with httpx.AsyncClient(timeout=0.2, trust_env=False) as hasty:
            connection = merchant.adapter.connect(merchant.settings, hasty)
            with pytest.raises(PspTimeout):
                await connection.charge(call)
        with pytest.raises(OutcomeUnknown) as busy:
            await merchant.connection.charge(call)
        assert busy.value.psp_code == "idempotency_key_in_use"
        outcome = await settled(merchant, call.reference)
        assert await merchant.connection.charge(call) == outcome
        assert await merchant.booked(call.reference) == [("charge", "9.08")]

    async def test_a_key_with_another_body_is_no_decline(self, merchant: Merchant) -> None:
        card = await merchant.stored_card()
        first = builders.charge("5.00", instrument=card)
        await merchant.connection.charge(first)
        other = builders.charge("6.00", instrument=card, key=first.idempotency_key)
        with pytest.raises(OutcomeUnknown):
            await merchant.connection.charge(other)

    async def test_pending_then_failed(self, merchant: Merchant) -> None:
        call = builders.charge("9.06", instrument=await merchant.stored_card())
        assert isinstance(await merchant.connection.charge(call), Pending)
        assert declined(await settled(merchant, call.reference)).code is Code.Rejected

    async def test_currencies_without_decimals(self, merchant: Merchant) -> None:
        call = builders.charge("500", currency="JPY", instrument=await merchant.stored_card())
        assert facts(await merchant.connection.charge(call)) == [(FactKind.PAID, Decimal(500))]
        assert await merchant.booked(call.reference) == [("charge", "500.00")]

    async def test_nothing_is_known_of_what_never_arrived(self, merchant: Merchant) -> None:
        unknown = builders.reference()
        for psp_id in (None, "ch_nobodys", "auth_nobodys", "re_nobodys"):
            look = lookup(unknown, psp_id)
            assert await merchant.connection.fetch_authorization(look) is None
            assert await merchant.connection.fetch_payment(look) is None
            assert await merchant.connection.fetch_refund(look) is None


class TestRefunds:
    async def paid(self, merchant: Merchant) -> str:
        call = builders.charge("100.00", instrument=await merchant.stored_card())
        return approved(await merchant.connection.charge(call)).psp_id or ""

    async def test_refund(self, merchant: Merchant) -> None:
        paid = await self.paid(merchant)
        call = builders.refund("19.00", of=paid, text="Partial refund")
        outcome = approved(await merchant.connection.refund(call))
        (fact,) = outcome.facts
        assert (fact.kind, fact.amount) == (FactKind.REFUNDED, Decimal("19.00"))
        assert (fact.id, fact.description) == (outcome.psp_id, None)
        assert await merchant.connection.refund(call) == outcome
        for by in (lookup(call.reference), lookup(call.reference, outcome.psp_id)):
            assert await merchant.connection.fetch_refund(by) == outcome
        assert await merchant.booked(call.reference) == [("refund", "19.00")]
        more = declined(await merchant.connection.refund(builders.refund("81.99", of=paid)))
        assert more.code is Code.InvalidAmount

    async def test_pending_then_given(self, merchant: Merchant) -> None:
        call = builders.refund("1.05", of=await self.paid(merchant))
        assert isinstance(await merchant.connection.refund(call), Pending)

        async def look() -> Approved | None:
            found = await merchant.connection.fetch_refund(lookup(call.reference))
            return found if isinstance(found, Approved) else None

        assert facts(await eventually(look)) == [(FactKind.REFUNDED, Decimal("1.05"))]

    async def test_refused(self, merchant: Merchant) -> None:
        paid = await self.paid(merchant)
        assert declined(await merchant.connection.refund(builders.refund("1.01", of=paid)))
        assert declined(await merchant.connection.refund(builders.refund("1.00", of="ch_nobodys")))


class TestSettings:
    async def test_good(self, merchant: Merchant) -> None:
        check = await merchant.connection.verify_settings()
        assert check.roles == {Role.CreditCard, Role.Debit}

    async def test_wrong_webhook_secret(self, merchant: Merchant) -> None:
        key = merchant.settings.api_key.get_secret_value()
        wrong = settings(ApiKey=key, WebhookSecret="x")
        connection = merchant.adapter.connect(wrong, merchant.http)
        assert (await connection.verify_settings()).roles == frozenset()

    async def test_wrong_key(self, merchant: Merchant) -> None:
        connection = merchant.adapter.connect(settings(ApiKey="x"), merchant.http)
        with pytest.raises(CredentialsRejected):
            await connection.verify_settings()

    async def test_nobody_there(self, http: httpx.AsyncClient) -> None:
        config = SandboxConfig.model_construct(url=None, port=9)
        connection = SandboxAdapter(config).connect(settings(), http)
        with pytest.raises(PspUnavailable):
            await connection.verify_settings()
        with pytest.raises(PspUnavailable):
            await connection.charge(builders.charge())


class Inbox:
    """Takes the PSP's webhooks and reads them through the adapter."""

    def __init__(self, merchant: Merchant) -> None:
        self._merchant = merchant
        self.notices: list[NotificationEvent] = []

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One HTTP exchange."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        now = datetime.now(UTC)
        adapter, chosen = self._merchant.adapter, self._merchant.settings
        self.notices.extend(adapter.parse_notification(chosen, headers, body, now))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def about(self, reference: str, count: int) -> list[NotificationEvent]:
        """The notices about a transaction, once there are that many."""

        async def look() -> list[NotificationEvent] | None:
            found = [notice for notice in self.notices if notice.reference == reference]
            return found if len(found) >= count else None

        return await eventually(look)


@asynccontextmanager
async def inbox(merchant: Merchant) -> AsyncIterator[Inbox]:
    box = Inbox(merchant)
    async with await asyncio.start_server(box.answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await merchant.register(f"http://127.0.0.1:{port}/")
        yield box


class TestWebhooks:
    async def test_a_payment_told_too_often_and_out_of_order(self, merchant: Merchant) -> None:
        async with inbox(merchant) as box:
            call = builders.charge("9.11", instrument=await merchant.stored_card())
            outcome = await merchant.connection.charge(call)
            notices = await box.about(call.reference, 4)
        results = [notice.result for notice in notices]
        assert results.count(outcome) == 3
        assert any(isinstance(result, Pending) for result in results)
        assert len({notice.event_id for notice in notices}) == 2

    async def test_everything_else(self, merchant: Merchant) -> None:
        connection = merchant.connection
        async with inbox(merchant) as box:
            opening = builders.authorize()
            opened = await connection.authorize(opening)
            assert isinstance(opened, RedirectRequired)
            await merchant.visit(opened.url or "")
            signing = builders.debit()
            signed = await connection.authorize(signing)
            paying = builders.charge("10.07", instrument=await merchant.stored_card())
            paid = approved(await connection.charge(paying))
            giving = builders.refund("1.06", of=paid.psp_id or "")
            await connection.refund(giving)
            held = await connection.fetch_authorization(lookup(opening.reference))
            told = {
                "checkout": await box.about(opening.reference, 2),
                "mandate": await box.about(signing.reference, 1),
                "payment": await box.about(paying.reference, 2),
                "refund": await box.about(giving.reference, 2),
            }
        assert [notice.result for notice in told["checkout"]] == [held, held]
        named = {psp_id for notice in told["checkout"] for psp_id in notice.psp_ids}
        assert named == {opened.psp_id, approved(held).psp_id}
        assert told["mandate"][0].result == signed
        # In whatever order they come: the chargeback may overtake the payment.
        kinds = {kind for notice in told["payment"] for kind, _ in facts(notice.result)}
        assert kinds == {FactKind.PAID, FactKind.CHARGED_BACK}
        results = [notice.result for notice in told["refund"]]
        assert {result.outcome for result in results if result} == {"pending", "declined"}
