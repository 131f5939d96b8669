"""Exhibits: an answer is taken for what it is not, or says more than it should."""

from typing import Any, TypeVar

from pydantic import BaseModel

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, RateLimited
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.wire import Charge as WireCharge
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.http import Answer, PspHttp
from integrator.psp.types import Charge, Declined, Lookup, Outcome
from tests.conformance.mutants_base import Exhibit, shows

W = TypeVar("W", bound=BaseModel)


class _Exceptional(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        outcome = await super().charge(call)
        if isinstance(outcome, Declined):
            raise OutcomeUnknown(f"The card was refused: {outcome.psp_code}")
        return outcome


@shows("payments.a_payment_is_refused[CreditCard-lacks_funds]")
class DeclineIsAnError(Exhibit):
    """A decline is an exception, and so is tried again and again."""

    connection = _Exceptional


class _Suspicious(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> Answer:
        answer = await super().send(method, *path, **content)
        if answer.status in (401, 403):
            raise CredentialsRejected("The PSP does not accept the API key")
        return answer


@shows("settings.a_page_is_no_rejection[401-page]")
class AnyPageIsLoginError(Exhibit):
    """Any 401 or 403 means wrong credentials: a proxy's page switches the PSP off."""

    http = _Suspicious


class _Definite(SandboxClient):
    async def post(self, model: type[W], *path: str, body: Any, key: str) -> W:
        try:
            return await super().post(model, *path, body=body, key=key)
        except OutcomeUnknown as error:
            if "HTTP 4" not in str(error):
                raise
            declined = Declined(code=Code.InvalidData, psp_code="bad_request")
            raise RefusedError(declined, status=400) from None


@shows("answers.a_page_decides_nothing[charge-CreditCard-403-page]")
class AnyPageIsADecline(Exhibit):
    """Any 4xx is the PSP's definite no, a firewall's page too."""

    client = _Definite


class _WordsOnly(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> Answer:
        answer = await super().send(method, *path, **content)
        if answer.status >= 500 and method != "GET":
            return Answer(400, answer.headers, answer.body)
        return answer


@shows("answers.a_refusal_with_5xx_decides_nothing[charge-CreditCard-503]")
class StatusIsNotLookedAt(Exhibit):
    """An error body decides, although its status says that the PSP broke."""

    http = _WordsOnly


class _Limited(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        try:
            return await super().charge(call)
        except RateLimited:
            return Declined(code=Code.RateLimit)


@shows("answers.throttling_is_no_outcome[charge-CreditCard]")
class ThrottlingIsFailure(Exhibit):
    """A throttled payment has failed."""

    connection = _Limited


class _Trusting(PspHttp):
    async def _exchange(self, method: str, url: str, **content: Any) -> Answer:
        return await super()._exchange(method, url, **{**content, "follow_redirects": True})


@shows("answers.a_redirect_is_not_followed[charge-CreditCard-307]")
class FollowsRedirects(Exhibit):
    """A redirect is followed, with the API key, wherever it leads."""

    http = _Trusting


class _Credulous(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        found = await self._client.find(WireCharge, "charges", lookup.reference)
        if not found:
            return None
        own = lookup.model_copy(update={"reference": found[0].reference or ""})
        return await super().fetch_payment(own.model_copy(update={"psp_id": found[0].id}))


@shows("lookups.a_strangers_payment_is_not_believed[CreditCard]")
class AnyAnswerIsBelieved(Exhibit):
    """Whatever a search by reference answers is believed, another payment too."""

    connection = _Credulous


class _Talkative(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> Answer:
        try:
            return await super().send(method, *path, **content)
        except OutcomeUnknown as error:
            raise OutcomeUnknown(f"{error}, sent with {self._headers}") from None


@shows("secrets.an_error_shows_nothing[charge-CreditCard]", lesson=40)
class SecretInTheError(Exhibit):
    """An error's text quotes the request's headers, and ends up in the history."""

    http = _Talkative
