"""Stored payment methods: what later charges need, and what Billwerk+ may see of them."""

from collections.abc import Mapping

from integrator.psp.types import Authorize, Charge, Instrument

METHOD = "payment_method"
CUSTOMER = "customer"


def stored(call: Authorize | Charge) -> Mapping[str, str]:
    """The PSP's names of the stored payment method that a call is about; empty without one."""
    return call.instrument.token if call.instrument else {}


def instrument(token: Mapping[str, str | None], bearer: Mapping[str, str | None]) -> Instrument:
    """Of all that is known: empty members are left out."""
    return Instrument(token=filled(token), bearer=filled(bearer))


def card(
    *,
    brand: str | None,
    country: str | None,
    month: str | int | None,
    year: str | int | None,
    last4: str | None,
    masked: str | None,
    holder: str | None = None,
) -> dict[str, str | None]:
    """A card in the contract's words; the expiry in digits, as the PSP writes it."""
    expires = str(year or "")
    return {
        "CardType": brand,
        "Country": country,
        # The contract wants no leading zero, and four digits of the year.
        "ExpiryMonth": str(month or "").lstrip("0"),
        "ExpiryYear": f"20{expires}" if len(expires) == 2 else expires,
        "Holder": holder,
        "Last4": last4,
        "MaskedCardPan": masked,
    }


def filled(values: Mapping[str, str | None]) -> dict[str, str]:
    """Without the empty members."""
    return {name: value for name, value in values.items() if value}
