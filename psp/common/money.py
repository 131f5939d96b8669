"""Amounts at the border: `Decimal` in major units here, integers in minor units at the PSP."""

from decimal import Context, Decimal, Inexact

from contract.enums import PaymentErrorCode
from contract.money import InexactAmountError, UnknownCurrencyError, exponent, quantize
from psp.errors import ProtocolError

_EXACT = Context(prec=60, traps=[Inexact])


class UnpayableError(ValueError):
    """An amount or a currency that no request can carry; `code` says which of the two."""

    def __init__(self, code: PaymentErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


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
