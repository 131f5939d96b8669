"""Currencies of ISO 4217 and the number of decimals their amounts may have."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Final

from iso4217 import Currency

# Metals, test and fund codes have no minor unit and cannot be used for payments.
_EXPONENTS: Final[dict[str, int]] = {
    currency.code: currency.exponent for currency in Currency if currency.exponent is not None
}
_EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation])


class UnknownCurrencyError(ValueError):
    """Not a current ISO 4217 currency with a minor unit."""


class InexactAmountError(ValueError):
    """An amount with more significant decimals than its currency."""


def is_currency(code: str) -> bool:
    """Whether `code` is a current ISO 4217 alphabetic code (upper case) usable for payments."""
    return code in _EXPONENTS


def exponent(currency: str) -> int:
    """Return the decimals of `currency`: 2 for EUR, 0 for JPY. Raises `UnknownCurrencyError`."""
    try:
        return _EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrencyError("not an ISO 4217 currency with a minor unit") from None


def scale(amount: Decimal) -> int:
    """Return the number of decimals of `amount`: 2 for 1.50 and 0 for 1E+3."""
    power = amount.as_tuple().exponent
    if not isinstance(power, int):
        raise ValueError("the amount is not a finite number")
    return max(0, -power)


def fits_currency(amount: Decimal, currency: str) -> bool:
    """Whether `amount` has at most as many decimals, trailing zeros included, as `currency`.

    Raises `UnknownCurrencyError`.
    """
    return scale(amount) <= exponent(currency)


def quantize(amount: Decimal, currency: str) -> Decimal:
    """Return `amount` with the decimals of `currency`: 10 EUR becomes 10.00, 5.00 JPY becomes 5.

    Never rounds: raises `InexactAmountError` where that would change the value. Raises
    `UnknownCurrencyError`.
    """
    if not amount.is_finite():
        raise InexactAmountError("not a finite number")
    step = Decimal(1).scaleb(-exponent(currency))
    try:
        return amount.quantize(step, context=_EXACT)
    except (Inexact, InvalidOperation):
        raise InexactAmountError(f"more decimals than {currency} has") from None
