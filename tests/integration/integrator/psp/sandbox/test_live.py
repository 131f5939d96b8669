"""The sandbox adapter against a running sandbox PSP."""

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
    OutcomeUnknown,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.types import (
    Absent,
    Approved,
    Charge,
    Declined,
    FactKind,
    Instrument,
    LookupAnswer,
    NotificationEvent,
    Outcome,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.builders import GOOD_IBAN, lookup
from tests.integration.integrator.psp.conftest import SETTLE_SECONDS, Merchant

TIMEOUT_SECONDS = 8.0
FAILING_IBAN = "DE62370400440532013001"
RETURNED_IBAN = "DE35370400440532013002"

T = TypeVar("T")


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


async def wait_for_decision(merchant: Merchant, reference: str) -> Outcome:
    """Return the payment's outcome once it is no longer pending."""

    async def read() -> Outcome | None:
        outcome = await merchant.connection.fetch_payment(lookup(reference))
        return None if isinstance(outcome, Pending | Absent) else outcome

    return await wait_for(read)


async def create_mandate(merchant: Merchant, iban: str = GOOD_IBAN) -> Instrument:
    signed = assert_approved(await merchant.connection.authorize(builders.debit(iban=iban)))
    assert signed.instrument is not None
    return signed.instrument


async def charge_with_retries(
    merchant: Merchant, call: Charge
) -> tuple[Outcome, list[type[Exception]]]:
    """Retry a charge with its key as a worker would; also return the errors met."""
    errors: list[type[Exception]] = []
    for _ in range(5):
        try:
            return await merchant.connection.charge(call), errors
        except (OutcomeUnknown, PspUnavailable) as error:
            errors.append(type(error))
    raise AssertionError(errors)


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
        request = lookup(reference, opened.psp_id)
        assert await merchant.connection.fetch_authorization(request) == opened
        await merchant.visit_page(opened.url or "")
        outcome = assert_approved(await merchant.connection.fetch_authorization(request))
        assert fact_amounts(outcome) == [(FactKind.AUTHORIZED, Decimal("119.00"))]
        assert outcome.psp_id == outcome.facts[0].id
        assert outcome.psp_id is not None
        assert outcome.facts[0].expires_at is not None
        assert outcome.instrument is not None
        bearer = outcome.instrument.bearer
        assert bearer["Last4"] == "4242"
        assert (bearer["ExpiryMonth"], bearer["ExpiryYear"]) == ("12", "2030")
        assert not set(bearer.values()) & set(outcome.instrument.token.values())
        for request in (lookup(reference), lookup(reference, outcome.psp_id)):
            assert await merchant.connection.fetch_authorization(request) == outcome

    async def test_a_set_up_without_money(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant, "0")
        await merchant.visit_page(opened.url or "")
        outcome = assert_approved(await merchant.connection.fetch_authorization(lookup(reference)))
        assert (outcome.psp_id, outcome.facts) == (None, ())
        assert outcome.instrument is not None

    async def test_a_declined_checkout_is_found_by_reference(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant)
        await merchant.visit_page(opened.url or "", "4000000000000002")
        outcome = assert_declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert (outcome.code, outcome.status) == (Code.Rejected, Status.Failed)
        assert outcome.message is not None

    async def test_cancelled_and_expired_checkouts_are_found_by_reference(
        self, merchant: Merchant
    ) -> None:
        reference, opened = await self.open(merchant)
        await merchant.visit_page(opened.url or "", None)
        outcome = assert_declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert outcome.status is Status.Cancelled

        reference, opened = await self.open(merchant)
        await merchant.call_control("expirations", id=opened.psp_id)
        outcome = assert_declined(await merchant.connection.fetch_authorization(lookup(reference)))
        assert outcome.status is Status.Expired

    async def test_a_paid_checkout_cannot_be_closed(self, merchant: Merchant) -> None:
        reference, opened = await self.open(merchant)
        await merchant.visit_page(opened.url or "")
        late = assert_declined(await merchant.connection.void(builders.void(opened.psp_id)))
        assert late.code is Code.InvalidPreconditions
        assert assert_approved(await merchant.connection.fetch_authorization(lookup(reference)))


class TestReservations:
    async def reserve(self, merchant: Merchant, amount: str = "30.00") -> tuple[str, str]:
        """Return reference and authorization id of a plan change."""
        card = await merchant.create_stored_card()
        call = builders.authorize(amount, initial=False, instrument=card)
        outcome = assert_approved(await merchant.connection.authorize(call))
        assert fact_amounts(outcome) == [(FactKind.AUTHORIZED, Decimal(amount))]
        assert outcome.instrument is not None
        assert outcome.instrument.token == card.token
        return call.reference, outcome.psp_id or ""

    async def test_a_partial_capture_ends_the_reservation(self, merchant: Merchant) -> None:
        reference, authorization_id = await self.reserve(merchant)
        call = builders.capture("20.00", authorization_id=authorization_id)
        assert_approved(await merchant.connection.capture(call))
        again = assert_declined(
            await merchant.connection.capture(
                builders.capture("1.00", authorization_id=authorization_id)
            )
        )
        assert again.code is Code.InvalidPreconditions
        assert fact_amounts(await merchant.connection.fetch_authorization(lookup(reference))) == [
            (FactKind.AUTHORIZED, Decimal("30.00"))
        ]
        late = assert_declined(await merchant.connection.void(builders.void(authorization_id)))
        assert late.code is Code.InvalidPreconditions

    async def test_void(self, merchant: Merchant) -> None:
        reference, authorization_id = await self.reserve(merchant)
        assert await merchant.connection.void(
            builders.void(authorization_id, ref=reference)
        ) == Approved(psp_id=authorization_id)
        assert assert_approved(
            await merchant.connection.void(builders.void(authorization_id, ref=reference))
        )
        outcome = assert_declined(
            await merchant.connection.fetch_authorization(lookup(reference, authorization_id))
        )
        assert outcome.status is Status.Cancelled
        assert ("void", "30.00") in await merchant.list_bookings(reference)

    async def test_expiry(self, merchant: Merchant) -> None:
        reference, authorization_id = await self.reserve(merchant)
        await merchant.call_control("expirations", id=authorization_id)
        outcome = assert_declined(
            await merchant.connection.fetch_authorization(lookup(reference, authorization_id))
        )
        assert outcome.status is Status.Expired

    async def test_a_declining_card(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card("4000000000009995")
        call = builders.authorize(initial=False, instrument=card)
        outcome = assert_declined(await merchant.connection.authorize(call))
        assert outcome.code is Code.InsufficientBalance
        fetched_outcome = assert_declined(
            await merchant.connection.fetch_authorization(lookup(call.reference))
        )
        assert fetched_outcome == outcome

    async def test_a_plan_change_without_money(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        call = builders.authorize("0", initial=False, instrument=card)
        outcome = assert_approved(await merchant.connection.authorize(call))
        assert (outcome.psp_id, outcome.facts) == (None, ())
        missing = Instrument(token={"payment_method": "pm_nobodys"}, bearer={})
        call = builders.authorize("0", initial=False, instrument=missing)
        assert assert_declined(await merchant.connection.authorize(call)).code is Code.BearerInvalid

    async def test_an_existing_customer_is_migrated(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        token = card.token["payment_method"]
        outcome = assert_approved(
            await merchant.connection.authorize(builders.authorize(migration_token=token))
        )
        assert (outcome.psp_id, outcome.facts) == (None, ())
        assert outcome.instrument is not None
        assert outcome.instrument.token == card.token
        for call in (
            builders.authorize(migration_token="pm_nobodys"),
            builders.authorize(role=Role.Debit, migration_token=token),
        ):
            assert (
                assert_declined(await merchant.connection.authorize(call)).code is Code.InvalidData
            )

    async def test_an_existing_mandate_is_migrated(self, merchant: Merchant) -> None:
        token = (await create_mandate(merchant)).token["payment_method"]
        call = builders.authorize(role=Role.Debit, migration_token=token)
        assert assert_approved(await merchant.connection.authorize(call)).psp_id == token
        foreign = builders.authorize(role=Role.Debit, migration_token=token, currency="SEK")
        outcome = assert_declined(await merchant.connection.authorize(foreign))
        assert outcome.code is Code.InvalidCurrency


class TestDebit:
    async def test_sign_up(self, merchant: Merchant) -> None:
        call = builders.debit(iban="de89 3704 0044 0532 0130 00")
        outcome = assert_approved(await merchant.connection.authorize(call))
        assert outcome.facts == ()
        assert outcome.instrument is not None
        assert outcome.instrument.bearer == {
            "Holder": "Mia Kern",
            "IBAN": GOOD_IBAN,
            "MandateId": outcome.psp_id,
        }
        for request in (
            lookup(call.reference, role=Role.Debit),
            lookup(call.reference, outcome.psp_id, role=Role.Debit),
        ):
            assert await merchant.connection.fetch_authorization(request) == outcome
        upgrade = builders.authorize(role=Role.Debit, initial=False, instrument=outcome.instrument)
        assert await merchant.connection.authorize(upgrade) == outcome

    async def test_a_debit_is_paid_later(self, merchant: Merchant) -> None:
        call = builders.charge(
            "49.90",
            role=Role.Debit,
            instrument=await create_mandate(merchant),
            execute_on=date(2026, 2, 19),
            text="INV-2026-0042",
        )
        first = await merchant.connection.charge(call)
        assert isinstance(first, Pending)
        assert first.facts == ()
        outcome = assert_approved(await wait_for_decision(merchant, call.reference))
        (paid,) = outcome.facts
        assert (outcome.psp_id, paid.id) == (first.psp_id, first.psp_id)
        assert (paid.amount, paid.description) == (Decimal("49.90"), None)
        assert paid.booked_on is not None

    async def test_a_debit_fails_later(self, merchant: Merchant) -> None:
        instrument = await create_mandate(merchant, FAILING_IBAN)
        call = builders.charge("49.90", role=Role.Debit, instrument=instrument)
        assert isinstance(await merchant.connection.charge(call), Pending)
        outcome = assert_declined(await wait_for_decision(merchant, call.reference))
        assert outcome.code is Code.InsufficientBalance

    async def test_a_debit_is_charged_back(self, merchant: Merchant) -> None:
        instrument = await create_mandate(merchant, RETURNED_IBAN)
        call = builders.charge("49.90", role=Role.Debit, instrument=instrument)
        await merchant.connection.charge(call)

        async def read() -> Approved | None:
            fetched_outcome = await merchant.connection.fetch_payment(lookup(call.reference))
            return (
                fetched_outcome
                if isinstance(fetched_outcome, Approved) and len(fetched_outcome.facts) == 2
                else None
            )

        outcome = (await wait_for(read)).facts[1]
        assert (outcome.kind, outcome.amount) == (FactKind.CHARGED_BACK, Decimal("49.90"))
        assert (outcome.fee, outcome.reason) == (Decimal("3.50"), Reason.InsufficientBalance)
        assert outcome.psp_reason_code == "AM04"


class TestCharges:
    async def test_a_decline_is_repeated_and_found(self, merchant: Merchant) -> None:
        call = builders.charge("9.01", instrument=await merchant.create_stored_card())
        outcome = assert_declined(await merchant.connection.charge(call))
        assert outcome.code is Code.InsufficientBalance
        assert outcome.psp_id is not None
        assert await merchant.connection.charge(call) == outcome
        assert await merchant.connection.fetch_payment(lookup(call.reference)) == outcome
        assert await merchant.list_bookings(call.reference) == []

    @pytest.mark.parametrize(
        ("amount", "errors"),
        [
            ("9.03", [OutcomeUnknown, OutcomeUnknown]),
            ("9.04", [OutcomeUnknown]),
            ("9.09", [RateLimited]),
            ("9.10", [OutcomeUnknown, OutcomeUnknown]),
        ],
    )
    async def test_retries_after_errors_move_no_money_twice(
        self, merchant: Merchant, amount: str, errors: list[type[Exception]]
    ) -> None:
        call = builders.charge(amount, instrument=await merchant.create_stored_card())
        outcome, errors_met = await charge_with_retries(merchant, call)
        assert errors_met == errors
        assert fact_amounts(outcome) == [(FactKind.PAID, Decimal(amount))]
        assert await merchant.list_bookings(call.reference) == [("charge", amount)]

    async def test_a_repeated_charge_after_a_timeout_is_booked_once(
        self, merchant: Merchant, sandbox_url: str
    ) -> None:
        call = builders.charge("9.08", instrument=await merchant.create_stored_card())
        async with httpx.AsyncClient(timeout=0.2, trust_env=False) as short_timeout_http:
            connection = merchant.adapter.connect(merchant.settings, short_timeout_http)
            with pytest.raises(PspTimeout):
                await connection.charge(call)
        with pytest.raises(OutcomeUnknown) as busy:
            await merchant.connection.charge(call)
        assert busy.value.psp_code == "idempotency_key_in_use"
        outcome = await wait_for_decision(merchant, call.reference)
        assert await merchant.connection.charge(call) == outcome
        assert await merchant.list_bookings(call.reference) == [("charge", "9.08")]

    async def test_a_key_with_another_body_is_an_unknown_outcome(self, merchant: Merchant) -> None:
        card = await merchant.create_stored_card()
        first = builders.charge("5.00", instrument=card)
        await merchant.connection.charge(first)
        other = builders.charge("6.00", instrument=card, key=first.idempotency_key)
        with pytest.raises(OutcomeUnknown):
            await merchant.connection.charge(other)

    async def test_an_unknown_reference_is_not_found(self, merchant: Merchant) -> None:
        unknown = builders.reference()
        for psp_id in (None, "ch_nobodys", "auth_nobodys", "re_nobodys"):
            request = lookup(unknown, psp_id)
            assert await merchant.connection.fetch_authorization(request) is None
            assert await merchant.connection.fetch_payment(request) is None
            assert await merchant.connection.fetch_refund(request) is None


class TestSettings:
    async def test_good(self, merchant: Merchant) -> None:
        check = await merchant.connection.verify_settings()
        assert check.roles == {Role.CreditCard, Role.Debit}


class WebhookReceiver:
    """Receiver of the PSP's webhooks, which are parsed by the adapter."""

    def __init__(self, merchant: Merchant) -> None:
        self._merchant = merchant
        self.events: list[NotificationEvent] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle one HTTP request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        body = await reader.readexactly(int(headers["content-length"]))
        now = datetime.now(UTC)
        adapter, chosen = self._merchant.adapter, self._merchant.settings
        self.events.extend(adapter.parse_notification(chosen, headers, body, now))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async def wait_for_events(self, reference: str, count: int) -> list[NotificationEvent]:
        """Return the events of a transaction, once there are `count`."""

        async def read() -> list[NotificationEvent] | None:
            events = [
                notification for notification in self.events if notification.reference == reference
            ]
            return events if len(events) >= count else None

        return await wait_for(read)


@asynccontextmanager
async def receive_webhooks(merchant: Merchant) -> AsyncIterator[WebhookReceiver]:
    receiver = WebhookReceiver(merchant)
    async with await asyncio.start_server(receiver.handle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        await merchant.register_webhook(f"http://127.0.0.1:{port}/")
        yield receiver


class TestWebhooks:
    async def test_repeated_and_unordered_webhooks_of_a_payment(self, merchant: Merchant) -> None:
        async with receive_webhooks(merchant) as receiver:
            call = builders.charge("9.11", instrument=await merchant.create_stored_card())
            outcome = await merchant.connection.charge(call)
            notifications = await receiver.wait_for_events(call.reference, 4)
        results = [notification.result for notification in notifications]
        assert results.count(outcome) == 3
        assert any(isinstance(result, Pending) for result in results)
        assert len({notification.event_id for notification in notifications}) == 2

    async def test_webhooks_of_all_object_kinds(self, merchant: Merchant) -> None:
        connection = merchant.connection
        async with receive_webhooks(merchant) as receiver:
            opening = builders.authorize()
            opened = await connection.authorize(opening)
            assert isinstance(opened, RedirectRequired)
            await merchant.visit_page(opened.url or "")
            signing = builders.debit()
            signed = await connection.authorize(signing)
            paying = builders.charge("10.07", instrument=await merchant.create_stored_card())
            paid = assert_approved(await connection.charge(paying))
            giving = builders.refund("1.06", payment_id=paid.psp_id or "")
            await connection.refund(giving)
            outcome = await connection.fetch_authorization(lookup(opening.reference))
            events_by_object = {
                "checkout": await receiver.wait_for_events(opening.reference, 2),
                "mandate": await receiver.wait_for_events(signing.reference, 1),
                "payment": await receiver.wait_for_events(paying.reference, 2),
                "refund": await receiver.wait_for_events(giving.reference, 2),
            }
        assert [notification.result for notification in events_by_object["checkout"]] == [
            outcome,
            outcome,
        ]
        named = {
            psp_id
            for notification in events_by_object["checkout"]
            for psp_id in notification.psp_ids
        }
        assert named == {opened.psp_id, assert_approved(outcome).psp_id}
        assert events_by_object["mandate"][0].result == signed
        # In any order: the chargeback may arrive before the payment.
        kinds = {
            kind
            for notification in events_by_object["payment"]
            for kind, _ in fact_amounts(notification.result)
        }
        assert kinds == {FactKind.PAID, FactKind.CHARGED_BACK}
        results = [notification.result for notification in events_by_object["refund"]]
        assert {result.outcome for result in results if result} == {"pending", "declined"}
