"""What the platform reads from an answer about a transaction. Pure."""

import json
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

Items = tuple[tuple[str, Decimal], ...]
ZERO = Decimal(0)


@dataclass(frozen=True)
class Answer:
    """A definite answer: a status and a JSON body with exact amounts."""

    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The error code, "" for none."""
        return str(self.body.get("errorCode") or "")


@dataclass(frozen=True)
class View:
    """The state of a transaction as an answer shows it; `stamp` says which of two is newer.

    `given_back` of a payment is not told by webhooks of the payment, so it is compared apart.
    """

    stamp: datetime
    outcome: str
    amount: Decimal | None = None
    held: Decimal = ZERO
    paid: Items = ()
    returned: Items = ()
    given_back: Decimal = ZERO
    left: Decimal = ZERO
    redirect: str | None = None

    def differs(self, other: "View", kind: str) -> bool:
        """Whether a reader of one would believe something else than a reader of the other."""
        told = (self.outcome, self.held, self.paid, self.returned)
        others = (other.outcome, other.held, other.paid, other.returned)
        given_back = kind == "refund" and self.given_back != other.given_back
        return told != others or given_back

    @property
    def decided(self) -> bool:
        """Whether the PSP's answer is known."""
        return self.outcome not in ("Initiated", "Pending")


def decode(text: str) -> dict[str, Any] | None:
    """A JSON object with every number exact; None for anything else."""
    try:
        body = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def view(answer: Answer) -> View:
    """What an answer says of the transaction it is about."""
    body = answer.body
    if answer.status != 200:
        return View(_moment(body.get("receivedAt")), f"Failed:{answer.code or 'UnmappedError'}")
    return View(
        stamp=_moment(body.get("lastUpdated")),
        outcome=str(body.get("status")),
        amount=_money(body.get("requestedAmount")),
        held=_money(body.get("authorizedAmount")),
        paid=_items(body.get("payments")),
        returned=_items(body.get("chargebacks")),
        given_back=_money(body.get("refundedAmount")),
        left=_money(body.get("refundableAmount")),
        redirect=body.get("redirectUrl"),
    )


def _items(found: Any) -> Items:
    items = found if isinstance(found, list) else []
    return tuple(sorted((str(i.get("externalItemId")), _money(i.get("amount"))) for i in items))


def _money(value: Any) -> Decimal:
    return value if isinstance(value, Decimal) else ZERO


def _moment(text: Any) -> datetime:
    """Seven digits of a second are one more than Python keeps."""
    if not isinstance(text, str):
        return datetime.fromisoformat("0001-01-01T00:00:00+00:00")
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6].ljust(6, '0')}+00:00")
