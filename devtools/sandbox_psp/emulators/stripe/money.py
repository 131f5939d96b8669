"""Convert between Stripe's amounts and the minor units of ISO 4217.

https://docs.stripe.com/currencies: the ariary has no decimals there, krona and shilling are written
with two, the last digit of three-decimal amounts is 0.
"""

from devtools.sandbox_psp.emulators.stripe.errors import invalid_request
from devtools.sandbox_psp.money import exponent

_ZERO_DECIMAL = {"MGA"}
_TWO_DECIMAL = {"ISK", "UGX"}


def parse_currency(currency: str) -> str:
    """Return the code in capitals; StripeError 400 unless it is a known one in small letters."""
    try:
        if currency != currency.lower():
            raise ValueError(currency)
        exponent(currency.upper())
    except ValueError as error:
        raise invalid_request(f"Invalid currency: {currency}.", param="currency") from error
    return currency.upper()


def to_engine(amount: int, currency: str) -> int:
    """Convert Stripe's minor unit to that of ISO 4217."""
    if currency in _ZERO_DECIMAL:
        return amount * 100
    if currency in _TWO_DECIMAL:
        if amount % 100:
            raise invalid_request("There are no fractions of this currency.", param="amount")
        return amount // 100
    if exponent(currency) == 3 and amount % 10:
        raise invalid_request("The last digit must be 0.", param="amount")
    return amount


def to_stripe(amount: int, currency: str) -> int:
    """Convert the minor unit of ISO 4217 to Stripe's."""
    if currency in _ZERO_DECIMAL:
        return amount // 100
    return amount * 100 if currency in _TWO_DECIMAL else amount
