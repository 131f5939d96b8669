"""Format and convert amounts: minor units in the API, Decimal in the ledger, text on pages."""

from decimal import Decimal

from iso4217 import Currency

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF"}


def exponent(currency: str) -> int:
    """Return the decimals of an ISO 4217 currency; ValueError if unknown or without amounts."""
    digits: int | None = Currency(currency).exponent
    if digits is None:
        raise ValueError(f"{currency} carries no amounts")
    return digits


def to_major(amount: int, currency: str) -> Decimal:
    """Convert minor units to a Decimal with the currency's scale: 4990, EUR -> 49.90."""
    return Decimal(amount).scaleb(-exponent(currency))


def last_two_decimals(amount: int, currency: str) -> int | None:
    """Return the two decimals of an amount, or None for currencies with another number of them."""
    return amount % 100 if exponent(currency) == 2 else None


def format_amount(amount: int, currency: str, language: str) -> str:
    """Format an amount for a page: `1.049,90 €` in German, `€1,049.90` in English."""
    number = f"{to_major(amount, currency):,f}"
    symbol = _SYMBOLS.get(currency, currency)
    if language == "de":
        return f"{number.translate(str.maketrans(',.', '.,'))}\N{NO-BREAK SPACE}{symbol}"
    gap = "\N{NO-BREAK SPACE}" if symbol.isalpha() else ""
    return f"{symbol}{gap}{number}"
