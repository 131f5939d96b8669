"""Base client of a PSP's JSON API, and the exception for its definite refusals."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel

from integrator.psp.errors import (
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspTimeout,
    PspUnavailable,
)
from integrator.psp.toolkit.http import PspHttp, PspResponse
from integrator.psp.types import Declined

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class RefusedError(Exception):
    """Definite refusal: the PSP understood the request and did not carry it out.

    `declined` is the resulting outcome, unless the requested object does not exist (`missing`):
    what that means depends on the call. `error_type` is the PSP's own class of errors, if any.
    """

    def __init__(
        self, declined: Declined, *, status: int, error_type: str = "", missing: bool = False
    ) -> None:
        # The PSP's message may quote the request and is therefore left out of `str()`.
        super().__init__(f"The PSP refused the request: {declined.psp_code}")
        self.declined = declined
        self.psp_code = declined.psp_code
        self.status = status
        self.error_type = error_type
        self.missing = missing


class ApiClient(ABC):
    """Client of a JSON API for one merchant.

    Every call raises a `PspError` if there is no definite response. Writes also raise
    `RefusedError`; a refused read decides nothing and raises `ProtocolError`.
    """

    path_prefix: ClassVar[tuple[str, ...]] = ()
    """First parts of all paths, after the base URL: `("v1",)`."""

    key_header: ClassVar[str] = "Idempotency-Key"

    max_key_length: ClassVar[int] = 255
    """Maximum characters of an idempotency key; a longer key is replaced by its SHA-256."""

    def __init__(self, http: PspHttp) -> None:
        self.http = http

    @abstractmethod
    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return the exception for a response other than 2xx.

        Use `integrator.psp.toolkit.http.classify_failure` for everything that is not definite.
        """

    def parse_response(self, response: PspResponse, model: type[M]) -> M:
        """Return the object in a successful response; override if the PSP wraps its objects."""
        return response.parse(model)

    async def send(self, method: str, *path: str, **content: Any) -> PspResponse:
        """Send a request and return the 2xx response; `content` as for `PspHttp.send`."""
        response = await self.http.send(method, *self.path_prefix, *path, **content)
        if not response.ok:
            raise self.classify_error(response)
        return response

    async def request(self, model: type[M], method: str, *path: str, **content: Any) -> M:
        """Send a request and return the object in the response."""
        return self.parse_response(await self.send(method, *path, **content), model)

    async def post(self, model: type[M], *path: str, body: Mapping[str, Any], key: str) -> M:
        """Send a POST with an idempotency key. Members of `body` that are None are left out."""
        return await self.request(
            model, "POST", *path, body=body, headers=self.idempotency_headers(key)
        )

    async def get(self, model: type[M], *path: str, **params: Any) -> M | None:
        """Return an object; None if the PSP itself reports that it does not exist."""
        try:
            return await self.request(model, "GET", *path, params=params)
        except RefusedError as refusal:
            if refusal.missing:
                return None
            raise _refused_read_error(refusal) from None

    async def get_required(self, model: type[M], *path: str, **params: Any) -> M:
        """Return what always exists, such as a list. Parameters that are None are left out."""
        try:
            return await self.request(model, "GET", *path, params=params)
        except RefusedError as refusal:
            raise _refused_read_error(refusal) from None

    def idempotency_headers(self, key: str) -> dict[str, str]:
        """Return the header with the idempotency key."""
        fits = len(key) <= self.max_key_length
        return {self.key_header: key if fits else hashlib.sha256(key.encode()).hexdigest()}


@contextmanager
def treat_unavailable_as_unknown() -> Iterator[None]:
    """Raise `OutcomeUnknown` for `PspUnavailable` in a read after an earlier call.

    Even if the read was never sent, the outcome of the earlier call remains unknown.
    """
    try:
        yield
    except PspUnavailable as error:
        raise OutcomeUnknown(
            str(error), psp_code=error.psp_code, retry_after=error.retry_after
        ) from None


async def recover_by_read(
    attempt: Awaitable[T],
    read: Callable[[], Awaitable[T | None]],
    after: type[Exception] | tuple[type[Exception], ...] = RefusedError,
) -> T:
    """Return the result of `attempt`, or of `read` if the attempt fails with one of `after`.

    A PSP may refuse what it has done already. `read` returns None if it finds no such object: then
    the exception of the attempt is raised.
    """
    try:
        return await attempt
    except PspTimeout:
        raise  # no time is left for a read
    except after:
        with treat_unavailable_as_unknown():
            result = await read()
        if result is None:
            raise
        return result


def _refused_read_error(refusal: RefusedError) -> ProtocolError:
    message = f"The PSP refused a read: {refusal.psp_code}"
    return ProtocolError(message, psp_code=refusal.psp_code)
