"""Mutants: a response is misinterpreted, or an error reveals a secret."""

from typing import Any, TypeVar

from pydantic import BaseModel

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, RateLimited
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.wire import Charge as WireCharge
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.http import PspHttp, PspResponse
from integrator.psp.types import Charge, Declined, Lookup, Outcome
from tests.conformance.mutants_base import Mutant, register_mutant

W = TypeVar("W", bound=BaseModel)


class _RaisingConnection(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        outcome = await super().charge(call)
        if isinstance(outcome, Declined):
            raise OutcomeUnknown(f"The card was refused: {outcome.psp_code}")
        return outcome


@register_mutant("payments.a_payment_is_declined[CreditCard-lacks_funds]")
class DeclineIsAnError(Mutant):
    """A decline is raised as an error, and so is repeated again and again."""

    connection = _RaisingConnection


class _AnyForbiddenRejectsHttp(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> PspResponse:
        response = await super().send(method, *path, **content)
        if response.status in (401, 403):
            raise CredentialsRejected("The PSP does not accept the API key")
        return response


@register_mutant("settings.an_html_page_is_not_a_rejection[401-page]")
class AnyPageIsLoginError(Mutant):
    """Any 401 or 403 means wrong credentials: a proxy's page switches the PSP off."""

    http = _AnyForbiddenRejectsHttp


class _AnyClientErrorDeclinesClient(SandboxClient):
    async def post(self, model: type[W], *path: str, body: Any, key: str) -> W:
        try:
            return await super().post(model, *path, body=body, key=key)
        except OutcomeUnknown as error:
            if "HTTP 4" not in str(error):
                raise
            declined = Declined(code=Code.InvalidData, psp_code="bad_request")
            raise RefusedError(declined, status=400) from None


@register_mutant("responses.an_html_page_is_not_an_outcome[charge-CreditCard-403-page]")
class AnyPageIsADecline(Mutant):
    """Any 4xx is a definite decline, a firewall's page too."""

    client = _AnyClientErrorDeclinesClient


class _StatusIgnoringHttp(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> PspResponse:
        response = await super().send(method, *path, **content)
        if response.status >= 500 and method != "GET":
            return PspResponse(400, response.headers, response.body)
        return response


@register_mutant("responses.a_refusal_with_5xx_is_not_an_outcome[charge-CreditCard-503]")
class StatusIsIgnored(Mutant):
    """An error body decides, although its status is a server error."""

    http = _StatusIgnoringHttp


class _ThrottlingDeclinesConnection(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        try:
            return await super().charge(call)
        except RateLimited:
            return Declined(code=Code.RateLimit)


@register_mutant("responses.throttling_is_not_an_outcome[charge-CreditCard]")
class ThrottlingIsDecline(Mutant):
    """A throttled payment is declined."""

    connection = _ThrottlingDeclinesConnection


class _RedirectingHttp(PspHttp):
    async def _exchange(self, method: str, url: str, **content: Any) -> PspResponse:
        return await super()._exchange(method, url, **{**content, "follow_redirects": True})


@register_mutant("responses.a_redirect_is_not_followed[charge-CreditCard-307]")
class FollowsRedirects(Mutant):
    """A redirect is followed, with the API key, to any server."""

    http = _RedirectingHttp


class _UnverifiedSearchConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        results = await self._client.find_by_reference(WireCharge, "charges", lookup.reference)
        if not results:
            return None
        own_lookup = lookup.model_copy(update={"reference": results[0].reference or ""})
        return await super().fetch_payment(own_lookup.model_copy(update={"psp_id": results[0].id}))


@register_mutant("lookups.another_transactions_payment_is_rejected[CreditCard]")
class AnySearchResultIsAccepted(Mutant):
    """Any result of a search by reference is accepted, another transaction's too."""

    connection = _UnverifiedSearchConnection


class _HeaderQuotingHttp(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> PspResponse:
        try:
            return await super().send(method, *path, **content)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{error}, sent with {self._headers}") from None


@register_mutant("secrets.errors_hold_no_private_data[charge-CreditCard]", lesson=40)
class SecretInTheError(Mutant):
    """An error's text quotes the request's headers and enters the workflow history."""

    http = _HeaderQuotingHttp


class _UnbudgetedHttp(PspHttp):
    async def _acquire(self, *, write: bool) -> None:
        if write:
            await super()._acquire(write=write)


@register_mutant("capabilities.a_budget_is_asked_before_every_request")
class ReadsIgnoreTheBudget(Mutant):
    """Reads are sent without asking the rate budget, so that look-ups use up the PSP's limit."""

    http = _UnbudgetedHttp
