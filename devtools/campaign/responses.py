"""Parse the API's responses about transactions. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

Items = tuple[tuple[str, Decimal], ...]
ZERO = Decimal(0)


@dataclass(frozen=True)
class Response:
    """Definite response: a status and a JSON body with exact amounts."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """Return the error code, "" for none."""
        return str(self.body.get("errorCode") or "")


@dataclass(frozen=True)
class TransactionView:
    """State of a transaction in a response; of two states the greater `timestamp` is newer.

    A payment's `refunded` changes without a webhook of the payment, so `differs_from` compares it
    for refunds only.
    """

    timestamp: datetime
    outcome: str
    amount: Decimal | None = None
    authorized: Decimal = ZERO
    paid: Items = ()
    charged_back: Items = ()
    refunded: Decimal = ZERO
    refundable: Decimal = ZERO
    redirect_url: str | None = None

    def differs_from(self, other: "TransactionView", kind: str) -> bool:
        """Return whether the two views report different states."""
        own_values = (self.outcome, self.authorized, self.paid, self.charged_back)
        other_values = (other.outcome, other.authorized, other.paid, other.charged_back)
        refund_differs = kind == "refund" and self.refunded != other.refunded
        return own_values != other_values or refund_differs

    @property
    def decided(self) -> bool:
        """Return whether the transaction's outcome is known."""
        return self.outcome not in ("Initiated", "Pending")


def decode_object(text: str) -> dict[str, Any] | None:
    """Parse a JSON object with exact numbers; return None for anything else."""
    try:
        body = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def parse_view(response: Response) -> TransactionView:
    """Return the transaction's state in a response."""
    body = response.body
    if response.status != 200:
        return TransactionView(
            _parse_time(body.get("receivedAt")), f"Failed:{response.code or 'UnmappedError'}"
        )
    return TransactionView(
        timestamp=_parse_time(body.get("lastUpdated")),
        outcome=str(body.get("status")),
        amount=_to_decimal(body.get("requestedAmount")),
        authorized=_to_decimal(body.get("authorizedAmount")),
        paid=_parse_items(body.get("payments")),
        charged_back=_parse_items(body.get("chargebacks")),
        refunded=_to_decimal(body.get("refundedAmount")),
        refundable=_to_decimal(body.get("refundableAmount")),
        redirect_url=body.get("redirectUrl"),
    )


def _parse_items(value: Any) -> Items:
    items = value if isinstance(value, list) else []
    return tuple(
        sorted((str(i.get("externalItemId")), _to_decimal(i.get("amount"))) for i in items)
    )


def _to_decimal(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else ZERO


def _parse_time(text: Any) -> datetime:
    """Parse a time with seven decimals, of which Python keeps six."""
    if not isinstance(text, str):
        return datetime.fromisoformat("0001-01-01T00:00:00+00:00")
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}+00:00")
