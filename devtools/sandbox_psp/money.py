"""Format and convert amounts: minor units in the API, Decimal in the ledger, text on pages."""

import re
from decimal import Decimal

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF"}
_DECIMALS = {
    code: decimals
    for decimals, codes in {
        0: "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        2: "XAD XCD XCG",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}
# Codes that begin with X belong to no country: metals, funds and tests, unless they are above.
_NATIONAL = re.compile(r"[A-WYZ][A-Z]{2}")


def exponent(currency: str) -> int:
    """Return the decimals of a currency; ValueError if unknown or without amounts.

    As a PSP does, it goes on knowing currencies that have left ISO 4217.
    """
    decimals = _DECIMALS.get(currency)
    if decimals is not None:
        return decimals
    if not _NATIONAL.fullmatch(currency):
        raise ValueError(f"{currency} carries no amounts")
    return 2


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
