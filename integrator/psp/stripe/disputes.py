"""Chargebacks: the movements of a dispute on the merchant's balance, as facts.

The amount of a dispute is what the payer claims. What was withdrawn and what came back are its
balance transactions, and each is a fact of its own: a dispute that is lost after a refund of 40.00
withdraws 119.00 and reinstates 40.00 (https://support.stripe.com/questions/
dispute-for-full-charge-amount-after-a-partial-refund-was-issued). The status of a dispute moves no
money and decides nothing here.
"""

import logging
from collections.abc import Iterator, Sequence
from decimal import Decimal

from integrator.psp.errors import ProtocolError
from integrator.psp.stripe.error_codes import chargeback_reason
from integrator.psp.stripe.money import to_major
from integrator.psp.stripe.settlement import DisputeAmounts
from integrator.psp.stripe.wire import BalanceTransaction, Dispute
from integrator.psp.toolkit.time_formats import utc_date
from integrator.psp.types import Fact, FactKind

log = logging.getLogger(__name__)

# https://docs.stripe.com/reports/reporting-categories: a fee may be an entry of its own.
_FEE_CATEGORIES = frozenset({"fee", "network_cost", "tax"})
_FEE_TYPES = frozenset({"stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost"})


def verify_dispute(dispute: Dispute, charge: str, intent: str | None, currency: str) -> Dispute:
    """Return `dispute` if it belongs to the charge; raises `ProtocolError` otherwise."""
    if dispute.charge != charge or dispute.payment_intent not in (None, intent):
        raise ProtocolError(f"Stripe returned the dispute {dispute.id} of another charge.")
    if dispute.currency != currency:
        raise ProtocolError(
            f"The dispute {dispute.id} is in {dispute.currency}, its charge in {currency}: "
            "compare both in Stripe's dashboard."
        )
    for entry in dispute.balance_transactions:
        if entry.source not in (None, dispute.id, charge):
            raise ProtocolError(
                f"The dispute {dispute.id} lists the balance transaction {entry.id}, "
                f"which belongs to {entry.source}."
            )
    return dispute


def chargeback_facts(
    disputes: Sequence[Dispute], payment_id: str | None = None
) -> tuple[Fact, ...]:
    """Return a fact for every withdrawal and every reinstatement, keyed by the entry's id."""
    return tuple(fact for item in disputes for fact in _DisputeBooks(item, payment_id).facts())


class _DisputeBooks:
    """Entries of one dispute, the oldest first, and what is still withdrawn by each.

    An entry's facts depend only on entries before it, so that a later look-up returns them again.
    """

    def __init__(self, dispute: Dispute, payment_id: str | None) -> None:
        self._dispute = dispute
        self._payment_id = payment_id
        self._entries = _movements(dispute)
        self._amounts = DisputeAmounts(dispute, self._entries)
        self._withdrawn: dict[str, Decimal] = {}

    def facts(self) -> Iterator[Fact]:
        if not self._entries and self._dispute.status == "lost":
            log.warning(
                "The dispute %s is lost, but lists no withdrawal: no chargeback is booked. "
                "Compare it in Stripe's dashboard.",
                self._dispute.id,
            )
        for entry in self._entries:
            if entry.amount < 0:
                yield self._withdrawal(entry)
            else:
                yield from self._reinstatements(entry)
        self._compare_with_claim()

    def _compare_with_claim(self) -> None:
        """Log a dispute that has withdrawn more than is claimed: the rest may be a fee."""
        claim = self._dispute.amount
        withdrawn = sum(self._withdrawn.values(), Decimal(0))
        if claim is not None and withdrawn > to_major(claim, self._dispute.currency):
            log.warning(
                "The dispute %s has withdrawn %s %s, more than is claimed: compare it in Stripe's "
                "dashboard.",
                *(self._dispute.id, withdrawn, self._dispute.currency),
            )

    def _withdrawal(self, entry: BalanceTransaction) -> Fact:
        amount = self._amounts.withdrawn(entry)
        self._withdrawn[entry.id] = amount
        in_same_currency = entry.currency == self._dispute.currency
        has_fee = in_same_currency and entry.fee is not None and entry.fee >= 0
        return self._fact(
            FactKind.CHARGED_BACK,
            entry,
            amount,
            fee=to_major(entry.fee or 0, entry.currency) if has_fee else None,
            reason=chargeback_reason(self._dispute.reason),
            psp_reason_code=self._dispute.reason,
            # Former versions reported the claim, under the id of the dispute.
            supersedes=(self._dispute.id,),
        )

    def _reinstatements(self, entry: BalanceTransaction) -> Iterator[Fact]:
        """Yield a fact for each withdrawal that the entry returns; mostly it is one."""
        rest = self._amounts.reinstated(entry, self._withdrawn)
        for number, withdrawal in enumerate(_in_order_of_return(self._withdrawn, rest)):
            amount = min(rest, self._withdrawn[withdrawal])
            if amount == 0:
                break
            self._withdrawn[withdrawal] -= amount
            rest -= amount
            id = f"{entry.id}/{number + 1}" if number else entry.id
            yield self._fact(
                FactKind.CHARGEBACK_REVERSED, entry, amount, id=id, reverses=withdrawal
            )
        if rest:
            raise ProtocolError(
                f"The dispute {self._dispute.id} returned {rest} {self._dispute.currency} more "
                "than it had withdrawn: compare it in Stripe's dashboard."
            )

    def _fact(
        self, kind: FactKind, entry: BalanceTransaction, amount: Decimal, **values: object
    ) -> Fact:
        fields = {
            "kind": kind,
            "id": entry.id,
            "amount": amount,
            "booked_on": utc_date(entry.created) if entry.created is not None else None,
            "currency": self._dispute.currency,
            "parent_psp_id": self._payment_id,
        }
        return Fact.model_validate({**fields, **values})


def _movements(dispute: Dispute) -> tuple[BalanceTransaction, ...]:
    """Return the entries that moved disputed money, the oldest first, each once."""
    entries = {
        entry.id: entry
        for entry in dispute.balance_transactions
        if entry.amount
        and entry.reporting_category not in _FEE_CATEGORIES
        and entry.type not in _FEE_TYPES
    }
    newest = max((entry.created or 0 for entry in entries.values()), default=0)
    return tuple(
        sorted(
            entries.values(),
            key=lambda entry: (newest if entry.created is None else entry.created, entry.amount),
        )
    )


def _in_order_of_return(withdrawn: dict[str, Decimal], amount: Decimal) -> list[str]:
    """Return the open withdrawals, one of exactly this amount first, then the oldest."""
    is_open = [id for id, remaining in withdrawn.items() if remaining]
    return sorted(is_open, key=lambda id: withdrawn[id] != amount)
