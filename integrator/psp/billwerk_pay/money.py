"""Conversion of amounts to the PSP's units, which are not those of ISO 4217.

According to Billwerk's sample a unit is a thousandth in seven currencies and a hundredth in all
others, also in those without decimals (50 JPY is 5000).
"""

from integrator.psp.toolkit.money import MinorUnits

_THOUSANDTHS = frozenset({"BHD", "IQD", "KWD", "LYD", "OMR", "TND", "VND"})


def _decimals(currency: str) -> int:
    return 3 if currency in _THOUSANDTHS else 2


_UNITS = MinorUnits(_decimals)
to_minor, to_major = _UNITS.to_minor, _UNITS.to_major
