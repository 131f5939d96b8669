"""Conversion of amounts to the PSP's units, which are not those of ISO 4217.

The sources contradict each other. Billwerk's sample counts thousandths in seven currencies and
hundredths in all others, also in those without decimals (50 JPY is 5000). The PSP's own plugin for
WooCommerce counts whole units in ISK and hundredths in all others. They agree only on currencies
with two decimals, so that new payments in others are refused. What was taken before is read,
captured and refunded with the units it was sent with: those of the sample.
"""

from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import find_exponent
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.money import MinorUnits, UnsupportedAmountError
from integrator.psp.toolkit.money import to_minor as to_iso_minor

_THOUSANDTHS = frozenset({"BHD", "IQD", "KWD", "LYD", "OMR", "TND", "VND"})


def _decimals(currency: str) -> int:
    return 3 if currency in _THOUSANDTHS else 2


_UNITS = MinorUnits(_decimals)
to_minor = _UNITS.to_minor


def to_major(units: int, currency: str) -> Decimal:
    """Convert the PSP's units. Raises `ProtocolError` for a negative or a fractional amount."""
    if units < 0:
        raise ProtocolError("The PSP returned a negative amount.")
    return _UNITS.to_major(units, currency)


def is_unit_certain(currency: str) -> bool:
    """Return whether the sources agree on the units of a currency."""
    return find_exponent(currency) == _decimals(currency) == 2


def uncertain_unit_error(currency: str) -> UnsupportedAmountError:
    """Return the error for a new payment in a currency whose units are not certain."""
    to_iso_minor(Decimal(1), currency)
    message = (
        f"Billwerk+ Pay's sources contradict each other on amounts in {currency}: a hundred times "
        "too much or too little could be taken. Use a currency with two decimals."
    )
    return UnsupportedAmountError(Code.InvalidCurrency, message)
