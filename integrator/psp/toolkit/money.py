"""Amounts at the border: `Decimal` in major units here, integers in minor units at the PSP."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.money import InexactAmountError, UnknownCurrencyError, exponent, quantize
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.outcomes import UnsupportedRequestError

_EXACT = Context(prec=60, traps=[Inexact])


class UnpayableError(UnsupportedRequestError):
    """An amount or a currency that no request can carry; `code` says which of the two."""


def to_minor(amount: Decimal, currency: str) -> int:
    """49.90 EUR becomes 4990. Never rounds: raises `UnpayableError`."""
    try:
        exact = quantize(amount, currency)
    except UnknownCurrencyError:
        message = "The currency is not known."
        raise UnpayableError(PaymentErrorCode.InvalidCurrency, message) from None
    except InexactAmountError:
        message = "The amount has more decimals than its currency."
        raise UnpayableError(PaymentErrorCode.InvalidAmount, message) from None
    return int(exact.scaleb(exponent(currency), context=_EXACT))


def to_major(amount: int, currency: str) -> Decimal:
    """4990 EUR becomes 49.90. Raises `ProtocolError` for a currency nobody knows."""
    try:
        return Decimal(amount).scaleb(-exponent(currency), context=_EXACT)
    except UnknownCurrencyError:
        raise ProtocolError("The PSP names a currency that is not in ISO 4217.") from None


@dataclass(frozen=True)
class Units:
    """The units of a PSP that writes some currencies with other decimals than ISO 4217.

    `decimals` says with how many it writes a currency; it raises `UnpayableError` for one that the
    PSP does not have.
    """

    decimals: Callable[[str], int]

    def to_minor(self, amount: Decimal, currency: str) -> int:
        """As the function: never rounds, raises `UnpayableError`."""
        exact = to_minor(amount, currency)
        units, rest = divmod(exact * 10 ** self.decimals(currency), 10 ** exponent(currency))
        if rest:
            message = "The PSP cannot express this amount."
            raise UnpayableError(PaymentErrorCode.InvalidAmount, message)
        return int(units)

    def to_major(self, amount: int, currency: str) -> Decimal:
        """As the function; raises `ProtocolError`, also for less than the smallest coin."""
        try:
            exact, rest = divmod(amount * 10 ** exponent(currency), 10 ** self.decimals(currency))
        except (UnknownCurrencyError, UnpayableError):
            raise ProtocolError("The PSP names a currency that it does not have.") from None
        if rest:
            raise ProtocolError("The PSP names an amount that its currency does not have.")
        return to_major(exact, currency)
