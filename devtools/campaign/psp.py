"""Client of the sandbox PSP: its fault control, ledger and events."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx

from devtools.campaign.fault_schedule import MAX_HITS
from devtools.campaign.responses import decode_object

_RECONNECT_SECONDS = 60.0


@dataclass(frozen=True)
class LedgerEntry:
    """Movement booked by the PSP, in major units."""

    reference: str
    kind: str
    amount: Decimal
    psp_id: str
    key: str
    at: str


class SandboxPspClient:
    """Client of the control API; retries while a killed PSP restarts."""

    def __init__(self, url: str, api_key: str) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._api_key = api_key
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=20, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def rotate_key(self, new_key: str) -> None:
        """Replace the account's key, also this client's own."""
        body = {"api_key": self._api_key, "new_api_key": new_key}
        await self._request("POST", "/_control/accounts/rotate_key", json=body)
        self._api_key = new_key
        self._http.headers["Authorization"] = f"Bearer {new_key}"

    async def set_fault(self, fault: Mapping[str, Any], seed: int) -> str:
        """Set a fault; return its id."""
        body = {"count": MAX_HITS, **fault, "seed": seed}
        return str((await self._request("POST", "/_control/faults", json=body))["id"])

    async def hit_count(self, id: str) -> int:
        """Return how many calls a fault has affected."""
        faults = await self._request("GET", "/_control/faults")
        return next((int(f["hits"]) for f in faults["data"] if f["id"] == id), 0)

    async def remove_fault(self, id: str) -> None:
        """Remove a fault."""
        await self._request("DELETE", f"/_control/faults/{id}")

    async def clear_faults(self) -> None:
        """Remove all faults."""
        await self._request("DELETE", "/_control/faults")

    async def has_charged(self, reference: str) -> bool:
        """Return whether a charge is booked under a reference."""
        params = {"reference": reference, "kind": "charge"}
        return bool((await self._request("GET", "/_control/ledger", params=params))["entries"])

    async def ledger(self) -> list[LedgerEntry]:
        """Return all ledger entries, in order."""
        entries = (await self._request("GET", "/_control/ledger"))["entries"]
        return [
            LedgerEntry(
                reference=e["reference"],
                kind=e["kind"],
                amount=Decimal(e["amount"]),
                psp_id=e["psp_id"],
                key=e["idempotency_key"] or "",
                at=e["at"],
            )
            for e in entries
        ]

    async def pending_webhooks(self) -> int:
        """Return the number of pending webhook deliveries."""
        data = (await self._request("GET", "/_control/webhooks", params={"limit": 10000}))["data"]
        return sum(delivery["state"] == "pending" for delivery in data)

    async def events(self) -> list[dict[str, Any]]:
        """Return all events in order; `delivery` holds the results of their webhooks."""
        deliveries = await self._request("GET", "/_control/webhooks", params={"limit": 10000})
        delivery_results: dict[str, list[str]] = {}
        for delivery in reversed(deliveries["data"]):
            delivery_results.setdefault(delivery["event"], []).append(
                f"{delivery['state']} after {delivery['attempts']}"
            )
        events: list[dict[str, Any]] = []
        cursor, more = "", True
        while more:
            params = {"after": cursor, "limit": 100} if cursor else {"limit": 100}
            page = await self._request("GET", "/v1/events", params=params)
            events += [
                {**event, "delivery": delivery_results.get(event["id"], [])}
                for event in page["data"]
            ]
            cursor, more = page["next"], page["has_more"]
        return events

    async def _request(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        end = time.monotonic() + _RECONNECT_SECONDS
        while True:
            try:
                response = await self._http.request(method, path, **options)
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)
                continue
            if response.status_code != 404:
                response.raise_for_status()
            return decode_object(response.text) or {}
