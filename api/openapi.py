"""The OpenAPI document: the contract's schemas and examples, and every error of an endpoint."""

from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.contract_response import JSON_CONTENT_TYPE
from integrator.contract import (
    FinalizePreauthRequest,
    IntegrationInfoResponse,
    IntegrationSettingsResponse,
    PaymentCancellationRequest,
    PaymentCancellationResponse,
    PaymentError,
    PaymentRequest,
    PaymentResponse,
    PreauthRequest,
    PreauthResponse,
    RefundRequest,
    RefundResponse,
    ThirdPartyMerchantPspSettings,
)
from integrator.contract.base import WireModel

MODELS: tuple[type[WireModel], ...] = (
    FinalizePreauthRequest,
    IntegrationInfoResponse,
    IntegrationSettingsResponse,
    PaymentCancellationRequest,
    PaymentCancellationResponse,
    PaymentError,
    PaymentRequest,
    PaymentResponse,
    PreauthRequest,
    PreauthResponse,
    RefundRequest,
    RefundResponse,
    ThirdPartyMerchantPspSettings,
)

ERRORS = {
    400: "The body is not JSON, or a member has the wrong JSON type.",
    401: "The bearer token is missing or wrong, or the PSP rejects the merchant's credentials.",
    403: "The request came over plain HTTP, and this address serves HTTPS only.",
    404: "No such resource.",
    408: "The request did not arrive in time.",
    413: "The body is larger than 256 KB; of a notification, than its PSP sends.",
    415: "The body is not declared as JSON.",
    422: "The request contains or names something that cannot be right, or the PSP declined.",
    429: "Too many requests (`RateLimit`, with `Retry-After`; nothing was done), or a limit of the "
    "payment method is exceeded (`LimitExceeded`).",
    500: "The state forbids the operation, the PSP or its configuration failed, or we did.",
    503: "Out of reach at the moment; the request may be repeated as it is.",
}

TOKEN_ERRORS = {
    400: "The form is wrong: `invalid_request`, `unsupported_grant_type` or `invalid_scope`.",
    401: "The client is unknown or revoked, or its secret is wrong: `invalid_client`.",
    408: "The request did not arrive in time: `invalid_request`.",
    413: "The body is larger than 256 KB: `invalid_request`.",
    429: "Too many requests: `temporarily_unavailable`, with `Retry-After`.",
    503: "Out of reach at the moment: `temporarily_unavailable`.",
}

_TOKEN_ERROR: dict[str, Any] = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
TAGS = {
    "Integration": "Payment methods and features that the merchant's PSP offers.",
    "Settings": "The merchant's settings at its PSP.",
    "Preauth": "Reservations, stored payment data and mandates.",
    "Payment": "Captures of preauths and charges of agreements.",
    "Refund": "Refunds of payments.",
    "Notifications": "The addresses that PSPs send their notifications to.",
    "OAuth 2.0": "Access tokens for OAuth clients.",
    "Operations": "Health checks for supervisors and load balancers.",
}

CONTACT = {"name": "Operator of this Payment Integrator"}

_REF = "#/components/schemas/{model}"
_DESCRIPTION = """
The REST contract between Billwerk+ Transform and a payment service provider.

Every path may also be written without `/api`, and its fixed words in any letter case. Member
names are read in any case. A transaction that failed is answered with a `PaymentError`, by POST
and by every later GET.
"""


def body(model: type[WireModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that reads `model`."""
    return {"requestBody": {"required": True, "content": _content(model)}}


def any_body(model: type[WireModel]) -> dict[str, Any]:
    """Return the `openapi_extra` of an endpoint that ignores its body; callers send `model`."""
    schema = _content(model)["application/json"]["schema"]
    content = {"application/json": {"schema": {"anyOf": [schema, {}]}}}
    return {"requestBody": {"required": False, "content": content}}


def answers(model: type[WireModel], *errors: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of an endpoint: `model`, or one of the errors."""
    success: dict[int | str, dict[str, Any]] = {
        200: {"description": "Success", "content": _content(model)}
    }
    return success | failures(*errors)


def failures(*errors: int) -> dict[int | str, dict[str, Any]]:
    """Return `responses` for the error statuses, and for those that any endpoint may have."""
    return {
        status: {"description": ERRORS[status], "content": _content(PaymentError)}
        for status in _add_common_errors(errors)
    }


def token_errors() -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of the token endpoint: errors of RFC 6749, section 5.2."""
    content = {"application/json": {"schema": _TOKEN_ERROR}}
    responses: dict[int | str, dict[str, Any]] = {
        status: {"description": text, "content": content} for status, text in TOKEN_ERRORS.items()
    }
    return failures() | responses


def document(app: FastAPI, public_url: str) -> dict[str, Any]:
    """Return the OpenAPI document, built on first use."""
    if app.openapi_schema is None:
        openapi = get_openapi(
            title=app.title,
            version=app.version,
            description=_DESCRIPTION,
            routes=app.routes,
            tags=[{"name": name, "description": text} for name, text in TAGS.items()],
            servers=[{"url": public_url}],
            contact=CONTACT,
        )
        schemas = openapi.setdefault("components", {}).setdefault("schemas", {})
        for generated in ("HTTPValidationError", "ValidationError"):
            schemas.pop(generated, None)
        _, contract = models_json_schema(
            [(model, "validation") for model in MODELS], ref_template=_REF
        )
        schemas.update(contract["$defs"])
        _add_client_credentials(openapi, public_url)
        app.openapi_schema = openapi
    return app.openapi_schema


def _add_common_errors(errors: Iterable[int]) -> list[int]:
    """Add plain HTTP and the rate limit, and a timeout for endpoints that read a body."""
    statuses = {403, 429, *errors}
    if 413 in statuses:
        statuses.add(408)
    return sorted(statuses)


def _add_client_credentials(openapi: dict[str, Any], public_url: str) -> None:
    """Add the token endpoint to every operation that requires a bearer token."""
    openapi["components"]["securitySchemes"]["OAuth2"] = {
        "type": "oauth2",
        "flows": {"clientCredentials": {"tokenUrl": f"{public_url}/oauth/token", "scopes": {}}},
    }
    for operations in openapi["paths"].values():
        for operation in operations.values():
            if operation.get("security"):
                operation["security"].append({"OAuth2": []})


def _content(model: type[WireModel]) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    if model.schema_examples:
        media["examples"] = {
            f"example{number}": {"value": example}
            for number, example in enumerate(model.schema_examples, start=1)
        }
    return {JSON_CONTENT_TYPE.partition(";")[0]: media}
