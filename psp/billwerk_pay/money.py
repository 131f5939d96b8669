"""Amounts in the PSP's units, which are not those of ISO 4217.

By Billwerk's own sample a unit is a thousandth in seven currencies and a hundredth in all others,
also in those without decimals (50 JPY is 5000).
"""

from decimal import Context, Decimal, Inexact

from contract.enums import PaymentErrorCode as Code
from contract.money import InexactAmountError, UnknownCurrencyError, quantize
from psp.common.money import UnpayableError, to_minor
from psp.errors import ProtocolError

_EXACT = Context(prec=60, traps=[Inexact])
_THOUSANDTHS = frozenset({"BHD", "IQD", "KWD", "LYD", "OMR", "TND", "VND"})


def _decimals(currency: str) -> int:
    return 3 if currency in _THOUSANDTHS else 2


def to_units(amount: Decimal, currency: str) -> int:
    """49.90 EUR becomes 4990. Never rounds: raises `UnpayableError`."""
    to_minor(amount, currency)  # refuses what ISO 4217 knows no such amount of
    units = amount.scaleb(_decimals(currency), context=_EXACT)
    if units != int(units):
        raise UnpayableError(Code.InvalidAmount, "The PSP cannot express this amount.")
    return int(units)


def to_major(units: int, currency: str) -> Decimal:
    """4990 EUR becomes 49.90. Raises `ProtocolError` for what the currency cannot express."""
    try:
        return quantize(Decimal(units).scaleb(-_decimals(currency), context=_EXACT), currency)
    except (InexactAmountError, UnknownCurrencyError):
        raise ProtocolError("The PSP names an amount its currency does not have.") from None
