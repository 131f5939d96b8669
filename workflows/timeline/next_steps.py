"""What happens next with a transaction, and when; what a person can do."""

from collections.abc import Iterator
from datetime import date, datetime
from typing import assert_never

from integrator.contract.enums import PaymentTransactionStatus as Status
from workflows import timeouts
from workflows.messages import Delivery, DeliveryState
from workflows.state import PaymentState, PreauthState, TransactionState
from workflows.timeline.formatting import amount, moment


def outlook(
    state: TransactionState, delivery: Delivery | None, now: datetime, next_look_up: datetime | None
) -> tuple[str, ...]:
    """What is due, what is waited for, what needs a person."""
    lines = [
        *_look_up(state, next_look_up),
        *_of_kind(state, now),
        *_delivery(delivery),
        *_attention(state),
    ]
    return tuple(lines) or ("Nothing; a report of the PSP would open it again.",)


def _look_up(state: TransactionState, at: datetime | None) -> Iterator[str]:
    if at is not None:
        yield f"The PSP is asked at {moment(at)}, unless it reports before."
    elif state.undecided and state.answered:
        yield "The PSP is asked at growing intervals until it decides."
    elif state.undecided:
        yield "The PSP's answer is awaited; a lost call is repeated with the same key."


def _of_kind(state: TransactionState, now: datetime) -> Iterator[str]:
    if isinstance(state, PreauthState):
        yield from _preauth(state)
    elif isinstance(state, PaymentState):
        yield from _payment(state, now)


def _preauth(state: PreauthState) -> Iterator[str]:
    if state.undecided and state.session_expires_at is not None:
        yield f"The checkout page expires at {moment(state.session_expires_at)}."
    if state.cancelling and not state.ended:
        yield "A void is under way at the PSP; captures are refused until it has ended."
    if state.captured_by is not None and not state.captured:
        yield f"The reservation is held for `{state.captured_by}`, which is not decided."
    if state.status is Status.Succeeded and state.captured_by is None:
        yield _open_reservation(state)


def _open_reservation(state: PreauthState) -> str:
    if state.authorized_amount == 0:
        return "Nothing is reserved: the payment method is stored for later payments."
    ends = f"at {moment(state.expires_at)}" if state.expires_at else "when the PSP lets it lapse"
    held = amount(state.authorized_amount, state.currency)
    return f"The reservation of {held} ends {ends} if it is neither captured nor cancelled."


def _payment(state: PaymentState, now: datetime) -> Iterator[str]:
    if state.undecided and state.due_date is not None and state.due_date >= now.date():
        yield f"It is to be executed on {_day(state.due_date)}."
    if state.status is not Status.Succeeded:
        return
    for by, held in state.reservations.items():
        yield f"{amount(held, state.currency)} are held for the refund `{by}`, not decided yet."
    if state.available > 0:
        yield f"Up to {amount(state.available, state.currency)} can be refunded."
    ends = state.succeeded_at + timeouts.CHARGEBACK_WINDOW
    if ends > now:
        yield f"Chargebacks are waited for until {moment(ends)}; then the workflow completes."
    else:
        yield f"The chargeback window ended at {moment(ends)}; a later report opens it again."


def _day(on: date) -> str:
    return on.isoformat()


def _delivery(delivery: Delivery | None) -> Iterator[str]:
    if delivery is None:
        return
    error = f" Last error: {delivery.last_error}" if delivery.last_error else ""
    match delivery.state:
        case DeliveryState.IDLE:
            if delivery.announced < delivery.to_announce:
                yield "A change notification goes out as soon as the change is recorded."
        case DeliveryState.DELIVERING:
            ends = f" until {moment(delivery.gives_up_at)}" if delivery.gives_up_at else ""
            yield (
                f"The change notification of version {delivery.to_announce} is being delivered, "
                f"with growing pauses{ends}.{error}"
            )
        case DeliveryState.UNDELIVERED:
            yield (
                f"The change notification of version {delivery.to_announce} was given up; the "
                f"signal `redeliver` or the next change sends it.{error}"
            )
        case _:
            assert_never(delivery.state)


def _attention(state: TransactionState) -> Iterator[str]:
    for line in state.attention_lines:
        yield f"Needs attention: {line}"
    if not state.attention_lines:
        return
    if isinstance(state, PreauthState) and state.undecided:
        yield "Look at the PSP, then resolve it: `failed`; or `acknowledge` what was looked at."
    elif state.undecided:
        yield (
            "Look at the PSP, then resolve it: `failed`, or `succeeded` with the PSP's id and "
            "the amount; or `acknowledge` what was looked at."
        )
    else:
        yield "Look at the PSP, put right what has to be, then resolve it: `acknowledge`."
