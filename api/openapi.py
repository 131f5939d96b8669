"""The OpenAPI document: the contract's schemas and examples, and every error of an endpoint."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from api.answers import JSON
from contract import (
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
from contract.base import WireModel

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
    404: "No such resource.",
    413: "The body is larger than 256 KB.",
    415: "The body is not declared as JSON.",
    422: "The request contains or names something that cannot be right, or the PSP declined.",
    429: "A limit of the payment method is exceeded (`LimitExceeded`).",
    500: "The state forbids the operation, the PSP or its configuration failed, or we did.",
    503: "Out of reach at the moment; the request may be repeated as it is.",
}

_REF = "#/components/schemas/{model}"
_DESCRIPTION = """
The REST contract between Billwerk+ Transform and a payment service provider.

Every path may also be written without `/api`, and its fixed words in any letter case. Member
names are read in any case. A transaction that failed is answered with a `PaymentError`, by POST
and by every later GET.
"""


def body(model: type[WireModel], *, required: bool = True) -> dict[str, Any]:
    """`openapi_extra` of an endpoint that reads `model`."""
    return {"requestBody": {"required": required, "content": _content(model)}}


def answers(model: type[WireModel], *errors: int) -> dict[int | str, dict[str, Any]]:
    """`responses` of an endpoint that answers with `model` or one of the errors."""
    found: dict[int | str, dict[str, Any]] = {
        200: {"description": "Success", "content": _content(model)}
    }
    return found | failures(*errors)


def failures(*errors: int) -> dict[int | str, dict[str, Any]]:
    """`responses` for the given error statuses."""
    return {
        status: {"description": ERRORS[status], "content": _content(PaymentError)}
        for status in errors
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        made = get_openapi(
            title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes
        )
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for generated in ("HTTPValidationError", "ValidationError"):
            schemas.pop(generated, None)
        _, contract = models_json_schema(
            [(model, "validation") for model in MODELS], ref_template=_REF
        )
        schemas.update(contract["$defs"])
        app.openapi_schema = made
    return app.openapi_schema


def _content(model: type[WireModel]) -> dict[str, Any]:
    media: dict[str, Any] = {"schema": {"$ref": _REF.format(model=model.__name__)}}
    if model.schema_examples:
        media["examples"] = {
            f"example{number}": {"value": example}
            for number, example in enumerate(model.schema_examples, start=1)
        }
    return {JSON.partition(";")[0]: media}
