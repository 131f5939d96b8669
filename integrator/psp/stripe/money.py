"""Conversion of amounts to Stripe's units, which are not always the minor units of ISO 4217.

Currencies with other than two decimals, here or in ISO 4217, are accepted only with a source.
"""

from decimal import Decimal
from typing import NamedTuple

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import exponent
from integrator.psp.toolkit.money import MinorUnits, UnsupportedAmountError


class UnitRow(NamedTuple):
    """Currencies with their number of decimals at Stripe, and where that is documented."""

    decimals: int
    currencies: str
    source: str


UNITS = (
    # The ariary has two decimals in ISO 4217 (one ariary is five iraimbilanja).
    UnitRow(
        0,
        "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF",
        "https://docs.stripe.com/currencies#zero-decimal",
    ),
    # Both have no decimals, but are sent with two, which have to be 00. Lists of zero-decimal
    # currencies name UGX without this special case:
    # https://github.com/woocommerce/woocommerce-gateway-stripe/issues/883
    UnitRow(2, "ISK UGX", "https://docs.stripe.com/currencies#special-cases"),
    # The last digit has to be 0.
    UnitRow(3, "BHD JOD KWD OMR TND", "https://docs.stripe.com/currencies#three-decimal"),
)
_DECIMALS = {code: row.decimals for row in UNITS for code in row.currencies.split()}


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
