"""API client of the sandbox PSP and classification of its errors."""

from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError
from integrator.psp.sandbox.error_codes import error_code
from integrator.psp.sandbox.wire import ErrorBody, ErrorDetail, ObjectList, WireObject
from integrator.psp.toolkit.client import ApiClient, RefusedError
from integrator.psp.toolkit.http import PspResponse, classify_failure
from integrator.psp.toolkit.outcomes import failed_outcome

T = TypeVar("T", bound=WireObject)

# A proxy or an overloaded PSP may send these without knowing the outcome of the call.
_AMBIGUOUS_STATUSES = frozenset({401, 403, 408, 425, 429})
_KEY_CONFLICTS = frozenset({"idempotency_key_in_use", "idempotency_key_reused"})


class SandboxClient(ApiClient):
    """API client for one merchant."""

    path_prefix = ("v1",)

    async def find_by_reference(self, model: type[T], kind: str, reference: str) -> list[T]:
        """Return all objects of a kind created with our reference."""
        return (await self.get_required(ObjectList[model], kind, reference=reference)).data  # type: ignore[valid-type]

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return the exception for a response other than 2xx."""
        status = response.status
        body = response.try_parse(ErrorBody)
        if body is None or status >= 500 or status == 429:
            return classify_failure(response, body.error.code if body else None)
        code = body.error.code
        match status, body.error.type:
            case 401, "authentication_error":
                return CredentialsRejected("The PSP rejected the API key", psp_code=code)
            case 409, "conflict" if code in _KEY_CONFLICTS:
                # The first call with this key may have taken effect or may still do so.
                return OutcomeUnknown(
                    "The PSP has already received this idempotency key", psp_code=code
                )
            case _ if _is_definite(status, body.error):
                return build_refusal(status, body)
            case _:
                return classify_failure(response, code)


def build_refusal(status: int, body: ErrorBody) -> RefusedError:
    """Build the refusal for an error body.

    An unknown code is a rejection if it is the issuer's, and invalid data if it is the PSP's own.
    """
    error = body.error
    default = Code.Rejected if error.type == "card_error" else Code.InvalidData
    code = error_code(error.code, default=default)
    declined = failed_outcome(
        body.object.id if body.object else None, code, error.code, error.message
    )
    missing = status == 404 and error.code == "not_found"
    return RefusedError(declined, status=status, missing=missing)


def _is_definite(status: int, detail: ErrorDetail) -> bool:
    if status < 400 or status in _AMBIGUOUS_STATUSES:
        return False
    # A conflict with an object's state is definite; one about an idempotency key is not.
    return detail.type in ("invalid_request", "card_error") or detail.code == "invalid_state"
