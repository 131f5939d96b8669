"""The sandbox PSP's calls: addresses, and what an answer holds."""

from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError
from integrator.psp.sandbox.error_codes import error_code
from integrator.psp.sandbox.wire import ErrorBody, ErrorDetail, Listed, WireObject
from integrator.psp.toolkit.client import ApiClient, RefusedError
from integrator.psp.toolkit.http import Answer, classify_failure
from integrator.psp.toolkit.outcomes import failed

T = TypeVar("T", bound=WireObject)

# Somebody on the way, or an overloaded PSP, may say these without knowing what became of the call.
_UNDECIDED = frozenset({401, 403, 408, 425, 429})
_KEY_TAKEN = frozenset({"idempotency_key_in_use", "idempotency_key_reused"})


class SandboxClient(ApiClient):
    """One merchant's access to the PSP's API."""

    root = ("v1",)

    async def find(self, model: type[T], kind: str, reference: str) -> list[T]:
        """All objects of a kind made with our reference."""
        return (await self.require(Listed[model], kind, reference=reference)).data  # type: ignore[valid-type]

    def problem(self, answer: Answer) -> PspError | RefusedError:
        """What an answer other than 2xx means."""
        status = answer.status
        body = answer.try_parse(ErrorBody)
        if body is None or status >= 500 or status == 429:
            return classify_failure(answer, body.error.code if body else None)
        code = body.error.code
        match status, body.error.type:
            case 401, "authentication_error":
                return CredentialsRejected("The PSP does not accept the API key", psp_code=code)
            case 409, "conflict" if code in _KEY_TAKEN:
                # The first call with this key may still take effect, or has already.
                return OutcomeUnknown("The PSP knows this idempotency key", psp_code=code)
            case _ if _is_definite(status, body.error):
                return refusal(status, body)
            case _:
                return classify_failure(answer, code)


def refusal(status: int, body: ErrorBody) -> RefusedError:
    """An issuer's unknown reason is a decline, an unknown one of the PSP's own is wrong data."""
    error = body.error
    default = Code.Rejected if error.type == "card_error" else Code.InvalidData
    code = error_code(error.code, default=default)
    declined = failed(body.object.id if body.object else None, code, error.code, error.message)
    missing = status == 404 and error.code == "not_found"
    return RefusedError(declined, status=status, missing=missing)


def _is_definite(status: int, detail: ErrorDetail) -> bool:
    if status < 400 or status in _UNDECIDED:
        return False
    # A conflict about an object's state decides; one about a key does not.
    return detail.type in ("invalid_request", "card_error") or detail.code == "invalid_state"
