"""GoCardless' calls: addresses, envelopes, keys, and what an answer holds."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, ProtocolError, PspError
from integrator.psp.gocardless.error_codes import refusal_code
from integrator.psp.gocardless.wire import ErrorBody, Listing, Resource, Trouble
from integrator.psp.toolkit.client import ApiClient, RefusedError, afterwards
from integrator.psp.toolkit.http import Answer, M, classify_failure, understood
from integrator.psp.toolkit.outcomes import failed

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

LARGEST_PAGE = 500
_DEFINITE = frozenset({400, 403, 404, 405, 406, 409, 410, 415, 422, 426})


@dataclass(frozen=True)
class Page(Generic[T]):
    """A part of a list, newest first; `after` leads to older ones."""

    items: list[T]
    after: str | None


class ConflictError(OutcomeUnknown):
    """The idempotency key has made an object already: `id`."""

    def __init__(self, id: str) -> None:
        super().__init__("The idempotency key was used")
        self.id = id


class GoCardlessClient(ApiClient):
    """One merchant's access to GoCardless' API."""

    # Longer ones are refused (`idempotency_key_too_long`); the limit itself is unconfirmed.
    longest_key = 128

    async def create(self, model: type[R], body: Mapping[str, Any], key: str | None) -> R:
        """Make an object, at most once per `key`, or read the one the key has made before.

        Members that are None are left out. Raises `RefusedError`.
        """
        content = {name: value for name, value in body.items() if value is not None}
        headers = self.keyed(key) if key else None
        try:
            return await self.ask(
                model, "POST", model.kind, body={model.kind: content}, headers=headers
            )
        except ConflictError as conflict:
            with afterwards():
                made = await self.named(model, conflict.id)
        if made is None:
            raise ProtocolError("GoCardless does not have the object that it names")
        return made

    async def act(
        self, model: type[R], id: str, action: str, data: Mapping[str, Any] | None = None
    ) -> R:
        """Do something with an object; not protected by a key. Raises `RefusedError`."""
        path = (model.kind, id, "actions", action)
        return await self.ask(model, "POST", *path, body={"data": dict(data or {})})

    async def named(self, model: type[R], id: str) -> R | None:
        """The object with an id; None if GoCardless says that there is none."""
        return await self.get(model, model.kind, id)

    async def entries(self, kind: str, **filters: Any) -> Page[Any]:
        """A part of a list as it stands; `created_from` and `created_to` bound a span of time."""
        params = {_FILTERS.get(name, name): value for name, value in filters.items()}
        page = await self.require(Listing, kind, **{"limit": LARGEST_PAGE, **params})
        found = (page.model_extra or {}).get(kind)
        if not isinstance(found, list):
            raise ProtocolError(f"GoCardless answered without a list of {kind}")
        return Page(found, page.after)

    async def listed(self, model: type[R], **filters: Any) -> Page[R]:
        """As `entries`, understood."""
        page = await self.entries(model.kind, **filters)
        return Page([understood(model, item) for item in page.items], page.after)

    def read(self, answer: Answer, model: type[M]) -> M:
        """What the answer's envelope holds; a list is its own envelope."""
        if not issubclass(model, Resource):
            return answer.read(model)
        body = answer.json()
        return understood(model, body.get(model.kind) if isinstance(body, dict) else None)

    def problem(self, answer: Answer) -> PspError | RefusedError:
        """What an answer other than 2xx means. Its own error body repeats the HTTP status."""
        body = answer.try_parse(ErrorBody)
        if body is None or body.error.code != answer.status:
            return classify_failure(answer)
        trouble = body.error
        if answer.status == 401:
            message = "GoCardless refuses the access token"
            return CredentialsRejected(message, psp_code=trouble.word)
        if trouble.first.reason == "idempotent_creation_conflict":
            return _conflict(trouble)
        if answer.status not in _DEFINITE or trouble.type == "gocardless":
            return classify_failure(answer, trouble.word)
        return _refusal(trouble)


_FILTERS = {"created_from": "created_at[gte]", "created_to": "created_at[lt]"}


def _conflict(trouble: Trouble) -> OutcomeUnknown:
    named = (problem.links.get("conflicting_resource_id") for problem in trouble.errors)
    id = next(filter(None, named), None)
    if id is None:
        # The first call with the key may still be at work.
        return OutcomeUnknown("GoCardless knows the key and names no object")
    return ConflictError(id)


def _refusal(trouble: Trouble) -> RefusedError:
    problem = trouble.first
    code = refusal_code(problem.reason, problem.field, trouble.type)
    said = problem.message if trouble.errors else trouble.message
    text = " ".join(filter(None, [problem.field, said]))
    declined = failed(None, code, trouble.word, text)
    missing = trouble.code == 404
    return RefusedError(declined, status=trouble.code, kind=trouble.type, missing=missing)
