"""Test how mistakes of adapters and successions are handled on a real store."""

import json
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from activities.fact_checks import REMEDY, Owner, check_facts
from activities.psp import PspActivities
from integrator.psp.types import (
    MAX_TEXT_LENGTH,
    Approved,
    Declined,
    Fact,
    FactKind,
    NotificationEvent,
    Outcome,
    Pending,
    Succession,
)
from integrator.store import Merchant, NewNotification, RecordUpdate, Store
from tests.integration.activities.conftest import (
    CAPTURE,
    CHARGE,
    NOW,
    PREAUTH,
    REFUND,
    FakePsp,
    TransactionFactory,
    call,
)
from workflows.messages import NotificationRead
from workflows.state import Evidence, EvidenceKind, PaymentState

AGREEMENT = "65a7f0b1c2d3e4f506172840"
SIGN_UP = f"20260101-{AGREEMENT}"
MANDATE = {
    "token": {"mandate": "md_1", "customer": "cu_1"},
    "bearer": {"Holder": "Mia Kern", "IBAN": "DE89370400440532013000", "MandateId": "md_1"},
}
OTHER = "20260101-65a7f1c2c2d3e4f506172a99"
MISTAKES: dict[str, dict[str, Any]] = {
    "currency": {"currency": "USD"},
    "reference": {"reference": OTHER},
    "foreign reference": {"reference": "order-17"},
    "payment's reference": {"reference": CHARGE},
    "parent": {"parent_psp_id": "ch_9"},
    "sign": {"amount": Decimal("-119.00")},
}
SECONDARY = {
    "chargeback": (FactKind.CHARGED_BACK, {}),
    "reversal": (FactKind.CHARGEBACK_REVERSED, {"reverses": "cb_0"}),
    "refund": (FactKind.REFUNDED, {}),
    "return of a refund": (FactKind.RETURNED, {}),
}


def fact(kind: FactKind, id: str, amount: str = "119.00", **fields: Any) -> Fact:
    return Fact(**({"kind": kind, "id": id, "amount": Decimal(amount)} | fields))


PAID = fact(FactKind.PAID, "ch_1")
WITHDRAWN = fact(FactKind.CHARGED_BACK, "cb_0", "40.00")


async def record(store: Store, transaction_id: str, outcome: Outcome) -> None:
    """Bring a stored payment into the state that an outcome leads to."""
    row = await store.transactions.get("demo", transaction_id)
    assert row is not None
    payment = PaymentState.model_validate_json(row.snapshot)
    payment.apply(outcome, Evidence(kind=EvidenceKind.ANSWER, source="charge", at=NOW))
    await store.transactions.record(
        RecordUpdate(
            merchant_id="demo",
            transaction_id=transaction_id,
            status=payment.status.name,
            version=payment.version,
            snapshot=payment.model_dump_json(),
            evidence="{}",
            psp_transaction_id=payment.psp_transaction_id,
        )
    )


async def store_notification(
    store: Store, merchant: Merchant, psp: FakePsp, outcome: Outcome
) -> NotificationRead:
    """Store a notification that reports the outcome of the capture; return its reading."""
    psp.parsed_events = [NotificationEvent(event_id="evt_1", result=outcome)]
    id, _ = await store.notifications.add(
        NewNotification(
            psp_settings_id=merchant.psp_settings_id,
            event_id="evt_1",
            merchant_id="demo",
            raw=b"{}",
            headers={},
        )
    )
    return NotificationRead(merchant_id="demo", transaction_id=CAPTURE, notification_id=id)


@pytest.fixture
async def paid(store: Store, factory: TransactionFactory) -> None:
    await factory.refund()
    await record(store, CAPTURE, Approved(psp_id="pi_1", facts=(PAID, WITHDRAWN)))


# --- facts of other transactions ----------------------------------------------------------------


@pytest.mark.parametrize("secondary", SECONDARY)
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_secondary_fact_of_another_transaction_is_not_booked(
    paid: None, psp: FakePsp, activities: PspActivities, secondary: str, mistake: str
) -> None:
    kind, fields = SECONDARY[secondary]
    wrong = fact(kind, "wrong", **(fields | MISTAKES[mistake]))
    is_refund = kind in (FactKind.REFUNDED, FactKind.RETURNED)
    right = (fact(FactKind.REFUNDED, "re_1", "19.00"),) if is_refund else (PAID, WITHDRAWN)
    psp.answers = [Approved(psp_id="re_1" if is_refund else "pi_1", facts=(*right, wrong))]
    if is_refund:
        reply = await activities.fetch_refund(call(REFUND))
    else:
        reply = await activities.fetch_payment(call(CAPTURE))
    assert isinstance(reply.outcome, Approved)
    assert reply.outcome.facts == right
    (doubt,) = reply.doubts
    assert doubt.startswith("Not booked: the ")
    assert " wrong of " in doubt
    assert doubt.endswith(REMEDY)


@pytest.mark.parametrize("parent", ["pi_1", "ch_1", None])
@pytest.mark.parametrize("reference", [CAPTURE, CAPTURE.upper(), PREAUTH, None])
async def test_a_chargeback_that_names_its_payment_is_booked(
    paid: None,
    psp: FakePsp,
    activities: PspActivities,
    parent: str | None,
    reference: str | None,
) -> None:
    own = fact(
        FactKind.CHARGED_BACK,
        "cb_1",
        "79.00",
        currency="eur",
        reference=reference,
        parent_psp_id=parent,
    )
    psp.answers = [Approved(psp_id="pi_1", facts=(PAID, WITHDRAWN, own))]
    reply = await activities.fetch_payment(call(CAPTURE))
    assert reply.outcome == psp.answers[0]
    assert reply.doubts == ()


@pytest.mark.parametrize("parent", ["pi_1", "ch_1"])
async def test_a_refund_that_names_its_payment_is_booked(
    paid: None, psp: FakePsp, activities: PspActivities, parent: str
) -> None:
    own = fact(FactKind.REFUNDED, "re_1", "19.00", reference=REFUND, parent_psp_id=parent)
    psp.answers = [Approved(psp_id="re_1", facts=(own,))]
    assert (await activities.refund(call(REFUND))).outcome == psp.answers[0]


async def test_a_refund_in_another_currency_stays_open(
    paid: None, psp: FakePsp, activities: PspActivities
) -> None:
    wrong = fact(FactKind.REFUNDED, "re_1", "19.00", currency="USD")
    psp.answers = [Approved(psp_id="re_1", facts=(wrong,))]
    reply = await activities.refund(call(REFUND))
    assert reply.outcome == Approved(psp_id="re_1")
    assert len(reply.doubts) == 1


@pytest.mark.parametrize(
    ("facts", "kept", "reason"),
    [
        ([PAID, WITHDRAWN, fact(FactKind.REFUNDED, "ch_1")], ["ch_1", "cb_0"], "booked before"),
        ([fact(FactKind.CHARGED_BACK, "ch_1")], [], "has the id of the payment"),
        (
            [PAID, WITHDRAWN, fact(FactKind.PAID, "ch_1", "1.00")],
            ["ch_1", "cb_0"],
            "of another one",
        ),
        ([fact(FactKind.PAID, "ch_2", "-1.00")], [], "amount that no movement has"),
        ([fact(FactKind.PAID, "ch_2", currency="USD")], [], "is not in EUR"),
    ],
)
async def test_a_fact_that_contradicts_another_is_not_booked(
    paid: None,
    psp: FakePsp,
    activities: PspActivities,
    facts: list[Fact],
    kept: list[str],
    reason: str,
) -> None:
    psp.answers = [Approved(psp_id="pi_1", facts=tuple(facts))]
    reply = await activities.fetch_payment(call(CAPTURE))
    assert isinstance(reply.outcome, Approved)
    assert [fact.id for fact in reply.outcome.facts] == kept
    (doubt,) = reply.doubts
    assert reason in doubt


@pytest.mark.parametrize("kind", [kind for kind in FactKind if kind is not FactKind.AUTHORIZED])
async def test_a_movement_of_0_is_left_out(
    paid: None, psp: FakePsp, activities: PspActivities, kind: FactKind
) -> None:
    nothing = fact(kind, "x", "0.00", reverses="cb_0")
    psp.answers = [Approved(psp_id="pi_1", facts=(PAID, WITHDRAWN, nothing))]
    reply = await activities.fetch_payment(call(CAPTURE))
    assert reply.outcome == Approved(psp_id="pi_1", facts=(PAID, WITHDRAWN))
    assert reply.doubts == ()


async def test_a_reservation_of_0_is_kept(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [Approved(psp_id="a", facts=(fact(FactKind.AUTHORIZED, "a", "0"),))]
    assert (await activities.authorize(call(PREAUTH))).outcome == psp.answers[0]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ([fact(FactKind.CHARGEBACK_REVERSED, "r", reverses="cb_9")], "which the PSP does not"),
        ([fact(FactKind.CHARGEBACK_REVERSED, "r", "41.00", reverses="cb_0")], "40.00 are booked"),
        ([fact(FactKind.CHARGED_BACK, "cb_1", "79.01")], "exceed the 119.00"),
    ],
)
async def test_sums_that_cannot_be_true_ask_an_operator(
    paid: None,
    store: Store,
    merchant: Merchant,
    psp: FakePsp,
    activities: PspActivities,
    facts: list[Fact],
    reason: str,
) -> None:
    outcome = Approved(psp_id="pi_1", facts=tuple(facts))
    read = await store_notification(store, merchant, psp, outcome)
    # A notification says a part: the PSP is asked for the rest before an operator is.
    result = await activities.read_notification(read)
    assert (result.outcome, result.fetch, result.doubts) == (outcome, True, ())
    psp.answers = [outcome]
    reply = await activities.fetch_payment(call(CAPTURE))
    assert reply.outcome == outcome
    (doubt,) = reply.doubts
    assert reason in doubt
    psp.readable = False
    result = await activities.read_notification(read)
    assert result.doubts == reply.doubts


BACK = fact(FactKind.CHARGEBACK_REVERSED, "r_0", "40.00", reverses="cb_0")
AGAIN = fact(FactKind.CHARGED_BACK, "cb_1", "40.00")


@pytest.mark.parametrize(
    ("booked", "reported", "doubt"),
    [
        ([WITHDRAWN], [], "no longer reports cb_0: 40.00 EUR are booked as charged back, 0"),
        ([WITHDRAWN, BACK], [WITHDRAWN], "no longer reports r_0: 0.00 EUR"),
        ([WITHDRAWN, BACK, AGAIN], [WITHDRAWN, BACK], "reports cb_1: 40.00 EUR"),
        ([WITHDRAWN], [AGAIN], "reports cb_0: 80.00 EUR are booked as charged back, 40.00"),
        ([WITHDRAWN, BACK], [], None),
        ([WITHDRAWN, BACK], [WITHDRAWN, BACK], None),
        ([WITHDRAWN], [AGAIN.model_copy(update={"supersedes": ("cb_0",)})], None),
    ],
)
async def test_a_booked_chargeback_that_a_look_up_no_longer_shows_asks_an_operator(
    factory: TransactionFactory,
    store: Store,
    merchant: Merchant,
    psp: FakePsp,
    activities: PspActivities,
    booked: list[Fact],
    reported: list[Fact],
    doubt: str | None,
) -> None:
    await factory.refund()
    await record(store, CAPTURE, Approved(psp_id="pi_1", facts=(PAID, *booked)))
    outcome = Approved(psp_id="pi_1", facts=(PAID, *reported))
    psp.answers = [outcome]
    reply = await activities.fetch_payment(call(CAPTURE))
    assert reply.outcome == outcome
    assert len(reply.doubts) == (doubt is not None)
    assert all(doubt and doubt in text and text.endswith(REMEDY) for text in reply.doubts)
    # An answer to a call or a notification says a part: what it leaves out means nothing.
    read = await store_notification(store, merchant, psp, outcome)
    assert (await activities.read_notification(read)).doubts == ()


def test_a_doubt_is_one_line_of_limited_length() -> None:
    state = PaymentState.model_validate_json(
        json.dumps(
            {
                "transaction_id": CAPTURE,
                "external_id": "e",
                "role": 1,
                "currency": "EUR",
                "requested_amount": "119.00",
                "last_updated": NOW.isoformat(),
            }
        )
    )
    wrong = fact(FactKind.CHARGED_BACK, "cb\n1\u2028" + "x" * 999, currency="USD")
    checked = check_facts(Declined(facts=(wrong,)), Owner(state, frozenset({CAPTURE})))
    (doubt,) = checked.doubts
    assert len(doubt.splitlines()) == 1
    assert len(doubt) <= MAX_TEXT_LENGTH


# --- successions --------------------------------------------------------------------------------


def continued(**fields: Any) -> Succession:
    return Succession(**({"former_id": "md_1", "new_id": "md_2"} | fields))


async def instrument(store: Store) -> dict[str, Any] | None:
    agreement = await store.agreements.get("demo", AGREEMENT)
    assert agreement is not None
    return agreement.instrument


OUTCOMES: list[Callable[[Succession], Outcome]] = [
    lambda succession: Approved(psp_id="pm_1", succession=succession),
    lambda succession: Pending(psp_id="pm_1", succession=succession),
    lambda succession: Declined(psp_id="pm_1", succession=succession),
]


@pytest.mark.parametrize("outcome", OUTCOMES)
async def test_an_agreement_continues_with_the_new_mandate(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    outcome: Callable[[Succession], Outcome],
) -> None:
    await factory.agreement(AGREEMENT, MANDATE)
    await factory.charge()
    succession = continued(bearer={"MandateReference": "REF-2"})
    psp.answers = [outcome(succession)]
    reply = await activities.charge(call(CHARGE))
    assert reply.outcome == outcome(continued())
    assert "REF-2" not in reply.model_dump_json()
    renewed = {
        "token": {"mandate": "md_2", "customer": "cu_1"},
        "bearer": MANDATE["bearer"] | {"MandateId": "md_2", "MandateReference": "REF-2"},
    }
    assert await instrument(store) == renewed
    sign_up = await store.transactions.get("demo", SIGN_UP)
    assert sign_up is not None
    assert sign_up.private == {"instrument": renewed}
    await activities.charge(call(CHARGE, idempotency_key="next"))
    assert psp.calls[-1][1].instrument.token == renewed["token"]


async def test_an_old_succession_changes_nothing(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.agreement(AGREEMENT, MANDATE)
    await factory.charge()
    psp.answers = [
        Pending(psp_id="pm_1", succession=continued()),
        Pending(psp_id="pm_1", succession=continued(former_id="md_2", new_id="md_3")),
        Pending(psp_id="pm_1", succession=continued()),
        Pending(psp_id="pm_1", succession=continued(former_id="DE89370400440532013000")),
    ]
    for _ in psp.answers[:]:
        await activities.fetch_payment(call(CHARGE))
    await activities.fetch_payment(call(CHARGE))
    stored = await instrument(store)
    assert stored is not None
    assert stored["token"] == {"mandate": "md_3", "customer": "cu_1"}
    assert stored["bearer"]["IBAN"] == MANDATE["bearer"]["IBAN"]


async def test_a_succession_of_an_erased_agreement_stores_nothing(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.agreement(AGREEMENT, MANDATE)
    await factory.charge()
    await store.erasure.erase_agreement("demo", AGREEMENT)
    psp.answers = [Approved(psp_id="pm_1", succession=continued())]
    await activities.fetch_payment(call(CHARGE))
    assert await instrument(store) is None
