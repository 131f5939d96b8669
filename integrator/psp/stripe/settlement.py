"""Amounts of a dispute's balance transactions, in the currency of the charge.

A balance transaction is in the currency of the merchant's balance. If that is not the charge's,
Stripe converts with the rate of the day and rounds, so that the amount in the charge's currency is
not always certain: then nothing is guessed, and the look-up fails for an operator to see.
"""

from collections.abc import Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal

from integrator.contract.money import find_exponent
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe.money import to_major
from integrator.psp.stripe.wire import BalanceTransaction, Dispute

# Rates have six digits, and Stripe rounds to the smallest unit.
_RATE_TOLERANCE = Decimal("0.00001")


class DisputeAmounts:
    """Conversion of the entries of one dispute."""

    def __init__(self, dispute: Dispute, entries: Sequence[BalanceTransaction]) -> None:
        self._dispute = dispute
        self._withdrawals = [entry for entry in entries if entry.amount < 0]
        self._reinstatements = [entry for entry in entries if entry.amount > 0]

    def withdrawn(self, entry: BalanceTransaction) -> Decimal:
        """Return the amount of a withdrawal. Raises `ProtocolError` if it is not certain.

        Without a rate the first one is the claim, since that is what a dispute withdraws.
        """
        if self._is_converted(entry) and entry.exchange_rate is None:
            first = self._withdrawals[0]
            is_claim = (entry.amount, entry.currency) == (first.amount, first.currency)
            if is_claim and self._dispute.amount is not None:
                return to_major(self._dispute.amount, self._dispute.currency)
            raise self._uncertain(entry)
        return self._amount(entry)

    def reinstated(self, entry: BalanceTransaction, withdrawn: Mapping[str, Decimal]) -> Decimal:
        """Return the amount of a reinstatement. Raises `ProtocolError` if it is not certain.

        The same amount in the balance's currency is the same amount of the charge. So is the only
        reinstatement of a dispute that was won, though the rate may have changed since.
        """
        if not self._is_converted(entry):
            return self._amount(entry)
        for withdrawal in self._withdrawals:
            is_same = (-withdrawal.amount, withdrawal.currency) == (entry.amount, entry.currency)
            if is_same and withdrawn.get(withdrawal.id):
                return withdrawn[withdrawal.id]
        is_only_return = len(self._withdrawals) == len(self._reinstatements) == 1
        only_withdrawal = withdrawn.get(self._withdrawals[0].id) if is_only_return else None
        if only_withdrawal is not None and self._dispute.status == "won":
            return only_withdrawal
        if entry.exchange_rate is None:
            raise self._uncertain(entry)
        return self._amount(entry)

    def _is_converted(self, entry: BalanceTransaction) -> bool:
        return entry.currency != self._dispute.currency

    def _amount(self, entry: BalanceTransaction) -> Decimal:
        amount = abs(entry.amount)
        minor = self._minor_of_charge(entry) if self._is_converted(entry) else amount
        return to_major(minor, self._dispute.currency)

    def _minor_of_charge(self, entry: BalanceTransaction) -> int:
        """Return the minor units of the charge's currency that the entry's amount was made from."""
        amount, rate = abs(entry.amount), entry.exchange_rate or Decimal(1)
        claim, digits = self._dispute.amount, self._digits_of(entry)
        # Whether the rate applies to major or to minor units is not documented.
        if claim is not None and any(
            abs(claim * rate * scale - amount) <= 1 + claim * rate * scale * _RATE_TOLERANCE
            for scale in {Decimal(1), Decimal(10) ** digits}
        ):
            return claim
        nearest = int((amount / rate).to_integral_value(ROUND_HALF_UP))
        fitting = [
            minor
            for minor in (nearest - 1, nearest, nearest + 1)
            if int((minor * rate).to_integral_value(ROUND_HALF_UP)) == amount
        ]
        if digits or len(fitting) != 1:
            raise self._uncertain(entry)
        return fitting[0]

    def _digits_of(self, entry: BalanceTransaction) -> int:
        exponents = (find_exponent(entry.currency), find_exponent(self._dispute.currency))
        return (exponents[0] or 0) - (exponents[1] or 0)

    def _uncertain(self, entry: BalanceTransaction) -> ProtocolError:
        return ProtocolError(
            f"The balance transaction {entry.id} of the dispute {self._dispute.id} is in "
            f"{entry.currency} and cannot be converted to {self._dispute.currency} with certainty: "
            "compare it in Stripe's dashboard."
        )
