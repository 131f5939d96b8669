"""Contract models as HTTP responses."""

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import Response

from api.errors import ApiError
from api.metrics import ERRORS
from integrator.contract import PaymentError, PaymentErrorCode, PaymentTransactionStatus, json_codec
from integrator.contract.base import WireModel

JSON = "application/json; charset=utf-8"


def answer(
    model: WireModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The one way anything of the contract leaves this service."""
    if isinstance(model, PaymentError):
        ERRORS.labels(model.error_code.name, str(status)).inc()
    return Response(json_codec.encode(model), status, headers, JSON)


def error_answer(
    status: int,
    code: PaymentErrorCode,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error that arises now."""
    body = PaymentError(
        error_code=code,
        error_message=message,
        received_at=datetime.now(UTC),
        status=PaymentTransactionStatus.Failed,
    )
    return answer(body, status, headers)


def refusal(error: ApiError) -> Response:
    """The answer to a refused request."""
    return error_answer(error.status, error.code, error.message, error.headers)


def internal_error() -> Response:
    """Says nothing about what went wrong: that is for the log."""
    return error_answer(500, PaymentErrorCode.InternalError, "An unexpected error occurred.")
