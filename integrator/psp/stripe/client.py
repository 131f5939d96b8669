"""API client of Stripe and classification of its errors."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, ProtocolError, PspError
from integrator.psp.stripe.error_codes import error_code
from integrator.psp.stripe.optional_parameters import Optionals, drop_blank, replace_refused
from integrator.psp.stripe.wire import ErrorBody, ErrorDetail, Page, T
from integrator.psp.toolkit.client import ApiClient, RefusedError, recover_by_read
from integrator.psp.toolkit.http import M, PspResponse, classify_failure
from integrator.psp.toolkit.outcomes import failed_outcome
from integrator.psp.types import Declined

VERSION = "2026-10-28.endive"
"""Version of the API that this adapter is written for; sent with every call."""

_PAGE_SIZE = 100
_UNEXPECTED_STATE = "payment_intent_unexpected_state"
_MAX_KEYS = 5
"""Keys of a creation; as many failures in a row are an outage, not a stored failure."""

_DEFINITE_ERROR_TYPES = ("card_error", "invalid_request_error")

log = logging.getLogger(__name__)


class StripeRefusal(RefusedError):
    """Refusal with Stripe's own words; `error` may quote the request and is not logged."""

    def __init__(self, declined: Declined, error: ErrorDetail, *, status: int) -> None:
        missing = error.code == "resource_missing" and status != 403
        super().__init__(declined, status=status, error_type=error.type, missing=missing)
        self.error = error


class AlreadyDoneError(StripeRefusal):
    """Refusal that may be caused by a repetition of the call."""


class StoredFailure(OutcomeUnknown):
    """5xx that Stripe has stored under the key, and repeats for as long as it knows the key."""


class StripeClient(ApiClient):
    """API client for one merchant. `expand` names members to be returned in full."""

    path_prefix = ("v1",)

    async def list_page(
        self, model: type[T], *path: str, expand: tuple[str, ...] = (), **params: Any
    ) -> Page[T]:
        """Return one page of a list; parameters that are None are left out."""
        expanded_members = tuple(f"data.{name}" for name in expand)
        query = {"limit": _PAGE_SIZE, **params, "expand": expanded_members}
        return await self.get_required(Page[model], *path, **query)  # type: ignore[valid-type]

    async def post(
        self,
        model: type[M],
        *path: str,
        body: Mapping[str, Any],
        key: str,
        expand: tuple[str, ...] = (),
    ) -> M:
        """Send a POST with an idempotency key. Blank members of `body` are left out."""
        form = {**(drop_blank(body) or {}), "expand": expand}
        return await self.request(
            model, "POST", *path, form=form, headers=self.idempotency_headers(key)
        )

    async def create(
        self,
        model: type[M],
        *path: str,
        body: Mapping[str, Any],
        key: str,
        expand: tuple[str, ...] = (),
    ) -> M:
        """Create an object that moves no money, with the next key where a failure is stored.

        Every attempt walks the same keys from the first: `key`, `key/2`, ... A stored failure is
        permanent, so that all attempts end at the same object. A failure that is not certainly
        stored ends the attempt: the next one may get an object for the same key.
        """
        keys = [key, *(f"{key}/{number}" for number in range(2, _MAX_KEYS + 1))]
        for attempt_key in keys[:-1]:
            try:
                return await self.post(model, *path, body=body, key=attempt_key, expand=expand)
            except StoredFailure:
                log.warning("Stripe has stored the failure of a creation; the next key is used")
        return await self.post(model, *path, body=body, key=keys[-1], expand=expand)

    async def post_without_refused(
        self,
        model: type[M],
        *path: str,
        body: Mapping[str, Any],
        key: str,
        optionals: Optionals,
        expand: tuple[str, ...] = (),
    ) -> M:
        """Send a POST that moves no money, and again without the `optionals` that are refused.

        Each form of the body has its own key, since Stripe refuses a key with other parameters.
        """
        form, attempt_key, number = dict(body), key, 0
        while True:
            try:
                return await self.create(model, *path, body=form, key=attempt_key, expand=expand)
            except StripeRefusal as refusal:
                reduced = replace_refused(form, refusal.error, optionals)
                if reduced is None or number == len(optionals):
                    raise
                number += 1
                form, attempt_key = reduced, f"{key}/reduced-{number}"

    async def post_action(
        self,
        model: type[M],
        *path: str,
        body: Mapping[str, Any],
        key: str,
        is_done: Callable[[M], bool],
        expand: tuple[str, ...] = (),
    ) -> M:
        """Send a POST for an action, the last part of `path`, on the object at the parts before.

        Stripe repeats a stored 5xx for as long as it knows the key, and refuses an action that was
        done already: then the object is read, and returned if `is_done` says so.
        """

        async def read() -> M | None:
            psp_object = await self.get(model, *path[:-1], expand=expand)
            return psp_object if psp_object and is_done(psp_object) else None

        attempt = self.post(model, *path, key=key, body=body, expand=expand)
        psp_object = await recover_by_read(attempt, read, after=(AlreadyDoneError, OutcomeUnknown))
        if getattr(psp_object, "id", None) != path[-2]:
            raise ProtocolError(f"Stripe answered the action {path[-1]} with another object.")
        return psp_object

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return the exception for a response other than 2xx."""
        status, body = response.status, response.try_parse(ErrorBody)
        if status >= 500 and response.headers.get("Idempotent-Replayed") == "true":
            return StoredFailure(
                f"Stripe repeats its failure with HTTP {status}",
                psp_code=body.error.code_or_type if body else None,
            )
        if body is None or status >= 500 or status == 429:
            return classify_failure(response, body.error.code_or_type if body else None)
        error, code = body.error, body.error.code_or_type
        if status == 401 and error.type in ("invalid_request_error", "authentication_error"):
            return CredentialsRejected("Stripe rejected the API key", psp_code=code)
        if status == 409 or error.type == "idempotency_error":
            # The first call with this key may have taken effect or may still do so.
            return OutcomeUnknown("Stripe has already received this idempotency key", psp_code=code)
        if response.headers.get("Stripe-Should-Retry") == "true":
            return OutcomeUnknown("Stripe asks for a retry", psp_code=code)
        if status in (400, 402, 403, 404) and error.type in _DEFINITE_ERROR_TYPES:
            return build_refusal(status, error)
        return classify_failure(response, code)


def build_refusal(status: int, error: ErrorDetail) -> StripeRefusal:
    """Build the refusal for an error body; a missing permission is a configuration error."""
    # A 402 is a valid request that failed: https://docs.stripe.com/api/errors
    unknown = Code.Rejected if status == 402 else Code.InvalidData
    code = Code.InvalidConfiguration if status == 403 else error_code(error, unknown)
    psp_id = error.payment_intent.id if error.payment_intent else None
    declined = failed_outcome(psp_id, code, error.decline_code or error.code_or_type, error.message)
    error_class = AlreadyDoneError if error.code in (_UNEXPECTED_STATE, None) else StripeRefusal
    return error_class(declined, error, status=status)
