"""Convert amounts between Billwerk+ Pay's units and the minor units of ISO 4217."""

from decimal import Decimal

from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.money import exponent

_THOUSANDTHS = frozenset({"BHD", "IQD", "KWD", "LYD", "OMR", "TND", "VND"})


def to_minor(units: int, currency: str) -> int:
    """Convert Billwerk+ Pay's units to minor units; PspError 422 for an impossible amount."""
    factor = 1000 if currency in _THOUSANDTHS else 100
    try:
        minor = Decimal(units).scaleb(exponent(currency)) / factor
    except ValueError:
        raise invalid_request("parameter_invalid", "currency: not one of ISO 4217") from None
    if minor != int(minor):
        raise invalid_request("parameter_invalid", "amount: not one of this currency")
    return int(minor)


def to_units(minor: int, currency: str) -> int:
    """Convert the engine's minor units to Billwerk+ Pay's."""
    factor = 1000 if currency in _THOUSANDTHS else 100
    return int(Decimal(minor).scaleb(-exponent(currency)) * factor)
