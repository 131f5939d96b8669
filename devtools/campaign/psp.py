"""The sandbox PSP as the campaign looks into it: its levers, its ledger and its events."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from devtools.campaign.fault_schedule import MOST_HITS
from devtools.campaign.responses import decode

_AWAY_SECONDS = 60.0


@dataclass(frozen=True)
class Entry:
    """One movement that was really booked, in major units."""

    reference: str
    kind: str
    amount: Decimal
    psp_id: str
    key: str
    at: str


class Psp:
    """Talks to the control interface; waits for a PSP that has been killed."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False)

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def set_fault(self, fault: Mapping[str, Any], seed: int) -> str:
        """Set a fault; its id."""
        body = {"count": MOST_HITS, **fault, "seed": seed}
        return str((await self._ask("POST", "/_control/faults", json=body))["id"])

    async def struck(self, id: str) -> int:
        """How often a fault has struck."""
        found = await self._ask("GET", "/_control/faults")
        return next((int(f["hits"]) for f in found["data"] if f["id"] == id), 0)

    async def remove_fault(self, id: str) -> None:
        """Clear a fault."""
        await self._ask("DELETE", f"/_control/faults/{id}")

    async def clear_faults(self) -> None:
        """Clear all faults."""
        await self._ask("DELETE", "/_control/faults")

    async def ledger(self) -> list[Entry]:
        """Everything ever booked, in order."""
        entries = (await self._ask("GET", "/_control/ledger"))["entries"]
        return [
            Entry(
                reference=e["reference"],
                kind=e["kind"],
                amount=Decimal(e["amount"]),
                psp_id=e["psp_id"],
                key=e["idempotency_key"] or "",
                at=e["at"],
            )
            for e in entries
        ]

    async def waiting_webhooks(self) -> int:
        """How many deliveries are still to be made."""
        data = (await self._ask("GET", "/_control/webhooks", params={"limit": 10000}))["data"]
        return sum(delivery["state"] == "pending" for delivery in data)

    async def events(self) -> list[dict[str, Any]]:
        """Everything that ever happened, in order; `delivery` says what became of its webhooks."""
        deliveries = await self._ask("GET", "/_control/webhooks", params={"limit": 10000})
        ends: dict[str, list[str]] = {}
        for delivery in reversed(deliveries["data"]):
            ends.setdefault(delivery["event"], []).append(
                f"{delivery['state']} after {delivery['attempts']}"
            )
        found: list[dict[str, Any]] = []
        cursor, more = "", True
        while more:
            params = {"after": cursor, "limit": 100} if cursor else {"limit": 100}
            page = await self._ask("GET", "/v1/events", params=params)
            found += [{**event, "delivery": ends.get(event["id"], [])} for event in page["data"]]
            cursor, more = page["next"], page["has_more"]
        return found

    async def _ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        end = time.monotonic() + _AWAY_SECONDS
        while True:
            try:
                response = await self._http.request(method, path, **more)
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)
                continue
            if response.status_code != 404:
                response.raise_for_status()
            return decode(response.text) or {}
