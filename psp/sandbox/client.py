"""HTTP to the sandbox PSP: addresses, headers and the meaning of a broken connection."""

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from psp.errors import OutcomeUnknown, ProtocolError, PspTimeout, PspUnavailable
from psp.sandbox.answers import RefusedError, read
from psp.sandbox.wire import Listed, Wire, WireObject

W = TypeVar("W", bound=Wire)
T = TypeVar("T", bound=WireObject)

# The request has not left this process.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


class SandboxClient:
    """One merchant's access to the PSP's API.

    Every call raises a `PspError` when there is no definite answer; a POST the PSP turned down
    raises `RefusedError`.
    """

    def __init__(self, http: httpx.AsyncClient, base_url: str, api_key: SecretStr) -> None:
        self._http = http
        self._base = base_url
        self._api_key = api_key

    async def get(self, model: type[W], *path: str) -> W | None:
        """The object at `/v1/<path>`; None if the PSP says that there is none."""
        try:
            return read(await self._send("GET", path), model)
        except RefusedError as refusal:
            if refusal.status == 404 and refusal.code == "not_found":
                return None
            message = f"The PSP refused to be read: {refusal.code}"
            raise ProtocolError(message, psp_code=refusal.code) from None

    async def find(self, model: type[T], kind: str, reference: str) -> list[T]:
        """All objects of a kind made with our reference."""
        response = await self._send("GET", (kind,), params={"reference": reference})
        try:
            return read(response, Listed[model]).data  # type: ignore[valid-type]
        except RefusedError as refusal:
            message = f"The PSP refused to be searched: {refusal.code}"
            raise ProtocolError(message, psp_code=refusal.code) from None

    async def page(self, model: type[W], kind: str, **params: str | None) -> W:
        """One part of a list; parameters that are None are left out."""
        given = {name: value for name, value in params.items() if value is not None}
        response = await self._send("GET", (kind,), params=given)
        try:
            return read(response, model)
        except RefusedError as refusal:
            message = f"The PSP refused to list: {refusal.code}"
            raise ProtocolError(message, psp_code=refusal.code) from None

    async def post(self, model: type[W], *path: str, body: Mapping[str, Any], key: str) -> W:
        """Do something at `/v1/<path>`; at most once per `key`. Nulls in `body` are left out."""
        content = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": key}
        return read(await self._send("POST", path, json=content, headers=headers), model)

    async def _send(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        headers: Mapping[str, str] | None = None,
        **content: Any,
    ) -> httpx.Response:
        url = "/".join([self._base, "v1", *(quote(part, safe="") for part in path)])
        authorization = f"Bearer {self._api_key.get_secret_value()}"
        try:
            return await self._http.request(
                method,
                url,
                headers={"Authorization": authorization, **(headers or {})},
                # A redirect would take the API key to another server.
                follow_redirects=False,
                **content,
            )
        # Without their causes: some of them quote the headers.
        except _NOT_SENT as error:
            raise PspUnavailable(f"The PSP was not reached ({_name(error)})") from None
        except httpx.TimeoutException as error:
            raise PspTimeout(f"The PSP did not answer in time ({_name(error)})") from None
        except httpx.RequestError as error:
            raise OutcomeUnknown(f"The PSP's answer was lost ({_name(error)})") from None


def _name(error: Exception) -> str:
    return type(error).__name__
