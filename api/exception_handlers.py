"""From the exceptions that may leave an endpoint to the contract's error body."""

import logging
from collections.abc import Sequence

from fastapi import FastAPI, Request
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.contract_response import error_answer, refusal
from api.errors import ApiError, MalformedBody, RequestRejected, ServiceUnavailable, precondition
from integrator.contract import PaymentErrorCode
from integrator.psp.registry import UnknownPsp
from integrator.store import Erased, StoreUnavailable

log = logging.getLogger(__name__)


def install(app: FastAPI, routes: Sequence[APIRoute], prefix: str) -> None:
    """Register all handlers; whatever else is raised is an unexpected error.

    `routes` are those below `prefix`, for the answer to a wrong method.
    """

    async def no_such_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, StarletteHTTPException)  # noqa: S101 - narrows the type
        headers = dict(error.headers or {})
        path = request.url.path.removeprefix(prefix)
        meant = [route for route in routes if route.path.lower() == path.lower()]
        fitting = meant or [route for route in routes if route.path_regex.match(path)]
        methods = {method for route in fitting for method in route.methods or ()}
        if error.status_code == 405 and methods:
            # The framework names the methods of the first route only.
            headers["Allow"] = ", ".join(sorted(methods))
        code, text = PaymentErrorCode.InvalidData, f"{error.detail}."
        return error_answer(error.status_code, code, text, headers)

    app.add_exception_handler(ApiError, _refused)
    app.add_exception_handler(StoreUnavailable, _store_away)
    app.add_exception_handler(Erased, _erased)
    app.add_exception_handler(UnknownPsp, _unknown_psp)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(StarletteHTTPException, no_such_route)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - narrows the type
    if isinstance(error, ServiceUnavailable):
        log.warning("Temporal is away: %s", error.__cause__ or "the start never arrived")
    return refusal(error)


async def _store_away(_request: Request, error: Exception) -> Response:
    log.warning("The store is away: %s", error)
    return refusal(ServiceUnavailable())


async def _erased(_request: Request, _error: Exception) -> Response:
    return refusal(precondition("The data of the agreement has been erased."))


async def _unknown_psp(_request: Request, error: Exception) -> Response:
    log.error("%s", error)
    message = "The PSP of this merchant account is not available."
    return refusal(RequestRejected(PaymentErrorCode.InvalidConfiguration, message))


async def _disconnected(_request: Request, _error: Exception) -> Response:
    return refusal(MalformedBody("The body is incomplete."))
