"""API client of GoCardless and classification of its errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, ProtocolError, PspError
from integrator.psp.gocardless.error_codes import refusal_code
from integrator.psp.gocardless.wire import (
    ErrorBody,
    ErrorDetail,
    Event,
    ListEnvelope,
    Payment,
    Resource,
)
from integrator.psp.toolkit.client import ApiClient, RefusedError, treat_unavailable_as_unknown
from integrator.psp.toolkit.http import M, PspResponse, classify_failure, parse_object
from integrator.psp.toolkit.outcomes import failed_outcome
from integrator.psp.types import Declined

R = TypeVar("R", bound=Resource)
T = TypeVar("T")

MAX_PAGE_SIZE = 500
_DEFINITE_STATUSES = frozenset({400, 403, 404, 405, 406, 409, 410, 415, 422, 426})


@dataclass(frozen=True)
class Page(Generic[T]):
    """Page of a list, newest first; `after` is the cursor of the next, older page."""

    items: list[T]
    after: str | None


class IdempotencyConflictError(OutcomeUnknown):
    """The idempotency key has already created an object: `id`."""

    def __init__(self, id: str) -> None:
        super().__init__("The idempotency key has already been used")
        self.id = id


class GoCardlessRefusal(RefusedError):
    """Definite refusal with GoCardless' reasons, among them the fields that it refused."""

    def __init__(self, declined: Declined, error: ErrorDetail) -> None:
        super().__init__(
            declined, status=error.code, error_type=error.type, missing=error.code == 404
        )
        self.error = error


class GoCardlessClient(ApiClient):
    """API client for one merchant."""

    # Longer keys are refused (`idempotency_key_too_long`); the limit itself is unconfirmed.
    max_key_length = 128

    async def create(self, model: type[R], body: Mapping[str, Any], key: str | None) -> R:
        """Create an object, at most once per `key`, or read the one created with the key before.

        Members that are None are left out. Raises `RefusedError`.
        """
        content = {name: value for name, value in body.items() if value is not None}
        headers = self.idempotency_headers(key) if key else None
        try:
            return await self.request(
                model, "POST", model.kind, body={model.kind: content}, headers=headers
            )
        except IdempotencyConflictError as conflict:
            with treat_unavailable_as_unknown():
                psp_object = await self.get_by_id(model, conflict.id)
        if psp_object is None:
            raise ProtocolError("GoCardless named an object that does not exist")
        return psp_object

    async def perform_action(
        self, model: type[R], id: str, action: str, data: Mapping[str, Any] | None = None
    ) -> R:
        """Perform an action on an object, without idempotency key. Raises `RefusedError`."""
        path = (model.kind, id, "actions", action)
        return await self.request(model, "POST", *path, body={"data": dict(data or {})})

    async def get_by_id(self, model: type[R], id: str) -> R | None:
        """Return the object with an id; None if GoCardless reports that it does not exist."""
        return await self.get(model, model.kind, id)

    async def list_raw(self, kind: str, **filters: Any) -> Page[Any]:
        """Return a page of a list unparsed; `created_from` and `created_to` limit the time span."""
        params = {_FILTERS.get(name, name): value for name, value in filters.items()}
        page = await self.get_required(ListEnvelope, kind, **{"limit": MAX_PAGE_SIZE, **params})
        items = (page.model_extra or {}).get(kind)
        if not isinstance(items, list):
            raise ProtocolError(f"GoCardless' response lacks a list of {kind}")
        return Page(items, page.after)

    async def list_objects(self, model: type[R], **filters: Any) -> Page[R]:
        """Return a page of a list, parsed as `model`."""
        page = await self.list_raw(model.kind, **filters)
        return Page([parse_object(model, item) for item in page.items], page.after)

    async def list_payment_events(self, payment: Payment) -> list[Event]:
        """Return the events of a payment, newest first; others are left out."""
        page = await self.list_raw(Event.kind, payment=payment.id)
        events = [parse_object(Event, item) for item in page.items]
        return [
            event
            for event in events
            if event.resource_type == Payment.kind and event.link("payment") in (None, payment.id)
        ]

    def parse_response(self, response: PspResponse, model: type[M]) -> M:
        """Return the object in the response's envelope; a list is its own envelope."""
        if not issubclass(model, Resource):
            return response.parse(model)
        body = response.json()
        return parse_object(model, body.get(model.kind) if isinstance(body, dict) else None)

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return the exception for a response other than 2xx.

        GoCardless' own error body repeats the HTTP status.
        """
        body = response.try_parse(ErrorBody)
        if body is None or body.error.code != response.status:
            return classify_failure(response)
        error = body.error
        if response.status == 401:
            message = "GoCardless rejected the access token"
            return CredentialsRejected(message, psp_code=error.reason_or_type)
        if "idempotent_creation_conflict" in error.reasons:
            return _conflict_error(error)
        if response.status not in _DEFINITE_STATUSES or error.type == "gocardless":
            return classify_failure(response, error.reason_or_type)
        return _build_refusal(error)


_FILTERS = {"created_from": "created_at[gte]", "created_to": "created_at[lt]"}


def _conflict_error(error: ErrorDetail) -> OutcomeUnknown:
    id = error.link("conflicting_resource_id")
    if id is None:
        # The first call with the key may still be in progress.
        return OutcomeUnknown("GoCardless has already received the key and names no object")
    return IdempotencyConflictError(id)


def _build_refusal(error: ErrorDetail) -> GoCardlessRefusal:
    problems = [
        (problem.reason, name) for problem in error.errors for name in problem.fields or [""]
    ]
    first = error.first_reason
    message = first.message if error.errors else error.message
    description = " ".join(filter(None, [first.field, message]))
    code = refusal_code(problems, error.type)
    return GoCardlessRefusal(failed_outcome(None, code, error.reason_or_type, description), error)
