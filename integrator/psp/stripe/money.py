"""Conversion of amounts to Stripe's units, which are not always the minor units of ISO 4217.

https://docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies" and
"Special cases": the ariary has no decimals at Stripe; krona and shilling have none but are sent
with two; the last digit of three-decimal amounts must be 0.
"""

from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import exponent
from integrator.psp.toolkit.code_table import build_code_table
from integrator.psp.toolkit.money import MinorUnits, UnsupportedAmountError

_DECIMALS = build_code_table(
    {
        0: "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF",
        2: "ISK UGX",
        3: "BHD JOD KWD OMR TND",
    }
)


def _decimals(currency: str) -> int:
    decimals = _DECIMALS.get(currency, 2)
    if currency not in _DECIMALS and exponent(currency) != decimals:
        raise UnsupportedAmountError(Code.InvalidCurrency, "Stripe does not support this currency.")
    return decimals


_UNITS = MinorUnits(_decimals)
to_major = _UNITS.to_major


def to_minor(amount: Decimal, currency: str) -> int:
    """Convert 49.90 EUR to 4990, 499 ISK to 49900. Never rounds.

    Raises `UnsupportedAmountError`.
    """
    minor = _UNITS.to_minor(amount, currency)
    if _decimals(currency) == 3 and minor % 10:
        raise UnsupportedAmountError(
            Code.InvalidAmount, "Stripe supports only two decimals in this currency."
        )
    return minor
