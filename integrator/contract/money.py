"""Currencies and the number of decimals their amounts may have."""

from decimal import Context, Decimal, Inexact, InvalidOperation
from typing import Annotated, Final

from pydantic import Field

from integrator.contract import currencies

MAX_AMOUNT: Final = Decimal(10) ** 15
"""No amount of a message is larger; the API accepts less, and so do the adapters."""

BoundedAmount = Annotated[Decimal, Field(ge=-MAX_AMOUNT, le=MAX_AMOUNT)]
"""Amount of a message. Sums of such amounts stay far below the range of `Decimal`."""

_EXACT: Final = Context(prec=60, traps=[Inexact, InvalidOperation])
_MAX_DIGITS: Final = 18  # every number with so many digits is a signed integer of 64 bits


class UnknownCurrencyError(ValueError):
    """Not a currency with a minor unit, neither a current nor a withdrawn one."""


class InexactAmountError(ValueError):
    """An amount with more significant decimals than its currency."""


def is_known(code: str) -> bool:
    """Whether `code` (upper case) is a current or a withdrawn currency usable for payments."""
    return code in currencies.DECIMALS


def is_current(code: str) -> bool:
    """Whether a new preauth or charge may use `code`: it has not left ISO 4217."""
    return code in currencies.CURRENT


def find_exponent(currency: str) -> int | None:
    """Return the decimals of `currency`: 2 for EUR, 0 for JPY; None if it is unknown."""
    return currencies.DECIMALS.get(currency)


def exponent(currency: str) -> int:
    """Return the decimals of `currency`: 2 for EUR, 0 for JPY. Raises `UnknownCurrencyError`."""
    decimals = find_exponent(currency)
    if decimals is None:
        raise UnknownCurrencyError(
            "not a currency with a minor unit; one that is new in ISO 4217 is to be added to "
            "integrator/contract/currencies.py"
        )
    return decimals


def resolve_exponent(currency: str, known: int | None) -> int | None:
    """Return the decimals that travelled with an amount, or those of our table; None if neither."""
    return find_exponent(currency) if known is None else known


def to_minor_units(amount: Decimal, currency: str, decimals: int | None = None) -> int | None:
    """Convert to minor units: 4990 for 49.90 EUR, 500 for 500 JPY; `decimals` may be given.

    Never raises: None for an unknown currency, and for a number that 64 bits do not hold.
    """
    decimals = resolve_exponent(currency, decimals)
    if decimals is None or amount.adjusted() + 1 + decimals > _MAX_DIGITS:
        return None
    return int(amount.scaleb(decimals))


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
    return quantize_to(amount, exponent(currency))


def quantize_to(amount: Decimal, decimals: int) -> Decimal:
    """Return `amount` with so many decimals. Never rounds: raises `InexactAmountError`."""
    if not amount.is_finite():
        raise InexactAmountError("not a finite number")
    try:
        return amount.quantize(Decimal(1).scaleb(-decimals), context=_EXACT)
    except (Inexact, InvalidOperation):
        raise InexactAmountError(f"more decimals than {decimals}, or too many digits") from None
