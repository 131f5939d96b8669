"""History of a collected payment, read from its status and its events; pure.

A bank may withdraw a collected payment and GoCardless may collect it again: a late failure and its
retry, a chargeback and its cancellation, several times. Each withdrawal and each reinstatement is a
fact of its own, always of the whole amount. The status decides what holds now; the events
distinguish one withdrawal from another.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless.error_codes import chargeback_reason
from integrator.psp.gocardless.wire import Event, Payment
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import paid_fact
from integrator.psp.toolkit.redaction import redact
from integrator.psp.types import Fact, FactKind

COLLECTED_STATUSES = frozenset({"confirmed", "paid_out"})


class ContradictoryEvents(ProtocolError):
    """The events of a payment do not lead to its status: one of the two has changed meanwhile."""


@dataclass
class Withdrawal:
    """Withdrawal of a payment; `event` is None if GoCardless no longer lists it."""

    event: Event | None
    reinstated_by: Event | None = None

    @property
    def is_late_failure(self) -> bool:
        """Return whether the debit failed after it had been confirmed."""
        return self.event is not None and self.event.action == "failed"


def read_withdrawals(payment: Payment, events: Sequence[Event]) -> list[Withdrawal]:
    """Return the withdrawals of a payment, oldest first; `events` are newest first.

    Raises `ContradictoryEvents`: a fact that is reported once stays, so that nothing is guessed.
    """
    replay = _Replay()
    for event in reversed(events):
        replay.apply(event)
    withdrawals, is_withdrawn = replay.withdrawals, replay.open_withdrawal is not None
    if payment.status in COLLECTED_STATUSES:
        is_contradiction = is_withdrawn
    elif payment.status == "charged_back" and not withdrawals:
        return [Withdrawal(event=None)]
    else:
        is_contradiction = replay.collected and not is_withdrawn
    if is_contradiction:
        raise ContradictoryEvents(f"GoCardless' events do not lead to the status {payment.status}")
    return withdrawals


def history_facts(payment: Payment, withdrawals: Sequence[Withdrawal]) -> tuple[Fact, ...]:
    """Return the facts of a payment that was collected, with its withdrawals."""
    amount = to_major(payment.amount, payment.currency)
    identity = {"currency": payment.currency, "reference": payment.reference}
    paid = paid_fact(payment.id, amount, payment.charge_date)
    facts = [paid.model_copy(update=identity)]
    for position, withdrawal in enumerate(withdrawals):
        chargeback = _chargeback_fact(payment, withdrawal.event, is_first=position == 0)
        facts.append(chargeback)
        if withdrawal.reinstated_by is not None:
            facts.append(_reinstatement_fact(chargeback, withdrawal.reinstated_by))
    return tuple(facts)


@dataclass
class _Replay:
    """State of a payment while its events are applied, oldest first."""

    collected: bool = False
    failure: Event | None = None
    withdrawals: list[Withdrawal] = field(default_factory=list)

    @property
    def open_withdrawal(self) -> Withdrawal | None:
        """Return the withdrawal that was not reinstated; there is at most one."""
        last = self.withdrawals[-1] if self.withdrawals else None
        return last if last is not None and last.reinstated_by is None else None

    def apply(self, event: Event) -> None:
        """Apply one event. A failure is a withdrawal only of what was collected before."""
        match event.action:
            case "confirmed":
                self._collect(event)
            case "paid_out":
                # After a chargeback it says nothing: the money is taken from a later payout.
                withdrawal = self.open_withdrawal
                if withdrawal is None or withdrawal.is_late_failure:
                    self._collect(event)
            case "failed" if not self.collected:
                self.failure = event
            case "failed" | "charged_back":
                self._withdraw(event)
            case "late_failure_settled":
                self._withdraw(self.failure)
            case "chargeback_cancelled":
                self._reinstate(event)

    def _collect(self, event: Event) -> None:
        self.collected, self.failure = True, None
        self._reinstate(event)

    def _withdraw(self, event: Event | None) -> None:
        self.collected = True
        if event is not None and self.open_withdrawal is None:
            self.withdrawals.append(Withdrawal(event))

    def _reinstate(self, event: Event) -> None:
        if (withdrawal := self.open_withdrawal) is not None:
            withdrawal.reinstated_by = event


def _chargeback_fact(payment: Payment, event: Event | None, *, is_first: bool) -> Fact:
    """Build the fact of a withdrawal.

    The id of the first is derived from the payment's, since its event may no longer be listed; a
    further one has the id of its event.
    """
    id = f"{payment.id}/charged_back"
    if not is_first and event is not None:
        id = f"{id}/{event.id}"
    return Fact(
        kind=FactKind.CHARGED_BACK,
        id=id,
        amount=to_major(payment.amount, payment.currency),
        booked_on=event.booked_on if event else None,
        reason=chargeback_reason(event.cause if event else None),
        psp_reason_code=event.cause if event else None,
        psp_reason_message=redact(event.description) if event else None,
        currency=payment.currency,
        reference=payment.reference,
        parent_psp_id=payment.id,
    )


def _reinstatement_fact(chargeback: Fact, event: Event) -> Fact:
    """Build the fact of money that came back; a withdrawal comes back once, and as a whole."""
    return Fact(
        kind=FactKind.CHARGEBACK_REVERSED,
        id=f"{chargeback.id}/reinstated",
        amount=chargeback.amount,
        booked_on=event.booked_on,
        reverses=chargeback.id,
        currency=chargeback.currency,
        reference=chargeback.reference,
        parent_psp_id=chargeback.parent_psp_id,
    )
