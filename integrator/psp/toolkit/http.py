"""HTTP calls to a PSP: size and rate limits, and the exception for each failure.

A response is returned complete or not at all; everything else is a `PspError` whose message holds
no URL, no header and no text of the PSP. Adapters read their PSP's error bodies themselves and
pass what they cannot read to `classify_failure`.
"""

import json
import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from integrator.psp.errors import (
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from integrator.psp.port import RateBudget
from integrator.psp.toolkit.rate_limit import RateLimiter
from integrator.psp.toolkit.wire import read_json_object

M = TypeVar("M", bound=BaseModel)

MAX_RESPONSE_BYTES = 4 * 2**20
"""Pages of a PSP's lists are far smaller."""

log = logging.getLogger(__name__)

# Raised before the request was sent.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")


@dataclass(frozen=True)
class PspResponse:
    """Complete HTTP response of a PSP."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """Return the delay in seconds that the PSP requested; dates are not supported."""
        header = self.headers.get("Retry-After", "")
        return float(header) if _SECONDS.fullmatch(header) else None

    def json(self) -> Any:
        """Return the body parsed as JSON, with fractions as text; None if it is not JSON."""
        try:
            return json.loads(self.body, parse_float=str)
        except (ValueError, RecursionError):
            return None

    def parse(self, model: type[M]) -> M:
        """Return the body parsed as `model`; raises `ProtocolError`."""
        parsed = self.try_parse(model)
        if parsed is None:
            raise ProtocolError(f"HTTP {self.status} without a readable {model.__name__}")
        return parsed

    def try_parse(self, model: type[M]) -> M | None:
        """Return the body parsed as `model`, such as an error body; None if it does not fit.

        Half of a surrogate pair, as in a text that was cut, does not make a body unreadable.
        """
        try:
            return model.model_validate_json(self.body)
        except ValidationError as error:
            if error.errors(include_input=False)[0]["type"] != "json_invalid":
                return None
        try:
            return model.model_validate(read_json_object(self.body))
        except ValidationError:
            return None


class PspHttp:
    """HTTP access to a PSP's API for one merchant.

    `headers` hold the credentials and are sent with every call. A call beyond the limit of
    `rate_limiter`, or of `budget`, which replaces it if given, is not sent and raises
    `LocallyRateLimited`.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        headers: Mapping[str, str],
        rate_limiter: RateLimiter | None = None,
        budget: RateBudget | None = None,
    ) -> None:
        self._http = http
        self._base = base_url.rstrip("/")
        self._headers = dict(headers)
        self._rate_limiter = rate_limiter
        self._budget = budget

    async def send(
        self,
        method: str,
        *path: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> PspResponse:
        """Call `<base>/<path...>` with a form or a JSON `body`; every part of `path` is escaped.

        Members of `params`, `form` and `body` that are None are left out. Nested `params` and
        `form` are written with brackets: `a[b][0]=true`. Raises `PspUnavailable` if nothing was
        sent, `LocallyRateLimited` beyond our own rate limit, `OutcomeUnknown` without a response.
        """
        await self._acquire(write=method != "GET")
        content = {
            "params": dict(_flatten(params)) or None,
            "data": None if form is None else dict(_flatten(form)),
            "json": _drop_none(body),
        }
        started_at = time.monotonic()
        try:
            return await self._exchange(
                method,
                "/".join([self._base, *(quote(part, safe="") for part in path)]),
                headers={**self._headers, **(headers or {})},
                # A redirect would send the credentials to another server.
                follow_redirects=False,
                **{name: value for name, value in content.items() if value is not None},
            )
        # `from None`, since some causes quote the headers.
        except _NOT_SENT as error:
            raise PspUnavailable(f"The PSP was not reached ({_error_name(error)})") from None
        except httpx.TimeoutException as error:
            raise PspTimeout(f"The PSP did not respond in time ({_error_name(error)})") from None
        except httpx.RequestError as error:
            raise OutcomeUnknown(f"The PSP's response was lost ({_error_name(error)})") from None
        finally:
            log.debug("%s %s: %.3f s", method, path[:1], time.monotonic() - started_at)

    async def _acquire(self, *, write: bool) -> None:
        if self._budget is not None:
            await self._budget.acquire(write=write)
        elif self._rate_limiter is not None:
            self._rate_limiter.acquire(write=write)

    async def _exchange(self, method: str, url: str, **content: Any) -> PspResponse:
        async with self._http.stream(method, url, **content) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MAX_RESPONSE_BYTES:
                    raise ProtocolError(f"HTTP {response.status_code} with too large a body")
            return PspResponse(response.status_code, response.headers, bytes(body))


def classify_failure(response: PspResponse, psp_code: str | None = None) -> PspError:
    """Return the exception for a response that is not a definite one of the PSP.

    A 429 with the PSP's own code certainly had no effect. Everything else may have had one: 5xx,
    and also a 4xx that may come from an intermediary (a proxy's 401, 408 or 429 in HTML).
    """
    if response.status == 429 and psp_code is not None:
        return RateLimited(
            "The PSP's rate limit is exceeded", retry_after=response.retry_after, psp_code=psp_code
        )
    if response.status >= 500:
        return OutcomeUnknown(
            f"The PSP failed with HTTP {response.status}",
            retry_after=response.retry_after,
            psp_code=psp_code,
        )
    return ProtocolError(
        f"HTTP {response.status} without the PSP's own error body",
        retry_after=response.retry_after,
        psp_code=psp_code,
    )


def parse_object(model: type[M], value: Any) -> M:
    """Return a part of a response parsed as `model`; raises `ProtocolError`."""
    try:
        return model.model_validate(value)
    except ValidationError:
        # `from None`, since the cause may quote payment data.
        raise ProtocolError(f"The PSP's response lacks a readable {model.__name__}") from None


def _drop_none(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None}


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and values: `{"a": {"b": [True]}}` as `a[b][0]=true`; None is left out."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _flatten(member, f"{name}[{key}]" if name else key)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _flatten(member, f"{name}[{index}]")
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif value is not None:
        yield name, str(value)


def _error_name(error: Exception) -> str:
    return type(error).__name__
