"""Handlers that turn exceptions of endpoints into the contract's error body."""

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.contract_response import api_error_response, error_response
from api.errors import (
    ApiError,
    MalformedBody,
    RequestRejected,
    ServiceUnavailable,
    invalid_precondition,
)
from integrator.contract import PaymentErrorCode
from integrator.psp.registry import UnknownPsp
from integrator.store import Erased, StoreUnavailable

log = logging.getLogger(__name__)


def install(app: FastAPI, routes: Sequence[APIRoute], prefix: str) -> None:
    """Register all handlers; any other exception is an unexpected error.

    `routes` are those below `prefix`, for the response to a wrong method.
    """

    async def handle_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)  # noqa: S101 - narrows the type
        headers = dict(error.headers or {})
        path = request.url.path.removeprefix(prefix)
        same_path = [route for route in routes if route.path.lower() == path.lower()]
        matching = same_path or [route for route in routes if route.path_regex.match(path)]
        methods = {method for route in matching for method in route.methods or ()}
        if error.status_code == 405 and methods:
            # FastAPI names the methods of the first route only.
            headers["Allow"] = ", ".join(sorted(methods))
        code, text = PaymentErrorCode.InvalidData, f"{error.detail}."
        return error_response(error.status_code, code, text, headers)

    app.add_exception_handler(ApiError, _handle_api_error)
    app.add_exception_handler(StoreUnavailable, _handle_store_unavailable)
    app.add_exception_handler(Erased, _handle_erased)
    app.add_exception_handler(UnknownPsp, _handle_unknown_psp)
    app.add_exception_handler(ClientDisconnect, _handle_disconnect)
    app.add_exception_handler(StarletteHTTPException, handle_http_exception)


async def _handle_api_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - narrows the type
    if isinstance(error, ServiceUnavailable):
        log.warning("Temporal is unavailable: %s", error.__cause__ or "the start did not arrive")
    return api_error_response(error)


async def _handle_store_unavailable(_request: Request, error: Exception) -> Response:
    log.warning("The store is unavailable: %s", error)
    return api_error_response(ServiceUnavailable())


async def _handle_erased(_request: Request, _error: Exception) -> Response:
    return api_error_response(invalid_precondition("The data of the agreement has been erased."))


async def _handle_unknown_psp(_request: Request, error: Exception) -> Response:
    log.error("%s", error)
    message = "The PSP of this merchant account is not available."
    return api_error_response(RequestRejected(PaymentErrorCode.InvalidConfiguration, message))


async def _handle_disconnect(_request: Request, _error: Exception) -> Response:
    return api_error_response(MalformedBody("The body is incomplete."))
