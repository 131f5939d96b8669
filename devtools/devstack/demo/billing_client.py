"""The platform's side of the contract: authenticated JSON calls, shown on the timeline."""

import json
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
import simplejson

from devtools.devstack.demo.timeline import Timeline, summary

NAME = "Billwerk+"


@dataclass(frozen=True)
class Reply:
    """An answer of the API."""

    status: int
    body: dict[str, Any]

    @property
    def state(self) -> str:
        """The transaction's status with the error code, if there is one."""
        code = self.body.get("errorCode")
        status = str(self.body.get("status", "none"))
        return f"{status}, {code}" if code else status


class Platform:
    """Calls the API as one merchant."""

    def __init__(self, http: httpx.AsyncClient, api: str, token: str, timeline: Timeline) -> None:
        self._http = http
        self._api = api
        self._headers = {"Authorization": f"Bearer {token}"}
        self._timeline = timeline

    async def get(self, path: str) -> Reply:
        return await self.call("GET", path)

    async def post(self, path: str, body: dict[str, Any]) -> Reply:
        return await self.call("POST", path, body)

    async def put(self, path: str, body: dict[str, Any]) -> Reply:
        return await self.call("PUT", path, body)

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Reply:
        """One request; amounts are `Decimal` both ways."""
        # With decimals written digit for digit, which the standard library cannot.
        content = None if body is None else simplejson.dumps(body, use_decimal=True)
        response = await self._http.request(
            method,
            f"{self._api}{path}",
            content=content,
            headers=self._headers | {"Content-Type": "application/json"},
        )
        reply = Reply(response.status_code, _read(response))
        result = f"{reply.status} {summary(reply.body)}".rstrip()
        good = response.is_success
        self._timeline.exchange(NAME, "Integrator", f"{method} {_short(path)}", result, good=good)
        return reply


def _read(response: httpx.Response) -> dict[str, Any]:
    try:
        value = json.loads(response.content, parse_float=Decimal)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _short(path: str) -> str:
    head, _, id = path.rpartition("/")
    return f"{head}/{id[:12]}…" if len(id) > 24 else path
