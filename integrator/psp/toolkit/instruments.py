"""Stored payment methods: the PSP's token, and the bearer data shown to Billwerk+."""

from collections.abc import Mapping

from integrator.psp.types import Authorize, Charge, Instrument

METHOD = "payment_method"
CUSTOMER = "customer"


def stored_token(call: Authorize | Charge) -> Mapping[str, str]:
    """Return the token of the stored payment method that a call uses; empty without one."""
    return call.instrument.token if call.instrument else {}


def build_instrument(
    token: Mapping[str, str | None], bearer: Mapping[str, str | None]
) -> Instrument:
    """Build an instrument; empty members are left out."""
    return Instrument(token=drop_empty(token), bearer=drop_empty(bearer))


def build_card_bearer(
    *,
    brand: str | None,
    country: str | None,
    month: str | int | None,
    year: str | int | None,
    last4: str | None,
    masked: str | None,
    holder: str | None = None,
) -> dict[str, str | None]:
    """Build the contract's bearer data of a card; month and year are the PSP's digits."""
    expiry_year = str(year or "")
    return {
        "CardType": brand,
        "Country": country,
        # The contract requires no leading zero and a year of four digits.
        "ExpiryMonth": str(month or "").lstrip("0"),
        "ExpiryYear": f"20{expiry_year}" if len(expiry_year) == 2 else expiry_year,
        "Holder": holder,
        "Last4": last4,
        "MaskedCardPan": masked,
    }


def drop_empty(values: Mapping[str, str | None]) -> dict[str, str]:
    """Return the values without empty and blank members."""
    return {name: value for name, value in values.items() if value and value.strip()}
