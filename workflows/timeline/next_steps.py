"""Next steps of a transaction, and what an operator can do."""

from collections.abc import Iterator
from datetime import datetime
from typing import assert_never

from integrator.contract import times
from integrator.contract.enums import PaymentTransactionStatus as Status
from workflows import timeouts
from workflows.messages import Delivery, DeliveryState
from workflows.state import PaymentState, PreauthState, TransactionState
from workflows.timeline.formatting import format_amount, format_time


def build_next_steps(
    state: TransactionState, delivery: Delivery | None, now: datetime, next_look_up: datetime | None
) -> tuple[str, ...]:
    """Return what is due, what is waited for and what needs an operator."""
    steps = [
        *_lookup_steps(state, next_look_up),
        *_kind_steps(state, now),
        *_delivery_steps(delivery),
        *_attention_steps(state),
    ]
    return tuple(steps) or ("Nothing; a report of the PSP would open it again.",)


def _lookup_steps(state: TransactionState, at: datetime | None) -> Iterator[str]:
    if state.waiting_until is not None:
        yield f"It is sent to the PSP at {format_time(state.waiting_until)}, or at once after that."
    elif at is not None:
        yield f"The PSP is asked at {format_time(at)}, unless it reports before."
    elif state.undecided and state.answered:
        yield "The PSP is asked at growing intervals until it decides."
    elif state.undecided:
        yield "The PSP's answer is awaited; a lost call is repeated with the same key."


def _kind_steps(state: TransactionState, now: datetime) -> Iterator[str]:
    if isinstance(state, PreauthState):
        yield from _preauth_steps(state)
    elif isinstance(state, PaymentState):
        yield from _payment_steps(state, now)


def _preauth_steps(state: PreauthState) -> Iterator[str]:
    if state.undecided and state.session_expires_at is not None:
        yield f"The checkout page expires at {format_time(state.session_expires_at)}."
    if state.cancelling and not state.ended:
        yield "A void is under way at the PSP; captures are refused until it has ended."
    if state.captured_by is not None and not state.captured:
        yield f"The reservation is held for `{state.captured_by}`, which is not decided."
    if state.status is Status.Succeeded and state.captured_by is None:
        yield _open_reservation(state)


def _open_reservation(state: PreauthState) -> str:
    if state.authorized_amount == 0:
        return "Nothing is reserved: the payment method is stored for later payments."
    ends = (
        f"at {format_time(state.expires_at)}" if state.expires_at else "when the PSP lets it lapse"
    )
    held = format_amount(state.authorized_amount, state.currency)
    return f"The reservation of {held} ends {ends} if it is neither captured nor cancelled."


def _payment_steps(state: PaymentState, now: datetime) -> Iterator[str]:
    if state.undecided and state.due_date is not None and state.due_date >= now.date():
        yield f"It is to be executed on {state.due_date.isoformat()}."
    if state.status is not Status.Succeeded:
        return
    for by, held in state.reservations.items():
        amount = format_amount(held, state.currency)
        yield f"{amount} are held for the refund `{by}`, not decided yet."
    if state.available > 0:
        yield f"Up to {format_amount(state.available, state.currency)} can be refunded."
    ends = times.add(state.succeeded_at, timeouts.CHARGEBACK_WINDOW)
    if ends > now:
        yield f"Chargebacks are waited for until {format_time(ends)}; then the workflow completes."
    else:
        yield f"The chargeback window ended at {format_time(ends)}; a later report opens it again."


def _delivery_steps(delivery: Delivery | None) -> Iterator[str]:
    if delivery is None:
        return
    error = f" Last error: {delivery.last_error}" if delivery.last_error else ""
    match delivery.state:
        case DeliveryState.IDLE:
            if delivery.announced < delivery.to_announce:
                yield "A change notification goes out as soon as the change is recorded."
        case DeliveryState.DELIVERING:
            ends = f" until {format_time(delivery.gives_up_at)}" if delivery.gives_up_at else ""
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


def _attention_steps(state: TransactionState) -> Iterator[str]:
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
