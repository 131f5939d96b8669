"""Stripe's calls: addresses, form encoding, keys, and what an answer holds."""

from collections.abc import Callable, Mapping
from typing import Any

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError
from integrator.psp.stripe.error_codes import error_code
from integrator.psp.stripe.wire import ErrorBody, Page, Problem, T
from integrator.psp.toolkit.client import ApiClient, RefusedError, recover_by_read
from integrator.psp.toolkit.http import Answer, M, classify_failure
from integrator.psp.toolkit.outcomes import failed

VERSION = "2026-10-28.endive"
"""The version of the API this adapter is written for; sent with every call."""

_PER_PAGE = 100
_STATE = "payment_intent_unexpected_state"
_DEFINITE = ("card_error", "invalid_request_error")


class DoneAlreadyError(RefusedError):
    """A refusal that may be the answer to a repetition."""


class StripeClient(ApiClient):
    """One merchant's access to Stripe's API. `expand` names members to be shown in full."""

    root = ("v1",)

    async def page(
        self, model: type[T], *path: str, expand: tuple[str, ...] = (), **params: Any
    ) -> Page[T]:
        """One part of a list; parameters that are None are left out."""
        whole = tuple(f"data.{name}" for name in expand)
        wanted = {"limit": _PER_PAGE, **params, "expand": whole}
        return await self.require(Page[model], *path, **wanted)  # type: ignore[valid-type]

    async def post(
        self,
        model: type[M],
        *path: str,
        body: Mapping[str, Any],
        key: str,
        expand: tuple[str, ...] = (),
    ) -> M:
        """Do something, at most once per `key`."""
        form = {**body, "expand": expand}
        return await self.ask(model, "POST", *path, form=form, headers=self.keyed(key))

    async def act(
        self,
        model: type[M],
        *path: str,
        body: Mapping[str, Any],
        key: str,
        done: Callable[[M], bool],
        expand: tuple[str, ...] = (),
    ) -> M:
        """Do something to the object at all but the last part of `path`.

        Stripe repeats a stored 5xx for as long as it knows the key, and refuses what is done
        already: then a read decides, if what it finds is `done`.
        """

        async def read() -> M | None:
            found = await self.get(model, *path[:-1], expand=expand)
            return found if found and done(found) else None

        attempt = self.post(model, *path, key=key, body=body, expand=expand)
        return await recover_by_read(attempt, read, after=(DoneAlreadyError, OutcomeUnknown))

    def problem(self, answer: Answer) -> PspError | RefusedError:
        """What an answer other than 2xx means."""
        status, body = answer.status, answer.try_parse(ErrorBody)
        if body is None or status >= 500 or status == 429:
            return classify_failure(answer, body.error.word if body else None)
        problem, code = body.error, body.error.word
        if status == 401 and problem.type in ("invalid_request_error", "authentication_error"):
            return CredentialsRejected("Stripe does not accept the API key", psp_code=code)
        if status == 409 or problem.type == "idempotency_error":
            # The first call with this key may still take effect, or has already.
            return OutcomeUnknown("Stripe knows this idempotency key", psp_code=code)
        if answer.headers.get("Stripe-Should-Retry") == "true":
            return OutcomeUnknown("Stripe asks to try again", psp_code=code)
        if status in (400, 402, 403, 404) and problem.type in _DEFINITE:
            return refusal(status, problem)
        return classify_failure(answer, code)


def refusal(status: int, problem: Problem) -> RefusedError:
    """A definite no; one to a key without the right to ask is a matter of configuration."""
    code = Code.InvalidConfiguration if status == 403 else error_code(problem)
    about = problem.payment_intent.id if problem.payment_intent else None
    declined = failed(about, code, problem.decline_code or problem.word, problem.message)
    missing = problem.code == "resource_missing" and status != 403
    error = DoneAlreadyError if problem.code in (_STATE, None) else RefusedError
    return error(declined, status=status, kind=problem.type, missing=missing)
