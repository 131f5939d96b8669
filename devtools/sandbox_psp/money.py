"""Minor units in, major units out: integers on the wire, Decimal in the ledger, text on pages."""

from decimal import Decimal

from iso4217 import Currency

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF"}


def exponent(currency: str) -> int:
    """Decimals of an ISO 4217 currency; ValueError for codes that are none or carry no amounts."""
    digits: int | None = Currency(currency).exponent
    if digits is None:
        raise ValueError(f"{currency} carries no amounts")
    return digits


def to_major(amount: int, currency: str) -> Decimal:
    """Minor units to a Decimal with the currency's scale: 4990, EUR -> 49.90."""
    return Decimal(amount).scaleb(-exponent(currency))


def last_two_decimals(amount: int, currency: str) -> int | None:
    """The two decimals of an amount, or None for currencies that have not exactly two."""
    return amount % 100 if exponent(currency) == 2 else None


def format_amount(amount: int, currency: str, language: str) -> str:
    """An amount as a customer reads it: `1.049,90 €` in German, `€1,049.90` in English."""
    number = f"{to_major(amount, currency):,f}"
    symbol = _SYMBOLS.get(currency, currency)
    if language == "de":
        return f"{number.translate(str.maketrans(',.', '.,'))}\N{NO-BREAK SPACE}{symbol}"
    gap = "\N{NO-BREAK SPACE}" if symbol.isalpha() else ""
    return f"{symbol}{gap}{number}"
