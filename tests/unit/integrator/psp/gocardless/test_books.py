"""Books of a payment after look-ups at any moments of its life at GoCardless."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import combinations

import pytest

from activities.fact_checks import Owner, check_facts
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.gocardless import mapping
from integrator.psp.gocardless.wire import Event, Payment
from tests.integration.integrator.psp.gocardless import objects
from workflows.state import Evidence, EvidenceKind, PaymentState

T0 = datetime(2026, 1, 15, 9, tzinfo=UTC)
PAID, ZERO = Decimal("119.00"), Decimal(0)

Step = tuple[str, str]
"""An event and the payment's status after it."""

COLLECTED: list[Step] = [
    ("created", "pending_submission"),
    ("submitted", "submitted"),
    ("confirmed", "confirmed"),
]
LATE_FAILURE: Step = ("failed", "failed")
RETRY: list[Step] = [("resubmission_requested", "submitted"), ("submitted", "submitted")]
AGAIN: list[Step] = [*RETRY, ("confirmed", "confirmed"), ("paid_out", "paid_out")]
PAID_OUT: Step = ("paid_out", "paid_out")
CHARGEBACK: list[Step] = [("charged_back", "charged_back"), ("chargeback_settled", "charged_back")]
CANCELLED: Step = ("chargeback_cancelled", "paid_out")

LIVES = {
    "late failure, retried, paid out": ([*COLLECTED, LATE_FAILURE, *AGAIN], ZERO),
    "late failure": ([*COLLECTED, LATE_FAILURE, ("late_failure_settled", "failed")], PAID),
    "late failure after the retry": ([*COLLECTED, LATE_FAILURE, *AGAIN, LATE_FAILURE], PAID),
    "retried before it was collected": ([*COLLECTED[:2], LATE_FAILURE, *AGAIN], ZERO),
    "chargeback": ([*COLLECTED, PAID_OUT, *CHARGEBACK], PAID),
    "chargeback cancelled": ([*COLLECTED, PAID_OUT, *CHARGEBACK, CANCELLED], ZERO),
    "charged back twice": (
        [*COLLECTED, PAID_OUT, *CHARGEBACK, CANCELLED, CHARGEBACK[0]],
        PAID,
    ),
}


def look_up(life: Sequence[Step], moment: int, state: PaymentState) -> None:
    """Fold the outcome of a look-up after the first events into the state, as the worker does."""
    events = [
        Event.model_validate(objects.event(action, id=f"EV{number}"))
        for number, (action, _) in enumerate(life[: moment + 1])
    ]
    payment = Payment.model_validate(objects.payment(life[moment][1], amount=11900))
    outcome = mapping.payment_outcome(payment, events[::-1])
    checked = check_facts(outcome, Owner(state, references=frozenset({objects.REFERENCE})))
    assert (checked.doubts, checked.incomplete) == ((), ())
    at = T0 + timedelta(days=moment)
    evidence = Evidence(kind=EvidenceKind.READ, source=f"look-up {moment}", at=at)
    state.apply(checked.outcome, evidence)


@pytest.mark.parametrize(("life", "charged_back"), LIVES.values(), ids=LIVES.keys())
def test_books_do_not_depend_on_the_moments_of_the_look_ups(
    life: list[Step], charged_back: Decimal
) -> None:
    """Every notification may be lost but the last."""
    last = len(life) - 1
    for count in range(last + 1):
        for moments in combinations(range(last), count):
            state = PaymentState(
                transaction_id=objects.REFERENCE,
                external_id="e" * 24,
                role=PublicPaymentProviderRole.Debit,
                currency="EUR",
                requested_amount=PAID,
                last_updated=T0,
            )
            for moment in (*moments, last):
                look_up(life, moment, state)
            assert (state.paid, state.charged_back) == (PAID, charged_back), moments
            assert state.refundable == PAID - charged_back
            assert state.attention is None
