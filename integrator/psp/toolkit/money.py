"""Conversion of amounts: `Decimal` in major units here, integers in minor units at the PSP."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.money import InexactAmountError, UnknownCurrencyError, exponent, quantize
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.outcomes import UnsupportedRequestError

_EXACT = Context(prec=60, traps=[Inexact])


class UnknownCurrencyReported(ProtocolError):
    """The PSP reports a currency that is not in our table, or that the adapter cannot convert.

    No transaction of ours can be in it: each was accepted in a currency of the table.
    """


class UnsupportedAmountError(UnsupportedRequestError):
    """Amount or currency that no request can hold; `code` says which of the two."""


def to_minor(amount: Decimal, currency: str) -> int:
    """Convert 49.90 EUR to 4990. Never rounds: raises `UnsupportedAmountError`."""
    try:
        exact = quantize(amount, currency)
    except UnknownCurrencyError:
        message = "The currency is not known."
        raise UnsupportedAmountError(PaymentErrorCode.InvalidCurrency, message) from None
    except InexactAmountError:
        message = "The amount has more decimals than its currency."
        raise UnsupportedAmountError(PaymentErrorCode.InvalidAmount, message) from None
    return int(exact.scaleb(exponent(currency), context=_EXACT))


def to_major(amount: int, currency: str) -> Decimal:
    """Convert 4990 EUR to 49.90. Raises `UnknownCurrencyReported`."""
    try:
        return Decimal(amount).scaleb(-exponent(currency), context=_EXACT)
    except UnknownCurrencyError:
        message = "The PSP returned a currency that is not in ISO 4217."
        raise UnknownCurrencyReported(message) from None


@dataclass(frozen=True)
class MinorUnits:
    """Minor units of a PSP whose decimals differ from ISO 4217 for some currencies.

    `decimals` returns the number of decimals of a currency at the PSP; it raises
    `UnsupportedAmountError` for a currency that the PSP does not support.
    """

    decimals: Callable[[str], int]

    def to_minor(self, amount: Decimal, currency: str) -> int:
        """Convert to the PSP's minor units. Never rounds: raises `UnsupportedAmountError`."""
        exact = to_minor(amount, currency)
        units, remainder = divmod(exact * 10 ** self.decimals(currency), 10 ** exponent(currency))
        if remainder:
            message = "The PSP cannot express this amount."
            raise UnsupportedAmountError(PaymentErrorCode.InvalidAmount, message)
        return int(units)

    def to_major(self, amount: int, currency: str) -> Decimal:
        """Convert to major units.

        Raises `UnknownCurrencyReported`, and `ProtocolError` for a fraction of its smallest unit.
        """
        try:
            exact, remainder = divmod(
                amount * 10 ** exponent(currency), 10 ** self.decimals(currency)
            )
        except (UnknownCurrencyError, UnsupportedAmountError):
            message = "The PSP returned a currency that it does not support."
            raise UnknownCurrencyReported(message) from None
        if remainder:
            raise ProtocolError("The PSP returned an amount with more decimals than its currency.")
        return to_major(exact, currency)
