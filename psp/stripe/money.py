"""Amounts as Stripe writes them, which is not always in the minor unit of ISO 4217.

https://docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies" and
"Special cases": the ariary has no decimals there; krona and shilling have none but are written with
two; the last digit of three-decimal amounts must be 0.
"""

from decimal import Decimal

from contract.enums import PaymentErrorCode
from contract.money import exponent
from psp.common import money
from psp.common.money import UnpayableError
from psp.errors import ProtocolError

_ZERO_DECIMAL = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA"}
    | {"PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
_WRITTEN_WITH_TWO = frozenset({"ISK", "UGX"})
_THREE_DECIMAL = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})


def to_minor(amount: Decimal, currency: str) -> int:
    """49.90 EUR becomes 4990, 499 ISK 49900. Never rounds: raises `UnpayableError`."""
    units = money.to_minor(amount, currency)
    minor, rest = divmod(units * _factor(_decimals(currency)), _factor(exponent(currency)))
    if rest or (currency in _THREE_DECIMAL and minor % 10):
        message = "Stripe takes no amounts with that many decimals in this currency."
        raise UnpayableError(PaymentErrorCode.InvalidAmount, message)
    return minor


def to_major(amount: int, currency: str) -> Decimal:
    """4990 EUR becomes 49.90. Raises `ProtocolError` for what Stripe cannot have meant."""
    try:
        units, rest = divmod(amount * _factor(exponent(currency)), _factor(_decimals(currency)))
    except ValueError:
        raise ProtocolError("Stripe names a currency that it does not have.") from None
    if rest:
        raise ProtocolError("Stripe names a fraction of a currency that has none.")
    return money.to_major(units, currency)


def _factor(decimals: int) -> int:
    return int(10**decimals)


def _decimals(currency: str) -> int:
    if currency in _ZERO_DECIMAL:
        return 0
    if currency in _THREE_DECIMAL:
        return 3
    if currency in _WRITTEN_WITH_TWO or exponent(currency) == 2:
        return 2
    raise UnpayableError(PaymentErrorCode.InvalidCurrency, "Stripe does not have this currency.")
