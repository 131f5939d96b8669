"""Client of the sandbox PSP's control API."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx


@dataclass(frozen=True)
class Entry:
    """One booked movement, in major units."""

    kind: str
    amount: Decimal
    psp_id: str


class SandboxPsp:
    """Client of one sandbox PSP's control API."""

    def __init__(self, url: str, api_key: str) -> None:
        self._api_key = api_key
        self._http = httpx.Client(base_url=url, timeout=10)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ledger(self, reference: str) -> list[Entry]:
        """Return the movements of one transaction, oldest first."""
        response = self._http.get("/_control/ledger", params={"reference": reference})
        entries = json.loads(response.text, parse_float=Decimal)["entries"]
        return [Entry(e["kind"], Decimal(e["amount"]), e["psp_id"]) for e in entries]

    def kinds(self, reference: str) -> list[str]:
        """Return the kinds of one transaction's movements."""
        return [entry.kind for entry in self.ledger(reference)]

    def store_card(self, card: str, **more: str) -> str:
        """Store a card without a checkout; return its id, usable as a migration token."""
        body = {"api_key": self._api_key, "card": card, **more}
        stored = self._http.post("/_control/payment_methods", json=body).raise_for_status()
        return str(stored.json()["id"])

    def charge_back(self, reference: str, minor_units: int | None = None) -> None:
        """Charge a payment back, in part or in whole."""
        body = {"reference": reference, "amount": minor_units}
        self._http.post("/_control/chargebacks", json=body).raise_for_status()

    def return_chargeback(self, reference: str, minor_units: int | None = None) -> None:
        """Return money of a payment's newest open chargeback, a part or all."""
        body = {"reference": reference, "amount": minor_units}
        self._http.post("/_control/chargeback_reversals", json=body).raise_for_status()


def total(entries: Sequence[Entry], *kinds: str) -> Decimal:
    """Return the sum of the movements of these kinds."""
    return sum((entry.amount for entry in entries if entry.kind in kinds), Decimal(0))


def decoded(response: httpx.Response) -> dict[str, Any]:
    """Parse a JSON body with exact amounts."""
    body: dict[str, Any] = json.loads(response.text, parse_float=Decimal)
    return body
