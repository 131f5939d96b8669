"""HTTP responses with a body of the contract."""

from collections.abc import Mapping
from datetime import UTC, datetime

from starlette.responses import Response

from api.errors import ApiError
from api.metrics import ERRORS
from integrator.contract import PaymentError, PaymentErrorCode, PaymentTransactionStatus, json_codec
from integrator.contract.base import WireModel

JSON_CONTENT_TYPE = "application/json; charset=utf-8"


def contract_response(
    model: WireModel, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return a response with `model` as its JSON body; counts errors."""
    if isinstance(model, PaymentError):
        ERRORS.labels(model.error_code.name, str(status)).inc()
    return Response(json_codec.encode(model), status, headers, JSON_CONTENT_TYPE)


def error_response(
    status: int,
    code: PaymentErrorCode,
    message: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return a `PaymentError` received at the present time."""
    body = PaymentError(
        error_code=code,
        error_message=message,
        received_at=datetime.now(UTC),
        status=PaymentTransactionStatus.Failed,
    )
    return contract_response(body, status, headers)


def api_error_response(error: ApiError) -> Response:
    """Return the response for an `ApiError`."""
    return error_response(error.status, error.code, error.message, error.headers)


def internal_error_response() -> Response:
    """Return the response for an unexpected error; details are only in the log."""
    return error_response(500, PaymentErrorCode.InternalError, "An unexpected error occurred.")
