"""The sandbox PSP's calls: addresses, keys and what an answer holds."""

from collections.abc import Mapping
from typing import Any, TypeVar

from psp.common.http import PspHttp
from psp.errors import ProtocolError
from psp.sandbox.answers import RefusedError, read
from psp.sandbox.wire import Listed, Wire, WireObject

W = TypeVar("W", bound=Wire)
T = TypeVar("T", bound=WireObject)


class SandboxClient:
    """One merchant's access to the PSP's API.

    Every call raises a `PspError` when there is no definite answer; a POST the PSP turned down
    raises `RefusedError`.
    """

    def __init__(self, http: PspHttp) -> None:
        self._http = http

    async def get(self, model: type[W], *path: str) -> W | None:
        """The object at `/v1/<path>`; None if the PSP says that there is none."""
        try:
            return read(await self._http.send("GET", "v1", *path), model)
        except RefusedError as refusal:
            if refusal.status == 404 and refusal.code == "not_found":
                return None
            message = f"The PSP refused to be read: {refusal.code}"
            raise ProtocolError(message, psp_code=refusal.code) from None

    async def find(self, model: type[T], kind: str, reference: str) -> list[T]:
        """All objects of a kind made with our reference."""
        response = await self._http.send("GET", "v1", kind, params={"reference": reference})
        try:
            return read(response, Listed[model]).data  # type: ignore[valid-type]
        except RefusedError as refusal:
            message = f"The PSP refused to be searched: {refusal.code}"
            raise ProtocolError(message, psp_code=refusal.code) from None

    async def page(self, model: type[W], kind: str, **params: str | None) -> W:
        """One part of a list; parameters that are None are left out."""
        response = await self._http.send("GET", "v1", kind, params=params)
        try:
            return read(response, model)
        except RefusedError as refusal:
            message = f"The PSP refused to list: {refusal.code}"
            raise ProtocolError(message, psp_code=refusal.code) from None

    async def post(self, model: type[W], *path: str, body: Mapping[str, Any], key: str) -> W:
        """Do something at `/v1/<path>`; at most once per `key`. Nulls in `body` are left out."""
        content = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": key}
        return read(
            await self._http.send("POST", "v1", *path, body=content, headers=headers), model
        )
