"""Options shared by several commands."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from integrator.operations.time_parsing import parse_time


class KindOption(StrEnum):
    """Kind of a transaction."""

    PREAUTH = "preauth"
    PAYMENT = "payment"
    REFUND = "refund"


class Webhook(StrEnum):
    """Delivery state of a transaction's change webhooks."""

    DELIVERING = "delivering"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


def parse_time_option(text: str) -> datetime:
    """Parse a time option; the error names the accepted formats."""
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "a time such as 2026-01-15, 2026-01-15T10:00, or 30m, 2h, 7d ago"
        ) from None


STATUSES = ("Initiated", "Pending", "Succeeded", "Failed", "Cancelled", "Expired")


def parse_status_option(text: str) -> str:
    """Parse a status of the contract, ignoring case."""
    for status in STATUSES:
        if status.lower() == text.lower():
            return status
    raise typer.BadParameter(f"one of {', '.join(STATUSES)}")


Transaction = Annotated[
    str,
    typer.Argument(metavar="TRANSACTION", help="Its id: ours, the PSP's, or the external one."),
]
Merchant = Annotated[str | None, typer.Option("--merchant", help="Name of the merchant.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Since = Annotated[
    datetime | None,
    typer.Option(
        parser=parse_time_option,
        metavar="TIME",
        help="From this time on, such as 2026-01-15 or 2h.",
    ),
]
Until = Annotated[
    datetime | None,
    typer.Option(parser=parse_time_option, metavar="TIME", help="Before this time."),
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="Maximum number of entries.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")]


def seconds(value: float) -> timedelta:
    """Convert seconds to a timedelta."""
    return timedelta(seconds=value)
