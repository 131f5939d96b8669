"""Billwerk+'s side of the contract: authenticated JSON calls, printed on the timeline."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import simplejson

from devtools.devstack.demo.timeline import Timeline, summarize

BILLWERK = "Billwerk+"


@dataclass(frozen=True)
class ApiResponse:
    """Response of the API."""

    status_code: int
    body: dict[str, Any]

    @property
    def transaction_status(self) -> str:
        """Return the transaction's status with the error code, if there is one."""
        code = self.body.get("errorCode")
        status = str(self.body.get("status", "none"))
        return f"{status}, {code}" if code else status


class BillingClient:
    """HTTP client that calls the API as one merchant."""

    def __init__(self, http: httpx.AsyncClient, api: str, token: str, timeline: Timeline) -> None:
        self._http = http
        self._api = api
        self._headers = {"Authorization": f"Bearer {token}"}
        self._timeline = timeline

    async def get(self, path: str) -> ApiResponse:
        return await self.request("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> ApiResponse:
        return await self.request("POST", path, body)

    async def put(self, path: str, body: dict[str, Any]) -> ApiResponse:
        return await self.request("PUT", path, body)

    async def request(
        self, method: str, path: str, body: dict[str, Any] | None = None
    ) -> ApiResponse:
        """Send one request; amounts are `Decimal` in request and response."""
        # simplejson writes decimals digit for digit; the standard library cannot.
        content = None if body is None else simplejson.dumps(body, use_decimal=True)
        response = await self._http.request(
            method,
            f"{self._api}{path}",
            content=content,
            headers=self._headers | {"Content-Type": "application/json"},
        )
        api_response = ApiResponse(response.status_code, _parse_body(response))
        result = f"{api_response.status_code} {summarize(api_response.body)}".rstrip()
        good = response.is_success
        self._timeline.add_exchange(
            BILLWERK, "Integrator", f"{method} {_shorten_path(path)}", result, good=good
        )
        return api_response


def _parse_body(response: httpx.Response) -> dict[str, Any]:
    try:
        value = json.loads(response.content, parse_float=Decimal)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _shorten_path(path: str) -> str:
    parent, _, id = path.rpartition("/")
    return f"{parent}/{id[:12]}…" if len(id) > 24 else path
