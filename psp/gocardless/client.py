"""GoCardless' calls: addresses, envelopes, keys, and what an answer holds."""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from psp.common.http import PspHttp
from psp.errors import OutcomeUnknown, ProtocolError, PspUnavailable
from psp.gocardless.answers import ConflictError, RefusedError, envelope
from psp.gocardless.wire import Resource

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

# Longer ones are refused (`idempotency_key_too_long`); the limit itself is unconfirmed.
_LONGEST_KEY = 128
LARGEST_PAGE = 500


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list, newest first; `after` leads to older ones."""

    items: list[T]
    after: str | None


class GoCardlessClient:
    """One merchant's access. Every call raises a `PspError` when there is no definite answer."""

    def __init__(self, http: PspHttp) -> None:
        self._http = http

    async def create(self, model: type[R], body: Mapping[str, Any], key: str | None) -> R:
        """Make an object, at most once per `key`, or read the one the key has made before.

        Members that are None are left out. Raises `RefusedError`.
        """
        content = {name: value for name, value in body.items() if value is not None}
        headers = {"Idempotency-Key": _fitting(key)} if key else None
        answer = await self._http.send(
            "POST", model.kind, body={model.kind: content}, headers=headers
        )
        try:
            return _read(model, envelope(answer, model.kind))
        except ConflictError as conflict:
            with afterwards():
                made = await self.get(model, conflict.id)
        if made is None:
            raise ProtocolError("GoCardless does not have the object that it names")
        return made

    async def act(
        self, model: type[R], id: str, action: str, data: Mapping[str, Any] | None = None
    ) -> R:
        """Do something with an object; not protected by a key. Raises `RefusedError`."""
        path = (model.kind, id, "actions", action)
        answer = await self._http.send("POST", *path, body={"data": dict(data or {})})
        return _read(model, envelope(answer, model.kind))

    async def get(self, model: type[R], id: str) -> R | None:
        """The object; None if GoCardless says that there is none."""
        answer = await self._http.send("GET", model.kind, id)
        try:
            return _read(model, envelope(answer, model.kind))
        except RefusedError as refusal:
            if refusal.status == 404:
                return None
            raise _unreadable(refusal) from None

    async def entries(self, kind: str, **filters: str | None) -> Page[dict[str, Any]]:
        """A part of a list as it stands; `created_from` and `created_to` bound a span of time."""
        params = {_FILTERS.get(name, name): value for name, value in filters.items()}
        params.setdefault("limit", str(LARGEST_PAGE))
        answer = await self._http.send("GET", kind, params=params)
        try:
            found, meta = envelope(answer, kind), envelope(answer, "meta")
        except RefusedError as refusal:
            raise _unreadable(refusal) from None
        try:
            return Page(list(found), meta["cursors"]["after"])
        except (KeyError, TypeError):
            raise ProtocolError(f"GoCardless' list of {kind} has no cursors") from None

    async def page(self, model: type[R], **filters: str | None) -> Page[R]:
        """As `entries`, understood."""
        page = await self.entries(model.kind, **filters)
        return Page([_read(model, item) for item in page.items], page.after)


_FILTERS = {"created_from": "created_at[gte]", "created_to": "created_at[lt]"}


@contextmanager
def afterwards() -> Iterator[None]:
    """Reading what an earlier call has come to: even what is not sent here leaves that unknown."""
    try:
        yield
    except PspUnavailable as error:
        raise OutcomeUnknown(
            str(error), psp_code=error.psp_code, retry_after=error.retry_after
        ) from None


def _fitting(key: str) -> str:
    return key if len(key) <= _LONGEST_KEY else hashlib.sha256(key.encode()).hexdigest()


def _read(model: type[R], found: Any) -> R:
    try:
        return model.model_validate(found)
    except ValidationError:
        # Without its cause, which may quote payment data.
        raise ProtocolError(f"GoCardless answered without a readable {model.__name__}") from None


def _unreadable(refusal: RefusedError) -> ProtocolError:
    return ProtocolError(f"GoCardless refused to be read: {refusal.code}", psp_code=refusal.code)
