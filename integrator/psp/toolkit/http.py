"""HTTP to a PSP, the same for every adapter: limits, budgets and the meaning of what goes wrong.

An answer is returned whole or not at all; everything else is a `PspError` whose text holds no
address, no header and nothing a PSP said. Adapters read their PSP's own error bodies themselves
and hand what they do not understand to `outage`.
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
from integrator.psp.toolkit.rate_limit import Budget

M = TypeVar("M", bound=BaseModel)

LARGEST_ANSWER = 4 * 2**20
"""Bytes; a page of a PSP's list is far below it."""

log = logging.getLogger(__name__)

# The request has not left this process.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")


@dataclass(frozen=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def retry_after(self) -> float | None:
        """The PSP's own wish in seconds; its form as a date is not honoured."""
        wish = self.headers.get("Retry-After", "")
        return float(wish) if _SECONDS.fullmatch(wish) else None

    def json(self) -> Any:
        """The body as JSON without floats; None if it is none."""
        try:
            return json.loads(self.body, parse_float=str)
        except (ValueError, RecursionError):
            return None

    def read(self, model: type[M]) -> M:
        """The body as `model`; raises `ProtocolError`."""
        found = self.try_parse(model)
        if found is None:
            raise ProtocolError(f"HTTP {self.status} without a readable {model.__name__}")
        return found

    def try_parse(self, model: type[M]) -> M | None:
        """The body as `model`, such as the PSP's own kind of error; None if it is none."""
        try:
            return model.model_validate_json(self.body)
        except ValidationError:
            return None


class PspHttp:
    """One merchant's way to a PSP's API.

    `headers` carry the credentials and go with every call. `budget`, if given, is what the PSP
    allows; a call beyond it is not sent but raises `RateLimited`.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        base_url: str,
        headers: Mapping[str, str],
        budget: Budget | None = None,
    ) -> None:
        self._http = http
        self._base = base_url.rstrip("/")
        self._headers = dict(headers)
        self._budget = budget

    async def send(
        self,
        method: str,
        *path: str,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Call `<base>/<path...>` with a form or a JSON `body`; every part of `path` is escaped.

        Members of `params`, `form` and `body` that are None are left out. Nested `params` and
        `form` are written with brackets: `a[b][0]=true`. Raises `PspUnavailable` if nothing was
        sent, `RateLimited` beyond the budget, `OutcomeUnknown` if the answer was lost.
        """
        if self._budget is not None:
            self._budget.take(write=method != "GET")
        content = {
            "params": dict(_flat(params)) or None,
            "data": None if form is None else dict(_flat(form)),
            "json": _given(body),
        }
        began = time.monotonic()
        try:
            return await self._exchange(
                method,
                "/".join([self._base, *(quote(part, safe="") for part in path)]),
                headers={**self._headers, **(headers or {})},
                # A redirect would take the credentials to another server.
                follow_redirects=False,
                **{name: value for name, value in content.items() if value is not None},
            )
        # Without their causes: some of them quote the headers.
        except _NOT_SENT as error:
            raise PspUnavailable(f"The PSP was not reached ({_name(error)})") from None
        except httpx.TimeoutException as error:
            raise PspTimeout(f"The PSP did not answer in time ({_name(error)})") from None
        except httpx.RequestError as error:
            raise OutcomeUnknown(f"The PSP's answer was lost ({_name(error)})") from None
        finally:
            log.debug("%s %s: %.3f s", method, path[:1], time.monotonic() - began)

    async def _exchange(self, method: str, url: str, **content: Any) -> Answer:
        async with self._http.stream(method, url, **content) as response:
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > LARGEST_ANSWER:
                    raise ProtocolError(f"HTTP {response.status_code} with too large a body")
            return Answer(response.status_code, response.headers, bytes(body))


def classify_failure(answer: Answer, psp_code: str | None = None) -> PspError:
    """What an answer means that is no definite answer of the PSP's own.

    A 429 with the PSP's own code surely had no effect. Everything else may have had one: 5xx, and
    also a 4xx that somebody on the way may have said (a proxy's 401, 408 or 429 in HTML).
    """
    if answer.status == 429 and psp_code is not None:
        return RateLimited("The PSP throttles", retry_after=answer.retry_after, psp_code=psp_code)
    if answer.status >= 500:
        return OutcomeUnknown(
            f"The PSP failed with HTTP {answer.status}",
            retry_after=answer.retry_after,
            psp_code=psp_code,
        )
    return ProtocolError(
        f"HTTP {answer.status} is no answer of the PSP",
        retry_after=answer.retry_after,
        psp_code=psp_code,
    )


def understood(model: type[M], found: Any) -> M:
    """A part of an answer as `model`; raises `ProtocolError`."""
    try:
        return model.model_validate(found)
    except ValidationError:
        # Without its cause, which may quote payment data.
        raise ProtocolError(f"The PSP answered without a readable {model.__name__}") from None


def _given(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if values is None:
        return None
    return {name: value for name, value in values.items() if value is not None}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """`{"a": {"b": [True]}}` becomes `a[b][0]=true`; what is None is left out."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _flat(member, f"{name}[{key}]" if name else key)
    elif isinstance(value, list | tuple):
        for place, member in enumerate(value):
            yield from _flat(member, f"{name}[{place}]")
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif value is not None:
        yield name, str(value)


def _name(error: Exception) -> str:
    return type(error).__name__
