"""Amounts as Stripe writes them, which is not always in the minor unit of ISO 4217.

https://docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies" and
"Special cases": the ariary has no decimals there; krona and shilling have none but are written with
two; the last digit of three-decimal amounts must be 0.
"""

from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import exponent
from integrator.psp.toolkit.code_table import meanings
from integrator.psp.toolkit.money import Units, UnpayableError

_DECIMALS = meanings(
    {
        0: "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF",
        2: "ISK UGX",
        3: "BHD JOD KWD OMR TND",
    }
)


def _decimals(currency: str) -> int:
    decimals = _DECIMALS.get(currency, 2)
    if currency not in _DECIMALS and exponent(currency) != decimals:
        raise UnpayableError(Code.InvalidCurrency, "Stripe does not have this currency.")
    return decimals


_UNITS = Units(_decimals)
to_major = _UNITS.to_major


def to_minor(amount: Decimal, currency: str) -> int:
    """49.90 EUR becomes 4990, 499 ISK 49900. Never rounds: raises `UnpayableError`."""
    minor = _UNITS.to_minor(amount, currency)
    if _decimals(currency) == 3 and minor % 10:
        raise UnpayableError(Code.InvalidAmount, "Stripe takes two decimals only in this currency.")
    return minor
