"""Read and validate the members of GoCardless' request bodies."""

from collections.abc import Mapping
from typing import Any

from devtools.sandbox_psp import magic_amounts
from devtools.sandbox_psp.emulators.gocardless.errors import invalid_field
from devtools.sandbox_psp.magic_amounts import MagicEnding

Body = Mapping[str, Any]


def parse_metadata(body: Body) -> dict[str, str]:
    """Return the metadata; 422 for more than three keys or values that are not text."""
    metadata = body.get("metadata") or {}
    if len(metadata) > 3 or not all(
        isinstance(value, str) and len(value) <= 500 for value in metadata.values()
    ):
        raise invalid_field(
            "metadata", "must have at most 3 keys with texts of up to 500 characters"
        )
    return dict(metadata)


def parse_amount(body: Body) -> int:
    """Return the amount; 422 unless it is a positive integer."""
    amount = body.get("amount")
    if type(amount) is not int or amount <= 0:
        raise invalid_field("amount", "must be a positive integer")
    return amount


def parse_ending(body: Body) -> MagicEnding | None:
    """Return the magic ending of the amount, None for an invalid amount."""
    currency = str(body.get("currency", "EUR"))
    amount = body.get("amount")
    return (
        magic_amounts.find_ending(amount, currency)
        if type(amount) is int and len(currency) == 3
        else None
    )
