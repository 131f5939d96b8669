"""Values of callers and PSPs at their limits: nothing that is replayed raises on them.

The reports go through JSON, as a workflow receives them.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from integrator.contract import currencies
from integrator.contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.money import MAX_AMOUNT
from integrator.psp.types import FactKind, Outcome
from integrator.transactions.transaction_client import STATE_TYPES
from integrator.transactions.workflow_inputs import read_state
from workflows import search_attributes, timeouts
from workflows.deadlines import ChargebackWindow, PreauthExpiry
from workflows.messages import (
    AnyInput,
    Delivery,
    DeliveryState,
    NotificationSignal,
    PaymentInput,
    PreauthInput,
    RefundInput,
    ReserveRequest,
)
from workflows.psp_retry import usable_window
from workflows.search_attributes import WebhookState
from workflows.state import (
    AnyState,
    BookedRefund,
    Decision,
    DecisionKind,
    Evidence,
    EvidenceKind,
    ExternalMovement,
    MovementStatus,
    PaymentState,
    PreauthState,
    TransactionKind,
)
from workflows.text_limits import MAX_DETAILS_BYTES, MAX_KEYWORD_BYTES, MAX_SUMMARY_BYTES
from workflows.timeline import build_timeline, markdown, summarize_input
from workflows.timeline.formatting import format_amount

NOW = datetime(2026, 1, 15, 9, tzinfo=UTC)
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)

# --- values ----------------------------------------------------------------------------------

EMOJI = "\N{GRINNING FACE}"
LONG_TEXTS = [EMOJI * 255, EMOJI * 3000, "ü" * 400, "a" * 5000, "\0" * 300, '"\\' * 300, "\n" * 300]
TEXTS = st.one_of(st.text(min_size=1, max_size=40), st.sampled_from(LONG_TEXTS))
OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TIMES = st.one_of(
    st.datetimes(timezones=st.one_of(st.none(), OFFSETS)),
    st.sampled_from(
        [
            datetime.min,  # noqa: DTZ901 - what a PSP may send
            datetime.max,  # noqa: DTZ901
            datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
            datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        ]
    ),
)
DATES = st.one_of(st.dates(), st.sampled_from([date.min, date.max, NOW.date()]))
AMOUNTS = st.one_of(
    st.decimals(0, 10**12, places=2),
    st.sampled_from([Decimal(text) for text in ("0", "0.0001", "1E+27", "1E-27", "9" * 28)]),
)
MESSAGE_AMOUNTS = AMOUNTS.filter(lambda amount: amount <= MAX_AMOUNT)
CURRENCIES = st.one_of(
    st.sampled_from(sorted(currencies.DECIMALS)),
    st.sampled_from(["ZZZ", "XXX", "", "eur", EMOJI]),  # in neither the input nor the table
)
DECIMALS = st.sampled_from([None, 0, 2, 4])


def as_json(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[str | None]:
    """Generate values of `strategy` as they are in JSON, or None."""
    return st.one_of(st.none(), strategy.map(lambda value: _to_text(value)))


def _to_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, date) else str(value)


FACTS = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(FactKind).map(str),
        "id": TEXTS,
        "amount": AMOUNTS.map(str),
        "booked_on": as_json(DATES),
        "description": as_json(TEXTS),
        "expires_at": as_json(TIMES),
        "fee": as_json(AMOUNTS),
        "psp_reason_code": as_json(TEXTS),
        "psp_reason_message": as_json(TEXTS),
    }
)
FACT_LISTS = st.lists(FACTS, max_size=3)
REPORTS = st.one_of(
    st.fixed_dictionaries(
        {"outcome": st.just("approved"), "psp_id": as_json(TEXTS), "facts": FACT_LISTS}
    ),
    st.fixed_dictionaries(
        {"outcome": st.just("pending"), "psp_id": as_json(TEXTS), "facts": FACT_LISTS}
    ),
    st.fixed_dictionaries(
        {"outcome": st.just("redirect"), "psp_id": TEXTS, "expires_at": TIMES.map(_to_text)}
    ),
    st.fixed_dictionaries(
        {
            "outcome": st.just("declined"),
            "code": st.just(PaymentErrorCode.Rejected.name),
            "psp_code": as_json(TEXTS),
            "message": as_json(TEXTS),
            "status": st.sampled_from([Status.Failed, Status.Cancelled, Status.Expired]).map(
                lambda status: status.name
            ),
            "facts": FACT_LISTS,
        }
    ),
).map(lambda report: OUTCOME.validate_json(json.dumps(report)))
"""Reports of a PSP, decoded from JSON."""


@st.composite
def inputs(draw: st.DrawFn) -> AnyInput:
    """Generate the input of any of the three workflows."""
    common: dict[str, Any] = {
        "merchant_id": "m",
        "psp": "sandbox",
        "psp_settings_id": "s",
        "transaction_id": "20260115-65a7f1c2c2d3e4f506172a02",
        "external_id": "e" * 24,
        "role": PublicPaymentProviderRole.Debit,
        "currency": draw(CURRENCIES),
        "currency_exponent": draw(DECIMALS),
        "requested_amount": draw(AMOUNTS),
        "key_window_seconds": 86_400,
        "agreement_id": draw(st.one_of(st.none(), TEXTS)),
    }
    match draw(st.sampled_from(TransactionKind)):
        case TransactionKind.PREAUTH:
            return PreauthInput(**common)
        case TransactionKind.PAYMENT:
            day = draw(st.one_of(st.none(), DATES))
            return PaymentInput(**common, execute_on=day, preauth_id=draw(as_json(TEXTS)))
        case _:
            return RefundInput(**common, payment_id=draw(TEXTS))


def first_state(start: AnyInput) -> AnyState:
    """Return the state that a workflow begins with."""
    common: dict[str, Any] = {
        "transaction_id": start.transaction_id,
        "external_id": start.external_id,
        "role": start.role,
        "currency": start.currency,
        "requested_amount": start.requested_amount,
        "last_updated": NOW,
    }
    match start:
        case PreauthInput():
            return PreauthState(**common)
        case PaymentInput():
            return PaymentState(**common, due_date=start.execute_on)
        case RefundInput():
            return STATE_TYPES[TransactionKind.REFUND](**common, payment_id=start.payment_id)


# --- steps -----------------------------------------------------------------------------------

Step = Callable[[AnyState, datetime], object]


def report_step(outcome: Outcome) -> Step:
    def run(state: AnyState, now: datetime) -> object:
        return state.apply(outcome, Evidence(kind=EvidenceKind.READ, source="look_up", at=now))

    return run


def decision_step(psp_id: str, amount: Decimal, kind: DecisionKind, reason: str) -> Step:
    def run(state: AnyState, now: datetime) -> object:
        values: dict[str, Any] = {"kind": kind, "by": "ops", "reason": reason, "at": now}
        if kind is DecisionKind.SUCCEEDED:
            values |= {"psp_id": psp_id, "amount": amount}
        decision = Decision(**values)
        return None if state.check_decision(decision) else state.apply_decision(decision)

    return run


def movement_step(
    psp_id: str, amount: Decimal, currency: str, status: MovementStatus, day: date | None
) -> Step:
    movement = ExternalMovement(
        psp_id=psp_id, amount=amount, currency=currency, status=status, booked_on=day
    )

    def run(state: AnyState, now: datetime) -> object:
        if isinstance(state, PaymentState | PreauthState):
            return state.record_external_movement(movement, now)
        return None

    return run


def reservation_step(by: str, amount: Decimal, at: datetime, booked: bool) -> Step:
    def run(state: AnyState, now: datetime) -> object:
        if not isinstance(state, PaymentState | PreauthState):
            return None
        state.check_attempt(by, at.astimezone(UTC) if at.year not in (1, 9999) else NOW)
        state.reserve(by, amount, state.currency)
        if isinstance(state, PreauthState):
            state.close_reservation(by, booked)
            return None
        refund = BookedRefund(amount=amount, psp_id=by, booked_on=date.max)
        return state.close_reservation(by, refund if booked else None, now)

    return run


STEPS: st.SearchStrategy[Step] = st.one_of(
    REPORTS.map(report_step),
    st.builds(decision_step, TEXTS, MESSAGE_AMOUNTS, st.sampled_from(DecisionKind), TEXTS),
    st.builds(
        movement_step,
        TEXTS,
        MESSAGE_AMOUNTS,
        CURRENCIES,
        st.sampled_from(MovementStatus),
        st.one_of(st.none(), DATES),
    ),
    st.builds(reservation_step, TEXTS, MESSAGE_AMOUNTS, TIMES, st.booleans()),
)

# --- what a workflow does with them ------------------------------------------------------------


def check_search_attributes(start: AnyInput, state: AnyState) -> None:
    known = search_attributes.read_values(search_attributes.initial_attributes(start))
    assert known is not None
    values = search_attributes.attribute_values(start, state, WebhookState.DELIVERING)
    search_attributes.compute_updates(known, values)
    search_attributes.initial_attributes(start.model_copy(update={"resume": state}))
    for value in values.values():
        assert len(json.dumps(value)) <= MAX_KEYWORD_BYTES
        assert not isinstance(value, int) or abs(value) < 2**63


def check_texts(start: AnyInput, state: AnyState, error: str) -> None:
    delivery = Delivery(state=DeliveryState.UNDELIVERED, delivered_at=NOW, last_error=error)
    for now in (NOW, datetime.max.replace(tzinfo=UTC)):
        text = markdown(build_timeline(state, delivery, now, NOW, NOW))
        assert len(json.dumps(text)) <= MAX_DETAILS_BYTES
    assert len(json.dumps(summarize_input(start))) <= MAX_SUMMARY_BYTES


def check_deadlines(state: AnyState) -> None:
    if isinstance(state, PaymentState):
        end = ChargebackWindow(state).at
    elif isinstance(state, PreauthState):
        unused: Any = None
        end = PreauthExpiry(unused, state, unused, unused).at
    else:
        return
    assert end is None or (end <= NOW or end - NOW > timedelta(0))


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(inputs(), st.lists(STEPS, max_size=6), TEXTS)
def test_no_value_makes_a_workflow_fail(start: AnyInput, steps: list[Step], error: str) -> None:
    decoded = type(start).model_validate_json(start.model_dump_json())
    assert decoded == start
    state = first_state(decoded)
    for number, step in enumerate(steps):
        step(state, NOW + timedelta(minutes=number))
        check_search_attributes(decoded, state)
        check_texts(decoded, state, error)
        check_deadlines(state)
    stored = read_state(state.kind, state.model_dump_json())
    assert stored == state


@given(CURRENCIES, AMOUNTS, DECIMALS)
def test_an_amount_is_always_shown(currency: str, amount: Decimal, decimals: int | None) -> None:
    shown = format_amount(amount, currency, decimals)
    assert Decimal(shown.removesuffix(f" {currency}")) == amount


@pytest.mark.parametrize("model", [PreauthInput, PaymentInput, RefundInput])
def test_an_unknown_currency_has_no_amount_to_search_for(model: type[AnyInput]) -> None:
    values = {
        "merchant_id": "m",
        "psp": "sandbox",
        "psp_settings_id": "s",
        "transaction_id": "t",
        "external_id": "e",
        "role": PublicPaymentProviderRole.Debit,
        "currency": "ZZZ",
        "requested_amount": "10.50",
        "key_window_seconds": 1,
        "payment_id": "p",
    }
    attributes = search_attributes.initial_attributes(model.model_validate(values))
    assert attributes.get(search_attributes.AMOUNT_MINOR) is None
    assert attributes[search_attributes.CURRENCY] == "ZZZ"
    travelled = model.model_validate(values | {"currency_exponent": 2})
    attributes = search_attributes.initial_attributes(travelled)
    assert attributes[search_attributes.AMOUNT_MINOR] == 1050


TOO_LARGE = ("1E+16", "-1E+16", "9E+999999", "NaN", "Infinity")


@pytest.mark.parametrize("amount", TOO_LARGE)
@pytest.mark.parametrize(
    ("model", "members"),
    [
        (ReserveRequest, {"by": "r1", "currency": "EUR"}),
        (Decision, {"kind": "succeeded", "by": "o", "reason": "r", "at": "2026-01-15T09:00:00Z"}),
        (ExternalMovement, {"psp_id": "re_1", "currency": "EUR", "standing": "booked"}),
        (BookedRefund, {"psp_id": "re_1", "booked_on": None}),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else "",
)
def test_an_amount_whose_sum_could_overflow_is_no_message(
    model: type[BaseModel], members: dict[str, Any], amount: str
) -> None:
    """What cannot be decoded is dropped or refused, before it reaches a handler."""
    model.model_validate(members | {"amount": "1E+15"})
    with pytest.raises(ValidationError):
        model.model_validate(members | {"amount": amount})


@pytest.mark.parametrize("number", [-1, 2**63])
def test_a_notification_has_an_id_that_the_store_can_hold(number: int) -> None:
    with pytest.raises(ValidationError):
        NotificationSignal(notification_id=number)


@pytest.mark.parametrize("seconds", [0, 86_400, 10**12, 10**400], ids=["0", "day", "long", "ever"])
def test_the_window_of_a_key_can_be_added_to_a_time(seconds: int) -> None:
    window = usable_window(seconds)
    assert window <= timeouts.MAX_TIMER
    assert NOW + window >= NOW
    assert seconds > 86_400 or window == timedelta(seconds=seconds * 0.8)
