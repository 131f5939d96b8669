"""The Stripe adapter against the running emulator: every operation and its ledger entries."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial

import pytest

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.receiver import running_receiver
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.types import (
    Absent,
    Address,
    Approved,
    Declined,
    FactKind,
    Instrument,
    LookupAnswer,
    Movement,
    MovementKind,
    Outcome,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe.conftest import StripeMerchant

LATE_FAILURE = "DE62370400440532013001"
CHARGED_BACK = "DE35370400440532013002"


async def wait_for(
    read: Callable[[], Awaitable[LookupAnswer]], expected: type[Outcome] = Approved
) -> Outcome:
    for _ in range(60):
        result = await read()
        if isinstance(result, expected):
            return result
        await asyncio.sleep(0.05)
    raise AssertionError(f"still {result}")


async def create_mandate(merchant: StripeMerchant, iban: str = builders.GOOD_IBAN) -> Instrument:
    outcome = await merchant.connection.authorize(builders.debit(iban=iban))
    assert isinstance(outcome, Approved)
    assert outcome.instrument is not None
    return outcome.instrument


async def create_reservation(merchant: StripeMerchant, amount: str = "119.00") -> str:
    card = await merchant.create_stored_card()
    outcome = await merchant.connection.authorize(
        builders.authorize(amount, initial=False, instrument=card)
    )
    assert isinstance(outcome, Approved)
    return outcome.psp_id or ""


async def test_a_card_from_sign_up_to_refund(stripe_merchant: StripeMerchant) -> None:
    merchant, connection = stripe_merchant, stripe_merchant.connection
    call = builders.authorize("119.00", text="Order 4711")
    page = await connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    assert page.psp_id.startswith("cs_")
    assert await connection.authorize(call) == page
    response = await merchant.visit_page(page.url)
    assert response.startswith("https://shop.example/ok")

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

    capture = builders.capture("100.00", authorization_id=fact.id)
    capture_outcome = await connection.capture(capture)
    assert isinstance(capture_outcome, Approved)
    assert [(f.kind, f.amount) for f in capture_outcome.facts] == [
        (FactKind.PAID, Decimal("100.00"))
    ]
    assert capture_outcome.facts[0].booked_on == datetime.now(UTC).date()
    assert (capture_outcome.psp_id or "").startswith("ch_")
    assert await connection.fetch_payment(builders.lookup(capture.reference)) == capture_outcome
    assert (
        await connection.fetch_payment(builders.lookup(capture.reference, capture_outcome.psp_id))
        == capture_outcome
    )

    refund = builders.refund("40.00", payment_id=capture_outcome.psp_id or "")
    refund_outcome = await connection.refund(refund)
    assert isinstance(refund_outcome, Approved)
    assert await connection.fetch_refund(builders.lookup(refund.reference)) == refund_outcome
    again = builders.refund("70.00", payment_id=capture_outcome.psp_id or "")
    refused = await connection.refund(again)
    assert isinstance(refused, Declined)
    assert refused.code is Code.InvalidAmount

    charge = builders.charge("19.90", instrument=outcome.instrument)
    charged = await connection.charge(charge)
    assert isinstance(charged, Approved)
    assert (charged.psp_id or "").startswith("pi_")
    later = builders.refund("19.90", payment_id=charged.psp_id or "")
    assert isinstance(await connection.refund(later), Approved)

    assert await merchant.list_bookings(call.reference) == [("authorize", "119.00")]
    assert await merchant.list_bookings(capture.reference) == [("capture", "100.00")]
    assert await merchant.list_bookings(refund.reference) == [("refund", "40.00")]
    assert await merchant.list_bookings(charge.reference) == [("charge", "19.90")]


async def test_a_sign_up_for_amount_zero_only_stores_the_card(
    stripe_merchant: StripeMerchant,
) -> None:
    call = builders.authorize("0")
    page = await stripe_merchant.connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    await stripe_merchant.visit_page(page.url)
    by_reference = await stripe_merchant.connection.fetch_authorization(
        builders.lookup(call.reference)
    )
    outcome = await stripe_merchant.connection.fetch_authorization(
        builders.lookup(call.reference, page.psp_id)
    )
    assert outcome == by_reference
    assert isinstance(outcome, Approved)
    assert outcome.facts == ()
    assert (outcome.psp_id or "").startswith("seti_")
    assert outcome.instrument is not None
    paid = await stripe_merchant.connection.charge(builders.charge(instrument=outcome.instrument))
    assert isinstance(paid, Approved)


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("4000000000000002", Code.Rejected),
        ("4000000000000077", Code.BearerInvalid),
    ],
)
async def test_a_declined_card(stripe_merchant: StripeMerchant, card: str, code: Code) -> None:
    call = builders.authorize()
    page = await stripe_merchant.connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    await stripe_merchant.visit_page(page.url, card)
    outcome = await stripe_merchant.connection.fetch_authorization(
        builders.lookup(call.reference, page.psp_id)
    )
    assert isinstance(outcome, Declined)
    assert outcome.code is code
    stored = await stripe_merchant.create_stored_card(card)
    for again in (
        await stripe_merchant.connection.charge(builders.charge(instrument=stored)),
        await stripe_merchant.connection.authorize(
            builders.authorize(initial=False, instrument=stored)
        ),
    ):
        assert isinstance(again, Declined)
        assert again.code is code
        assert (again.psp_id or "").startswith("pi_")


async def test_a_page_is_closed_once(stripe_merchant: StripeMerchant) -> None:
    connection = stripe_merchant.connection
    call = builders.authorize()
    page = await connection.authorize(call)
    assert isinstance(page, RedirectRequired)
    for _ in range(2):  # with another key each time
        void = builders.void(page.psp_id, ref=call.reference)
        assert isinstance(await connection.void(void), Approved)
    outcome = await connection.fetch_authorization(builders.lookup(call.reference, page.psp_id))
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Cancelled


async def test_a_reservation_is_voided_once(stripe_merchant: StripeMerchant) -> None:
    connection = stripe_merchant.connection
    card = await stripe_merchant.create_stored_card()
    call = builders.authorize(initial=False, instrument=card)
    hold = await connection.authorize(call)
    assert isinstance(hold, Approved)
    void = builders.void(hold.psp_id or "", ref=call.reference)
    assert isinstance(await connection.void(void), Approved)
    # With another key Stripe refuses the repeated cancellation, and a read confirms it.
    other = builders.void(hold.psp_id or "", ref=call.reference)
    assert isinstance(await connection.void(other), Approved)
    assert await stripe_merchant.list_bookings(call.reference) == [
        ("authorize", "119.00"),
        ("void", "119.00"),
    ]
    capture_outcome = await connection.capture(builders.capture(authorization_id=hold.psp_id or ""))
    assert isinstance(capture_outcome, Declined)
    assert capture_outcome.code is Code.InvalidPreconditions
    outcome = await connection.fetch_authorization(builders.lookup(call.reference, hold.psp_id))
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Cancelled


async def test_an_expired_reservation(stripe_merchant: StripeMerchant) -> None:
    id = await create_reservation(stripe_merchant)
    await stripe_merchant.call_control("expirations", id=f"auth_{id.partition('_')[2]}")
    outcome = await stripe_merchant.connection.fetch_authorization(
        builders.lookup(await _reference_of_intent(stripe_merchant, id), id)
    )
    assert isinstance(outcome, Declined)
    assert outcome.status is Status.Expired


async def _reference_of_intent(merchant: StripeMerchant, id: str) -> str:
    intent = next(a for a in reversed(merchant.transport.responses) if a.get("id") == id)
    return str(intent["metadata"]["reference"])


async def test_a_debit_is_paid_fails_late_or_is_charged_back(
    stripe_merchant: StripeMerchant,
) -> None:
    merchant, connection = stripe_merchant, stripe_merchant.connection
    for iban, expected in (
        (builders.GOOD_IBAN, Approved),
        (LATE_FAILURE, Declined),
        (CHARGED_BACK, Approved),
    ):
        stored = await create_mandate(merchant, iban)
        assert stored.bearer["IBAN"] == iban
        assert stored.bearer["Holder"] == "Mia Kern"
        assert stored.bearer["MandateId"]
        call = builders.charge("49.90", role=Role.Debit, instrument=stored)
        payment = await connection.charge(call)
        assert isinstance(payment, Pending)
        lookup = builders.lookup(call.reference, payment.psp_id, role=Role.Debit)
        outcome = await wait_for(partial(connection.fetch_payment, lookup), expected)
        if isinstance(outcome, Declined):
            assert outcome.code is Code.InsufficientBalance
    await asyncio.sleep(0.5)
    fetched_outcome = await connection.fetch_payment(lookup)
    assert isinstance(fetched_outcome, Approved)
    chargebacks = [fact for fact in fetched_outcome.facts if fact.kind is FactKind.CHARGED_BACK]
    assert [(fact.amount, fact.fee) for fact in chargebacks] == [
        (Decimal("49.90"), Decimal("3.50"))
    ]
    refused = await connection.refund(builders.refund("1.00", payment_id=payment.psp_id or ""))
    assert isinstance(refused, Declined)
    assert refused.code is Code.InvalidPreconditions


async def submit_evidence(merchant: StripeMerchant, dispute: str, text: str) -> None:
    """Decide a dispute as in Stripe's test mode."""
    response = await merchant.http.post(
        f"{merchant.url}/stripe/v1/disputes/{dispute}",
        headers={"Authorization": f"Bearer {merchant.key}"},
        data={"evidence[uncategorized_text]": text, "submit": "true"},
    )
    response.raise_for_status()


@pytest.mark.parametrize(
    ("evidence", "returned", "refunded"),
    [("winning_evidence", "119.00", Approved), ("losing_evidence", "40.00", Declined)],
)
async def test_a_dispute_after_a_refund_is_decided(
    stripe_merchant: StripeMerchant, evidence: str, returned: str, refunded: type[Outcome]
) -> None:
    merchant, connection = stripe_merchant, stripe_merchant.connection
    call = builders.charge(instrument=await merchant.create_stored_card())
    payment = await connection.charge(call)
    id = payment.psp_id or ""
    await connection.refund(builders.refund("40.00", payment_id=id))
    await merchant.call_control("chargebacks", reference=call.reference)
    lookup = builders.lookup(call.reference, id)
    outcome = await connection.fetch_payment(lookup)
    assert isinstance(outcome, Approved)
    assert [(fact.kind, str(fact.amount)) for fact in outcome.facts] == [
        (FactKind.PAID, "119.00"),
        (FactKind.CHARGED_BACK, "119.00"),
    ]
    assert isinstance(await connection.refund(builders.refund("1.00", payment_id=id)), Declined)

    disputes = merchant.transport.responses[-2]["data"]
    await submit_evidence(merchant, disputes[0]["id"], evidence)
    decided = await connection.fetch_payment(lookup)
    assert isinstance(decided, Approved)
    assert decided.facts[:2] == outcome.facts
    [reversal] = decided.facts[2:]
    assert (reversal.kind, str(reversal.amount), reversal.reverses) == (
        FactKind.CHARGEBACK_REVERSED,
        returned,
        outcome.facts[1].id,
    )
    assert isinstance(await connection.refund(builders.refund("79.00", payment_id=id)), refunded)


async def test_a_swiss_debit_needs_the_payers_address(stripe_merchant: StripeMerchant) -> None:
    connection = stripe_merchant.connection
    address = Address(line1="Bahnhofstrasse 1", postal_code="8001", city="Zürich")
    for payer, expected in (
        (Payer(email="mia@example.org", country="CH", address=address), Approved),
        (Payer(email="mia@example.org", country="CH"), Declined),
    ):
        call = builders.debit(iban="CH9300762011623852957", payer=payer)
        assert isinstance(await connection.authorize(call), expected)


async def test_a_debit_is_sent_with_its_date(stripe_merchant: StripeMerchant) -> None:
    stored = await create_mandate(stripe_merchant)
    today = datetime.now(UTC).date()

    async def sent(day: date) -> str | None:
        call = builders.charge(
            "49.90", role=Role.Debit, instrument=stored, execute_on=day, key=None
        )
        outcome = await stripe_merchant.connection.charge(call)
        confirm = stripe_merchant.transport.requests[-1].content.decode()
        if isinstance(outcome, Declined):
            return "declined"
        return "dated" if "target_date%5D=" + day.isoformat() in confirm else "at once"

    assert await sent(today + timedelta(days=2)) == "at once"
    assert await sent(today + timedelta(days=3)) == "dated"
    assert await sent(today + timedelta(days=15)) == "dated"
    assert await sent(today + timedelta(days=16)) == "declined"


async def test_a_debit_without_the_payers_email_is_declined(
    stripe_merchant: StripeMerchant,
) -> None:
    outcome = await stripe_merchant.connection.authorize(
        builders.debit(payer=Payer(name="Mia Kern"))
    )
    assert isinstance(outcome, Declined)
    assert (outcome.code, outcome.psp_code) == (Code.InvalidData, "parameter_missing")


async def test_an_upgrade_for_amount_zero_only_reads(stripe_merchant: StripeMerchant) -> None:
    card = await stripe_merchant.create_stored_card()
    outcome = await stripe_merchant.connection.authorize(
        builders.authorize("0", initial=False, instrument=card)
    )
    assert isinstance(outcome, Approved)
    assert all(request.method == "GET" for request in stripe_merchant.transport.requests)
    gone = Instrument(token={"payment_method": "pm_gone", "customer": "cus_1"}, bearer={})
    outcome = await stripe_merchant.connection.authorize(
        builders.authorize("0", initial=False, instrument=gone)
    )
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.BearerInvalid


async def test_a_customer_is_migrated(stripe_merchant: StripeMerchant) -> None:
    card = await stripe_merchant.create_stored_card()
    method, customer = card.token["payment_method"], card.token["customer"]
    for token, role, currency, expected in (
        (method, Role.CreditCard, "EUR", None),
        (f"{customer}:{method}", Role.CreditCard, "EUR", None),
        (f"cus_other:{method}", Role.CreditCard, "EUR", Code.InvalidData),
        (method, Role.Debit, "EUR", Code.InvalidData),
        ("../account", Role.CreditCard, "EUR", Code.InvalidData),
    ):
        call = builders.authorize("0", migration_token=token, role=role, currency=currency)
        outcome = await stripe_merchant.connection.authorize(call)
        assert getattr(outcome, "code", None) is expected
    assert isinstance(outcome, Declined)


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_charge_after_an_internal_error_of_stripe_is_booked_once(
    stripe_merchant: StripeMerchant, when: str
) -> None:
    """Either call of a payment fails once; a retry returns the outcome."""
    card = await stripe_merchant.create_stored_card()
    for skipped in (0, 1):
        call = builders.charge(instrument=card)
        fault = {"kind": "error", "when": when, "operations": ["charge"], "count": 1}
        if skipped:
            fault["share"] = 0.5
            fault["seed"] = 3  # lets the first call pass, and hits the second
        await stripe_merchant.call_control("faults", **fault)
        outcome: LookupAnswer = None
        for _ in range(3):
            try:
                outcome = await stripe_merchant.connection.charge(call)
                break
            except OutcomeUnknown:
                continue
        assert isinstance(outcome, Approved)
        assert await stripe_merchant.list_bookings(call.reference) == [("charge", "119.00")]


async def test_other_parameters_with_the_same_key_leave_the_outcome_unknown(
    stripe_merchant: StripeMerchant,
) -> None:
    card = await stripe_merchant.create_stored_card()
    call = builders.charge("10.00", instrument=card)
    assert isinstance(await stripe_merchant.connection.charge(call), Approved)
    with pytest.raises(OutcomeUnknown):
        await stripe_merchant.connection.charge(
            call.model_copy(update={"amount": Decimal("11.00")})
        )
    assert await stripe_merchant.list_bookings(call.reference) == [("charge", "10.00")]


async def test_old_objects_are_found_by_search(stripe_merchant: StripeMerchant) -> None:
    card = await stripe_merchant.create_stored_card()
    call = builders.charge(instrument=card)
    payment = await stripe_merchant.connection.charge(call)
    await asyncio.sleep(1.6)
    stripe_merchant.transport.requests.clear()
    assert (
        await stripe_merchant.connection.fetch_payment(builders.lookup(call.reference)) == payment
    )
    paths = [request.url.path for request in stripe_merchant.transport.requests]
    assert not any(path.endswith("/payment_intents") for path in paths)
    quoted = "it's \\ odd"
    answer = await stripe_merchant.connection.fetch_payment(builders.lookup(quoted))
    assert answer == Absent(proven=False)


async def test_movements_created_in_the_dashboard_are_listed(
    stripe_merchant: StripeMerchant,
) -> None:
    merchant, since = stripe_merchant, datetime.now(UTC) - timedelta(seconds=1)
    id = await create_reservation(merchant, "80.00")
    await merchant.call_control(
        "captures", authorization=f"auth_{id.partition('_')[2]}", amount=5000
    )
    charge = await merchant.connection.charge(
        builders.charge("30.00", instrument=await merchant.create_stored_card())
    )
    await merchant.call_control("refunds", charge=f"ch_{(charge.psp_id or '').partition('_')[2]}")
    cursor: str | None = None
    movements: list[Movement] = []
    while True:
        until = datetime.now(UTC) + timedelta(seconds=2)
        page = await merchant.connection.list_movements(since, until, cursor)
        movements += page.movements
        cursor = page.cursor
        if cursor is None:
            break
    by_kind = {(m.kind, m.psp_id): m for m in movements}
    assert len(by_kind) == len(movements) == 4
    capture = next(m for m in movements if m.psp_id.startswith("ch_"))
    assert (capture.reference, capture.parent_psp_id, capture.amount) == (None, id, Decimal(50))
    refund = next(m for m in movements if m.kind is MovementKind.REFUND)
    assert (refund.reference, refund.parent_psp_id) == (None, charge.psp_id)
    assert isinstance(refund.outcome, Approved)
    # Stripe also lists the 30 euros released by the partial capture, which is not a refund.
    assert [m.amount for m in movements if m.kind is MovementKind.REFUND] == [Decimal("30.00")]
    listed = next(a for a in reversed(merchant.transport.responses) if a.get("object") == "list")
    assert [item["amount"] for item in listed["data"]] == [3000, 3000]
    lookup = builders.lookup("a-payment-of-ours", capture.psp_id)
    external_payment = await merchant.connection.fetch_payment(lookup)
    assert isinstance(external_payment, Approved)


async def test_events_are_listed_from_the_oldest(stripe_merchant: StripeMerchant) -> None:
    merchant = stripe_merchant
    card = await merchant.create_stored_card()
    empty = await merchant.connection.list_events(None)
    assert (empty.events, empty.cursor, empty.more) == ((), None, False)
    calls = [builders.charge(instrument=card) for _ in range(3)]
    for call in calls:
        await merchant.connection.charge(call)
        await asyncio.sleep(1.01)
    cursor: str | None = None
    seen: list[str | None] = []
    for _ in range(10):
        page = await merchant.connection.list_events(cursor)
        seen += [notification.reference for event in page.events for notification in event.notices]
        cursor = page.cursor
        if not page.more:
            break
    assert seen == [call.reference for call in calls]
    last = await merchant.connection.list_events(cursor)
    assert (last.events, last.cursor, last.more) == ((), cursor, False)
    forgotten = await merchant.connection.list_events("evt_forgotten")
    assert [n.reference for e in forgotten.events for n in e.notices] == [calls[0].reference]


async def test_webhooks_identify_their_transactions(stripe_merchant: StripeMerchant) -> None:
    merchant = stripe_merchant
    async with running_receiver() as receiver:
        await merchant.register_webhook(f"{receiver.url}/shop")
        charge = builders.charge("12.07", instrument=await merchant.create_stored_card())
        payment = await merchant.connection.charge(charge)
        refund = builders.refund("2.00", payment_id=payment.psp_id or "")
        await merchant.connection.refund(refund)
        await create_mandate(merchant)
        for _ in range(100):
            if len(receiver.deliveries["/shop"]) >= 4:
                break
            await asyncio.sleep(0.05)
        notifications = [
            notification
            for d in receiver.deliveries["/shop"]
            for notification in merchant.adapter.parse_notification(
                merchant.settings, d.headers, d.body, datetime.now(UTC)
            )
        ]
    paid = next(n for n in notifications if n.reference == charge.reference)
    assert paid.result == payment
    assert payment.psp_id in paid.psp_ids
    refund_event = next(n for n in notifications if n.reference == refund.reference)
    assert refund_event.result is None
    dispute_events = [
        n for n in notifications if n.reference is None and payment.psp_id in n.psp_ids
    ]
    assert [n.result for n in dispute_events] == [None]
    outcome = await merchant.connection.fetch_payment(
        builders.lookup(charge.reference, payment.psp_id)
    )
    assert isinstance(outcome, Approved)
    assert [f.kind for f in outcome.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]


async def test_settings_are_verified_with_one_read(stripe_merchant: StripeMerchant) -> None:
    check = await stripe_merchant.connection.verify_settings()
    assert check.roles == {Role.CreditCard, Role.Debit}
    assert (check.account or "").startswith("acct_")
    assert [request.method for request in stripe_merchant.transport.requests] == ["GET"]


@pytest.mark.parametrize(
    ("amount", "currency", "amount_sent"),
    [
        ("4990", "JPY", "4990"),
        ("499", "ISK", "49900"),
        ("4000.00", "MGA", "4000"),
        ("5.120", "KWD", "5120"),
    ],
)
async def test_currencies(
    stripe_merchant: StripeMerchant, amount: str, currency: str, amount_sent: str
) -> None:
    card = await stripe_merchant.create_stored_card()
    call = builders.charge(amount, currency=currency, instrument=card)
    outcome = await stripe_merchant.connection.charge(call)
    assert isinstance(outcome, Approved)
    assert outcome.facts[0].amount == Decimal(amount)
    sent = next(
        r for r in stripe_merchant.transport.requests if r.url.path.endswith("/payment_intents")
    )
    assert f"amount={amount_sent}&" in sent.content.decode()
    assert await stripe_merchant.list_bookings(call.reference) == [("charge", amount)]
