"""Options that several commands have."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from integrator.operations.time_parsing import moment


class KindOption(StrEnum):
    """Kinds of transactions."""

    PREAUTH = "preauth"
    PAYMENT = "payment"
    REFUND = "refund"


class Webhook(StrEnum):
    """Where the change webhooks of a transaction stand."""

    DELIVERING = "delivering"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"


def a_moment(text: str) -> datetime:
    """For Typer: says what it takes."""
    try:
        return moment(text)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            "a time such as 2026-01-15, 2026-01-15T10:00, or 30m, 2h, 7d ago"
        ) from None


STATUSES = ("Initiated", "Pending", "Succeeded", "Failed", "Cancelled", "Expired")


def a_status(text: str) -> str:
    """For Typer: a status of the contract, whatever its case."""
    for status in STATUSES:
        if status.lower() == text.lower():
            return status
    raise typer.BadParameter(f"one of {', '.join(STATUSES)}")


Transaction = Annotated[
    str,
    typer.Argument(metavar="TRANSACTION", help="Its id: ours, the PSP's, or the external one."),
]
Merchant = Annotated[str | None, typer.Option("--merchant", help="Name of the merchant.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, for programs.")]
Since = Annotated[
    datetime | None,
    typer.Option(parser=a_moment, metavar="TIME", help="From then on, such as 2026-01-15 or 2h."),
]
Until = Annotated[
    datetime | None, typer.Option(parser=a_moment, metavar="TIME", help="Before then.")
]
Limit = Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def seconds(value: float) -> timedelta:
    """A span given in seconds."""
    return timedelta(seconds=value)
