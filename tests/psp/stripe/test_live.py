"""The adapter against the stand-in: every operation, and what each leaves in the books."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import httpx
import pytest

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.receiver import running_receiver
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import (
    Approved,
    Declined,
    FactKind,
    Instrument,
    Movement,
    MovementKind,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.psp import builders
from tests.psp.stripe.conftest import StripeMerchant

LATE_FAILURE = "DE62370400440532013001"
CHARGED_BACK = "DE35370400440532013002"


async def eventually(
    look: Callable[[], Awaitable[Outcome | None]], wanted: type[Outcome] = Approved
) -> Outcome:
    for _ in range(60):
        found = await look()
        if isinstance(found, wanted):
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {found}")


async def signed_up(shop: StripeMerchant, iban: str = builders.GOOD_IBAN) -> Instrument:
    outcome = await shop.connection.authorize(builders.debit(iban=iban))
    assert isinstance(outcome, Approved)
    assert outcome.instrument is not None
    return outcome.instrument


async def held(shop: StripeMerchant, amount: str = "119.00") -> str:
    card = await shop.stored_card()
    outcome = await shop.connection.authorize(
        builders.authorize(amount, initial=False, instrument=card)
    )
    assert isinstance(outcome, Approved)
    return outcome.psp_id or ""


async def test_a_card_from_sign_up_to_refund(stripe_shop: StripeMerchant) -> None:
    shop, connection = stripe_shop, stripe_shop.connection
    call = builders.authorize("119.00", text="Order 4711")
    page = await connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    assert page.psp_id.startswith("cs_")
    assert await connection.authorize(call) == page
    back = await shop.visit(page.url)
    assert back.startswith("https://shop.example/ok")

    lookup = builders.lookup(call.reference, page.psp_id)
    outcome = await connection.fetch_authorization(lookup)
    assert isinstance(outcome, Approved)
    [fact] = outcome.facts
    assert (fact.kind, fact.amount, fact.id) == (
        FactKind.AUTHORIZED,
        Decimal("119.00"),
        outcome.psp_id,
    )
    assert fact.expires_at is not None
    assert fact.expires_at > datetime.now(UTC) + timedelta(days=6)
    assert outcome.instrument is not None
    assert outcome.instrument.bearer == {
        "CardType": "visa",
        "Country": "DE",
        "ExpiryMonth": "12",
        "ExpiryYear": "2030",
        "Holder": "Mia Kern",
        "Last4": "4242",
        "MaskedCardPan": "XXXXXXXXXXXX4242",
    }

    capture = builders.capture("100.00", of=fact.id)
    taken = await connection.capture(capture)
    assert isinstance(taken, Approved)
    assert [(f.kind, f.amount) for f in taken.facts] == [(FactKind.PAID, Decimal("100.00"))]
    assert taken.facts[0].booked_on == datetime.now(UTC).date()
    assert (taken.psp_id or "").startswith("ch_")
    assert await connection.fetch_payment(builders.lookup(capture.reference)) == taken
    assert await connection.fetch_payment(builders.lookup(capture.reference, taken.psp_id)) == taken

    refund = builders.refund("40.00", of=taken.psp_id or "")
    given = await connection.refund(refund)
    assert isinstance(given, Approved)
    assert await connection.fetch_refund(builders.lookup(refund.reference)) == given
    again = builders.refund("70.00", of=taken.psp_id or "")
    refused = await connection.refund(again)
    assert isinstance(refused, Declined)
    assert refused.code is Code.InvalidAmount

    charge = builders.charge("19.90", instrument=outcome.instrument)
    charged = await connection.charge(charge)
    assert isinstance(charged, Approved)
    assert (charged.psp_id or "").startswith("pi_")
    later = builders.refund("19.90", of=charged.psp_id or "")
    assert isinstance(await connection.refund(later), Approved)

    assert await shop.booked(call.reference) == [("authorize", "119.00")]
    assert await shop.booked(capture.reference) == [("capture", "100.00")]
    assert await shop.booked(refund.reference) == [("refund", "40.00")]
    assert await shop.booked(charge.reference) == [("charge", "19.90")]


async def test_nothing_is_held_by_a_sign_up_over_nothing(stripe_shop: StripeMerchant) -> None:
    call = builders.authorize("0")
    page = await stripe_shop.connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    await stripe_shop.visit(page.url)
    by_reference = await stripe_shop.connection.fetch_authorization(builders.lookup(call.reference))
    outcome = await stripe_shop.connection.fetch_authorization(
        builders.lookup(call.reference, page.psp_id)
    )
    assert outcome == by_reference
    assert isinstance(outcome, Approved)
    assert outcome.facts == ()
    assert (outcome.psp_id or "").startswith("seti_")
    assert outcome.instrument is not None
    paid = await stripe_shop.connection.charge(builders.charge(instrument=outcome.instrument))
    assert isinstance(paid, Approved)


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("4000000000009995", Code.InsufficientBalance),
        ("4000000000000069", Code.BearerExpired),
        ("4000000000000002", Code.Rejected),
        ("4000000000000077", Code.BearerInvalid),
    ],
)
async def test_a_declined_card(stripe_shop: StripeMerchant, card: str, code: Code) -> None:
    call = builders.authorize()
    page = await stripe_shop.connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    await stripe_shop.visit(page.url, card)
    outcome = await stripe_shop.connection.fetch_authorization(
        builders.lookup(call.reference, page.psp_id)
    )
    assert isinstance(outcome, Declined)
    assert outcome.code is code
    stored = await stripe_shop.stored_card(card)
    for again in (
        await stripe_shop.connection.charge(builders.charge(instrument=stored)),
        await stripe_shop.connection.authorize(
            builders.authorize(initial=False, instrument=stored)
        ),
    ):
        assert isinstance(again, Declined)
        assert again.code is code
        assert (again.psp_id or "").startswith("pi_")


async def test_a_page_that_nobody_paid_at(stripe_shop: StripeMerchant) -> None:
    connection = stripe_shop.connection
    left, late, closed = [builders.authorize() for _ in range(3)]
    pages = [await connection.authorize(call) for call in (left, late, closed)]
    assert all(isinstance(page, RedirectRequired) for page in pages)
    ids = [page.psp_id or "" for page in pages]
    assert isinstance(pages[0], RedirectRequired)
    await stripe_shop.visit(pages[0].url, None)
    await stripe_shop.control("expirations", id=ids[1])
    void = builders.void(ids[2], ref=closed.reference)
    assert isinstance(await connection.void(void), Approved)
    expected = (Status.Cancelled, Status.Expired, Status.Cancelled)
    for call, id, status in zip((left, late, closed), ids, expected, strict=True):
        outcome = await connection.fetch_authorization(builders.lookup(call.reference, id))
        assert isinstance(outcome, Declined)
        assert outcome.status is status
    again = await connection.void(builders.void(ids[2], ref=closed.reference))
    assert isinstance(again, Approved)


async def test_a_reservation_is_given_back_once(stripe_shop: StripeMerchant) -> None:
    connection = stripe_shop.connection
    card = await stripe_shop.stored_card()
    call = builders.authorize(initial=False, instrument=card)
    hold = await connection.authorize(call)
    assert isinstance(hold, Approved)
    void = builders.void(hold.psp_id or "", ref=call.reference)
    assert isinstance(await connection.void(void), Approved)
    # Another key: Stripe refuses what is done already, a read says that it is.
    other = builders.void(hold.psp_id or "", ref=call.reference)
    assert isinstance(await connection.void(other), Approved)
    assert await stripe_shop.booked(call.reference) == [("authorize", "119.00"), ("void", "119.00")]
    taken = await connection.capture(builders.capture(of=hold.psp_id or ""))
    assert isinstance(taken, Declined)
    assert taken.code is Code.InvalidPreconditions
    outcome = await connection.fetch_authorization(builders.lookup(call.reference, hold.psp_id))
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Cancelled


async def test_an_expired_reservation(stripe_shop: StripeMerchant) -> None:
    id = await held(stripe_shop)
    await stripe_shop.control("expirations", id=f"auth_{id.partition('_')[2]}")
    outcome = await stripe_shop.connection.fetch_authorization(
        builders.lookup(await _reference(stripe_shop, id), id)
    )
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Expired


async def _reference(shop: StripeMerchant, id: str) -> str:
    intent = next(a for a in reversed(shop.wire.answers) if a.get("id") == id)
    return str(intent["metadata"]["reference"])


async def test_a_debit_settles_fails_late_or_is_charged_back(stripe_shop: StripeMerchant) -> None:
    shop, connection = stripe_shop, stripe_shop.connection
    for iban, wanted in (
        (builders.GOOD_IBAN, Approved),
        (LATE_FAILURE, Declined),
        (CHARGED_BACK, Approved),
    ):
        stored = await signed_up(shop, iban)
        assert stored.bearer["IBAN"] == iban
        assert stored.bearer["Holder"] == "Mia Kern"
        assert stored.bearer["MandateId"]
        call = builders.charge("49.90", role=Role.Debit, instrument=stored)
        made = await connection.charge(call)
        assert isinstance(made, Pending)
        lookup = builders.lookup(call.reference, made.psp_id, role=Role.Debit)
        outcome = await eventually(partial(connection.fetch_payment, lookup), wanted)
        if isinstance(outcome, Declined):
            assert outcome.code is Code.InsufficientBalance
    await asyncio.sleep(0.5)
    found = await connection.fetch_payment(lookup)
    assert isinstance(found, Approved)
    back = [fact for fact in found.facts if fact.kind is FactKind.CHARGED_BACK]
    assert [(fact.amount, fact.fee) for fact in back] == [(Decimal("49.90"), Decimal("3.50"))]
    refused = await connection.refund(builders.refund("1.00", of=made.psp_id or ""))
    assert isinstance(refused, Declined)
    assert refused.code is Code.InvalidPreconditions


async def test_a_debit_has_its_day(stripe_shop: StripeMerchant) -> None:
    stored = await signed_up(stripe_shop)
    today = datetime.now(UTC).date()

    async def sent(day: date) -> str | None:
        call = builders.charge(
            "49.90", role=Role.Debit, instrument=stored, execute_on=day, key=None
        )
        outcome = await stripe_shop.connection.charge(call)
        confirm = stripe_shop.wire.requests[-1].content.decode()
        if isinstance(outcome, Declined):
            return "declined"
        return "dated" if "target_date%5D=" + day.isoformat() in confirm else "at once"

    assert await sent(today + timedelta(days=2)) == "at once"
    assert await sent(today + timedelta(days=3)) == "dated"
    assert await sent(today + timedelta(days=15)) == "dated"
    assert await sent(today + timedelta(days=16)) == "declined"


async def test_a_debit_without_the_payers_address_is_refused(stripe_shop: StripeMerchant) -> None:
    outcome = await stripe_shop.connection.authorize(builders.debit(payer=Payer(name="Mia Kern")))
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.psp_code) == (Code.InvalidData, "parameter_missing")


async def test_a_later_agreement_over_nothing_only_looks(stripe_shop: StripeMerchant) -> None:
    card = await stripe_shop.stored_card()
    outcome = await stripe_shop.connection.authorize(
        builders.authorize("0", initial=False, instrument=card)
    )
    assert isinstance(outcome, Approved)
    assert all(request.method == "GET" for request in stripe_shop.wire.requests)
    gone = Instrument(token={"payment_method": "pm_gone", "customer": "cus_1"}, bearer={})
    outcome = await stripe_shop.connection.authorize(
        builders.authorize("0", initial=False, instrument=gone)
    )
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.BearerInvalid


async def test_a_customer_is_taken_over(stripe_shop: StripeMerchant) -> None:
    card = await stripe_shop.stored_card()
    method, customer = card.token["payment_method"], card.token["customer"]
    for token, role, currency, wanted in (
        (method, Role.CreditCard, "EUR", None),
        (f"{customer}:{method}", Role.CreditCard, "EUR", None),
        (f"cus_other:{method}", Role.CreditCard, "EUR", Code.InvalidData),
        (method, Role.Debit, "EUR", Code.InvalidData),
        ("../account", Role.CreditCard, "EUR", Code.InvalidData),
    ):
        call = builders.authorize("0", migration_token=token, role=role, currency=currency)
        outcome = await stripe_shop.connection.authorize(call)
        assert getattr(outcome, "code", None) is wanted
    assert isinstance(outcome, Declined)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["drop", "error"])
async def test_a_lost_answer_books_once(stripe_shop: StripeMerchant, kind: str, when: str) -> None:
    """Each of both calls of a payment is lost once; a read or the same call finds it out."""
    card = await stripe_shop.stored_card()
    for skipped in (0, 1):
        call = builders.charge(instrument=card)
        fault = {"kind": kind, "when": when, "operations": ["charge"], "count": 1}
        if skipped:
            fault["share"] = 0.5
            fault["seed"] = 3  # lets the first call pass, and hits the second
        await stripe_shop.control("faults", **fault)
        outcome: Outcome | None = None
        for _ in range(3):
            try:
                outcome = await stripe_shop.connection.charge(call)
                break
            except OutcomeUnknown:
                continue
        assert isinstance(outcome, Approved)
        assert await stripe_shop.booked(call.reference) == [("charge", "119.00")]


async def test_other_parameters_under_a_key_are_no_outcome(stripe_shop: StripeMerchant) -> None:
    card = await stripe_shop.stored_card()
    call = builders.charge("10.00", instrument=card)
    assert isinstance(await stripe_shop.connection.charge(call), Approved)
    with pytest.raises(OutcomeUnknown):
        await stripe_shop.connection.charge(call.model_copy(update={"amount": Decimal("11.00")}))
    assert await stripe_shop.booked(call.reference) == [("charge", "10.00")]


async def test_old_objects_are_found_by_search(stripe_shop: StripeMerchant) -> None:
    card = await stripe_shop.stored_card()
    call = builders.charge(instrument=card)
    made = await stripe_shop.connection.charge(call)
    await asyncio.sleep(1.6)
    stripe_shop.wire.requests.clear()
    assert await stripe_shop.connection.fetch_payment(builders.lookup(call.reference)) == made
    asked = [request.url.path for request in stripe_shop.wire.requests]
    assert not any(path.endswith("/payment_intents") for path in asked)
    quoted = "it's \\ odd"
    assert await stripe_shop.connection.fetch_payment(builders.lookup(quoted)) is None


async def test_what_the_dashboard_did_is_listed(stripe_shop: StripeMerchant) -> None:
    shop, since = stripe_shop, datetime.now(UTC) - timedelta(seconds=1)
    id = await held(shop, "80.00")
    await shop.control("captures", authorization=f"auth_{id.partition('_')[2]}", amount=5000)
    charge = await shop.connection.charge(
        builders.charge("30.00", instrument=await shop.stored_card())
    )
    await shop.control("refunds", charge=f"ch_{(charge.psp_id or '').partition('_')[2]}")
    cursor: str | None = None
    found: list[Movement] = []
    while True:
        until = datetime.now(UTC) + timedelta(seconds=2)
        page = await shop.connection.list_movements(since, until, cursor)
        found += page.movements
        cursor = page.cursor
        if cursor is None:
            break
    by_kind = {(m.kind, m.psp_id): m for m in found}
    assert len(by_kind) == len(found) == 4
    capture = next(m for m in found if m.psp_id.startswith("ch_"))
    assert (capture.reference, capture.parent_psp_id, capture.amount) == (None, id, Decimal(50))
    refund = next(m for m in found if m.kind is MovementKind.REFUND)
    assert (refund.reference, refund.parent_psp_id) == (None, charge.psp_id)
    assert isinstance(refund.outcome, Approved)
    # What Stripe lists, too: the 30 euros that the capture has let go of. No money came back.
    assert [m.amount for m in found if m.kind is MovementKind.REFUND] == [Decimal("30.00")]
    listed = next(a for a in reversed(shop.wire.answers) if a.get("object") == "list")
    assert [one["amount"] for one in listed["data"]] == [3000, 3000]
    lookup = builders.lookup("a-payment-of-ours", capture.psp_id)
    adopted = await shop.connection.fetch_payment(lookup)
    assert isinstance(adopted, Approved)


async def test_events_are_listed_from_the_oldest(stripe_shop: StripeMerchant) -> None:
    shop = stripe_shop
    card = await shop.stored_card()
    empty = await shop.connection.list_events(None)
    assert (empty.events, empty.cursor, empty.more) == ((), None, False)
    calls = [builders.charge(instrument=card) for _ in range(3)]
    for call in calls:
        await shop.connection.charge(call)
        await asyncio.sleep(1.01)
    cursor: str | None = None
    seen: list[str | None] = []
    for _ in range(10):
        page = await shop.connection.list_events(cursor)
        seen += [notice.reference for event in page.events for notice in event.notices]
        cursor = page.cursor
        if not page.more:
            break
    assert seen == [call.reference for call in calls]
    last = await shop.connection.list_events(cursor)
    assert (last.events, last.cursor, last.more) == ((), cursor, False)
    forgotten = await shop.connection.list_events("evt_forgotten")
    assert [n.reference for e in forgotten.events for n in e.notices] == [calls[0].reference]


async def test_webhooks_lead_to_their_transactions(stripe_shop: StripeMerchant) -> None:
    shop = stripe_shop
    async with running_receiver() as receiver:
        await shop.register(f"{receiver.url}/shop")
        charge = builders.charge("12.07", instrument=await shop.stored_card())
        made = await shop.connection.charge(charge)
        refund = builders.refund("2.00", of=made.psp_id or "")
        await shop.connection.refund(refund)
        await signed_up(shop)
        for _ in range(100):
            if len(receiver.deliveries["/shop"]) >= 4:
                break
            await asyncio.sleep(0.05)
        notices = [
            notice
            for d in receiver.deliveries["/shop"]
            for notice in shop.adapter.parse_notification(
                shop.settings, d.headers, d.body, datetime.now(UTC)
            )
        ]
    paid = next(n for n in notices if n.reference == charge.reference)
    assert paid.result == made
    assert made.psp_id in paid.psp_ids
    back = next(n for n in notices if n.reference == refund.reference)
    assert back.result is None
    taken = [n for n in notices if n.reference is None and made.psp_id in n.psp_ids]
    assert [n.result for n in taken] == [None]
    outcome = await shop.connection.fetch_payment(builders.lookup(charge.reference, made.psp_id))
    assert isinstance(outcome, Approved)
    assert [f.kind for f in outcome.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]


async def test_settings_are_verified_by_a_read(stripe_shop: StripeMerchant) -> None:
    found = await stripe_shop.connection.verify_settings()
    assert found.roles == {Role.CreditCard, Role.Debit}
    assert (found.account or "").startswith("acct_")
    assert [request.method for request in stripe_shop.wire.requests] == ["GET"]
    form = {"ApiKey": "sk_test_unknown", "WebhookSecret": "whsec_x"}
    async with httpx.AsyncClient(timeout=10) as http:
        wrong = stripe_shop.adapter.connect(StripeSettings.model_validate(form), http)
        with pytest.raises(CredentialsRejected):
            await wrong.verify_settings()


@pytest.mark.parametrize(
    ("amount", "currency", "wire"),
    [
        ("4990", "JPY", "4990"),
        ("499", "ISK", "49900"),
        ("4000.00", "MGA", "4000"),
        ("5.120", "KWD", "5120"),
    ],
)
async def test_currencies(
    stripe_shop: StripeMerchant, amount: str, currency: str, wire: str
) -> None:
    card = await stripe_shop.stored_card()
    call = builders.charge(amount, currency=currency, instrument=card)
    outcome = await stripe_shop.connection.charge(call)
    assert isinstance(outcome, Approved)
    assert outcome.facts[0].amount == Decimal(amount)
    sent = next(r for r in stripe_shop.wire.requests if r.url.path.endswith("/payment_intents"))
    assert f"amount={wire}&" in sent.content.decode()
    assert await stripe_shop.booked(call.reference) == [("charge", amount)]
