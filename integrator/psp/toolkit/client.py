"""Asking a PSP: the calls every API has, and the PSP's definite no."""

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
from integrator.psp.toolkit.http import Answer, PspHttp
from integrator.psp.types import Declined

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


class RefusedError(Exception):
    """A PSP's definite no: it understood the request and did not carry it out.

    `declined` is what that comes to, unless the object asked for is not there (`missing`): what
    that means depends on the call. `kind` is the PSP's own class of errors, if it has such.
    """

    def __init__(
        self, declined: Declined, *, status: int, kind: str = "", missing: bool = False
    ) -> None:
        # The PSP's sentence may quote the request and so stays out of `str()`.
        super().__init__(f"The PSP refused the request: {declined.psp_code}")
        self.declined = declined
        self.psp_code = declined.psp_code
        self.status = status
        self.kind = kind
        self.missing = missing


class ApiClient(ABC):
    """One merchant's access to a JSON API.

    Every call raises a `PspError` when there is no definite answer. What changes something also
    raises `RefusedError`; a refusal to be read decides nothing and is a `ProtocolError`.
    """

    root: ClassVar[tuple[str, ...]] = ()
    """Where all addresses begin, behind the base URL: `("v1",)`."""

    key_header: ClassVar[str] = "Idempotency-Key"

    longest_key: ClassVar[int] = 255
    """Characters of an idempotency key; of a longer one its SHA-256 is sent."""

    def __init__(self, http: PspHttp) -> None:
        self.http = http

    @abstractmethod
    def problem(self, answer: Answer) -> PspError | RefusedError:
        """What an answer other than 2xx means; `integrator.psp.toolkit.http.outage` for all that is unclear."""

    def read(self, answer: Answer, model: type[M]) -> M:
        """The object in a good answer; to be replaced for a PSP that wraps its objects."""
        return answer.read(model)

    async def send(self, method: str, *path: str, **content: Any) -> Answer:
        """Any call that goes well; `content` as for `PspHttp.send`."""
        answer = await self.http.send(method, *self.root, *path, **content)
        if not answer.ok:
            raise self.problem(answer)
        return answer

    async def ask(self, model: type[M], method: str, *path: str, **content: Any) -> M:
        """Any call, for the object in its answer."""
        return self.read(await self.send(method, *path, **content), model)

    async def post(self, model: type[M], *path: str, body: Mapping[str, Any], key: str) -> M:
        """Do something, at most once per `key`. Nulls in `body` are left out."""
        return await self.ask(model, "POST", *path, body=body, headers=self.keyed(key))

    async def get(self, model: type[M], *path: str, **params: Any) -> M | None:
        """An object; None if the PSP says itself that there is none."""
        try:
            return await self.ask(model, "GET", *path, params=params)
        except RefusedError as refusal:
            if refusal.missing:
                return None
            raise _unreadable(refusal) from None

    async def require(self, model: type[M], *path: str, **params: Any) -> M:
        """What is there in any case, such as a list. Parameters that are None are left out."""
        try:
            return await self.ask(model, "GET", *path, params=params)
        except RefusedError as refusal:
            raise _unreadable(refusal) from None

    def keyed(self, key: str) -> dict[str, str]:
        """The header that protects a repeated call."""
        fits = len(key) <= self.longest_key
        return {self.key_header: key if fits else hashlib.sha256(key.encode()).hexdigest()}


@contextmanager
def afterwards() -> Iterator[None]:
    """Read what an earlier call has come to: even what is not sent here leaves that unknown."""
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
    """What a call makes, or what is there all the same when it fails with one of `after`.

    A PSP may refuse what it has done already. `read` answers None if nothing of the kind is there:
    then the failure stands.
    """
    try:
        return await attempt
    except PspTimeout:
        raise  # no time is left for a read
    except after:
        with afterwards():
            found = await read()
        if found is None:
            raise
        return found


def _unreadable(refusal: RefusedError) -> ProtocolError:
    message = f"The PSP refused to be read: {refusal.psp_code}"
    return ProtocolError(message, psp_code=refusal.psp_code)
