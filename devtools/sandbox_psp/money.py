"""Format and convert amounts: minor units in the API, Decimal in the ledger, text on pages."""

from decimal import Decimal

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": "CHF"}
_DECIMALS = {
    code: decimals
    for decimals, codes in {
        0: "BIF BYR CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        2: "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN "
        "BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN "
        "ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IRR JMD "
        "KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL LTL MAD MDL MGA MKD MMK MNT MOP MRO MRU "
        "MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON "
        "RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS "
        "TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VEF VES WST XAD XCD XCG YER ZAR ZMW "
        "ZWG ZWL",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}


def exponent(currency: str) -> int:
    """Return the decimals of a currency; ValueError if unknown or without amounts.

    As a PSP does, it goes on knowing currencies that have left ISO 4217.
    """
    try:
        return _DECIMALS[currency]
    except KeyError:
        raise ValueError(f"{currency} carries no amounts") from None


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
