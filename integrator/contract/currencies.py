"""Currencies that have ever been accepted, with the decimals of their amounts.

The table is ours, because a library's follows ISO 4217: a code that leaves the standard would take
the decimals of old payments with it, which are refunded, charged back and shown for years after.
So entries are added and never removed, and their decimals never change. A code that leaves the
standard moves to `WITHDRAWN`.

Source: list one ("current currency and funds codes") of the maintenance agency of ISO 4217, SIX, as
eight releases of the library `iso4217` contain it: the edition of 2026-01-01, and for what has left
since, those of 2014-03-28, 2016-07-01, 2018-01-01, 2018-08-29, 2022-04-01, 2024-06-25 and
2025-05-12. A test compares the table with the installed release.
"""

from datetime import date
from typing import Final, NamedTuple

_CURRENT_BY_DECIMALS: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD "
    "CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL "
    "GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR "
    "LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD "
    "PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC "
    "SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR "
    "ZMW ZWG",
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}


class WithdrawnCurrency(NamedTuple):
    """A currency that has left ISO 4217; `before` is the first of these editions without it."""

    decimals: int
    before: date


CURRENT: Final[dict[str, int]] = {
    code: decimals for decimals, codes in _CURRENT_BY_DECIMALS.items() for code in codes.split()
}
"""Decimals by code of the currencies that new transactions may use.

Metals, test and fund codes without a minor unit are not among them.
"""

WITHDRAWN: Final[dict[str, WithdrawnCurrency]] = {
    "ANG": WithdrawnCurrency(2, date(2025, 5, 12)),
    "BGN": WithdrawnCurrency(2, date(2026, 1, 1)),
    "BYR": WithdrawnCurrency(0, date(2018, 1, 1)),
    "CUC": WithdrawnCurrency(2, date(2025, 5, 12)),
    "HRK": WithdrawnCurrency(2, date(2024, 6, 25)),
    "LTL": WithdrawnCurrency(2, date(2016, 7, 1)),
    "MRO": WithdrawnCurrency(2, date(2018, 1, 1)),
    "SLL": WithdrawnCurrency(2, date(2024, 6, 25)),
    "STD": WithdrawnCurrency(2, date(2018, 1, 1)),
    "VEF": WithdrawnCurrency(2, date(2018, 8, 29)),
    "ZWL": WithdrawnCurrency(2, date(2025, 5, 12)),
}
"""Currencies for old transactions only: their refunds, captures, chargebacks and reads."""

DECIMALS: Final[dict[str, int]] = CURRENT | {
    code: currency.decimals for code, currency in WITHDRAWN.items()
}
"""Decimals by code of all currencies, current and withdrawn."""
