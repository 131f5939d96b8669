"""Validation of every request and response against Stripe's own descriptions of its API.

Requests: the typed parameters of the official `stripe` package (a development dependency, pinned to
the API version that the adapter sends), with closed enumerations. Responses: names and types of the
members in Stripe's published example objects (`data/shapes.json`).
"""

import importlib
import json
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx

from devtools.sandbox_psp.emulators.stripe.form_encoding import decode

SHAPES: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "data" / "shapes.json").read_text()
)["objects"]
PARAMETERS = {
    "POST checkout/sessions": "checkout._session_create_params.SessionCreateParams",
    "GET checkout/sessions": "checkout._session_list_params.SessionListParams",
    "GET checkout/sessions/*": "checkout._session_retrieve_params.SessionRetrieveParams",
    "POST checkout/sessions/*/expire": "checkout._session_expire_params.SessionExpireParams",
    "POST customers": "_customer_create_params.CustomerCreateParams",
    "POST payment_intents": "_payment_intent_create_params.PaymentIntentCreateParams",
    "GET payment_intents": "_payment_intent_list_params.PaymentIntentListParams",
    "GET payment_intents/search": "_payment_intent_search_params.PaymentIntentSearchParams",
    "GET payment_intents/*": "_payment_intent_retrieve_params.PaymentIntentRetrieveParams",
    "POST payment_intents/*/confirm": "_payment_intent_confirm_params.PaymentIntentConfirmParams",
    "POST payment_intents/*/capture": "_payment_intent_capture_params.PaymentIntentCaptureParams",
    "POST payment_intents/*/cancel": "_payment_intent_cancel_params.PaymentIntentCancelParams",
    "POST setup_intents": "_setup_intent_create_params.SetupIntentCreateParams",
    "GET setup_intents": "_setup_intent_list_params.SetupIntentListParams",
    "GET setup_intents/*": "_setup_intent_retrieve_params.SetupIntentRetrieveParams",
    "GET payment_methods/*": "_payment_method_retrieve_params.PaymentMethodRetrieveParams",
    "GET charges/*": "_charge_retrieve_params.ChargeRetrieveParams",
    "POST refunds": "_refund_create_params.RefundCreateParams",
    "GET refunds": "_refund_list_params.RefundListParams",
    "GET refunds/*": "_refund_retrieve_params.RefundRetrieveParams",
    "GET disputes": "_dispute_list_params.DisputeListParams",
    "GET balance_transactions": "_balance_transaction_list_params.BalanceTransactionListParams",
    "GET events": "_event_list_params.EventListParams",
    "GET account": "_account_retrieve_current_params.AccountRetrieveCurrentParams",
}
_ID = re.compile(r"(?<=/)(?:ch|cs|evt|pi|pm|py|re|seti)_\w+(?=/|$)")
# Names used in the library's types without a definition at run time.
_NAMESPACE = {"Mapping": Mapping, "StripeContext": Any}
_NAMES = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def get_route(request: httpx.Request) -> str:
    """Return the route of a request: `POST payment_intents/*/confirm`."""
    path = request.url.path.partition("/v1/")[2]
    return f"{request.method} {_ID.sub('*', '/' + path)[1:]}"


def decode_parameters(request: httpx.Request) -> dict[str, Any]:
    """Return the decoded parameters of a request."""
    text = request.url.query.decode() if request.method == "GET" else request.content.decode()
    return decode(parse_qsl(text, keep_blank_values=True))


def find_request_errors(request: httpx.Request) -> list[str]:
    """Return what the official types do not allow; one line each."""
    module, _, name = PARAMETERS[get_route(request)].rpartition(".")
    return find_parameter_errors(module, name, decode_parameters(request))


def find_parameter_errors(module: str, name: str, parameters: dict[str, Any]) -> list[str]:
    """Return what is wrong with parameters, for the class `name` of `stripe.params.<module>`."""
    expected = getattr(importlib.import_module(f"stripe.params.{module}"), name)
    return list(_hash_errors(expected, parameters, ""))


def find_shape_errors(response: Any) -> list[str]:
    """Return members whose type differs from Stripe's examples; one line each."""
    if isinstance(response, list):
        return [line for item in response for line in find_shape_errors(item)]
    if not isinstance(response, dict):
        return []
    kind = response.get("object")
    shape = SHAPES.get(kind, {}) if isinstance(kind, str) else {}
    errors = [
        f"{kind}.{name}: {shape[name]} there, {_NAMES[type(value)]} here"
        for name, value in response.items()
        if name in shape and not _has_documented_type(name, value, shape[name])
    ]
    return [*errors, *(line for value in response.values() for line in find_shape_errors(value))]


def _has_documented_type(name: str, value: Any, kind: str) -> bool:
    if value is None or kind == "null":
        return True
    expanded = isinstance(value, dict) and "object" in value
    return expanded or _NAMES[type(value)] == kind


def _request_options() -> frozenset[str]:
    """Return the library's options, which are not sent as parameters."""
    module = importlib.import_module("stripe._request_options")
    return frozenset(module.RequestOptions.__annotations__)


def _hash_errors(expected: Any, value: Any, path: str) -> typing.Iterator[str]:
    if not isinstance(value, dict):
        yield f"{path}: a hash is needed"
        return
    hints = typing.get_type_hints(expected, localns=_NAMESPACE)
    for name in expected.__required_keys__ - set(value):
        yield f"{path}[{name}] is missing"
    for name, member in value.items():
        if name not in hints or name in _request_options():
            yield f"{path}[{name}] is unknown"
        else:
            yield from _value_errors(hints[name], member, f"{path}[{name}]")


def _value_errors(expected: Any, value: Any, path: str) -> typing.Iterator[str]:
    origin, args = typing.get_origin(expected), typing.get_args(expected)
    if typing.is_typeddict(expected) or hasattr(expected, "__required_keys__"):
        yield from _hash_errors(expected, value, path)
    elif origin is typing.Literal or getattr(origin, "_name", "") == "Literal":
        if value not in args:
            yield f"{path}: {value} is none of the known values"
    elif origin is list:
        for number, item in enumerate(value if isinstance(value, list) else [None]):
            yield from _value_errors(args[0], item, f"{path}[{number}]")
    elif origin is dict:
        if not isinstance(value, dict) or not all(isinstance(v, str) for v in value.values()):
            yield f"{path}: a map of texts is needed"
    elif origin in (typing.Union, types.UnionType):
        yield from _union_errors(args, value, path)
    elif not _has_type(expected, value):
        yield f"{path}: {value!r} is no {getattr(expected, '__name__', expected)}"


def _union_errors(args: tuple[Any, ...], value: Any, path: str) -> typing.Iterator[str]:
    """Yield the errors of the closest choice.

    The library adds `str` to every enumeration to allow new values; it is ignored here.
    """
    closed = [a for a in args if typing.get_args(a) not in ((), ("",)) and typing.get_origin(a)]
    enumerated = any("Literal" in str(typing.get_origin(item)) for item in closed)
    choices = [item for item in args if not (enumerated and item is str)]
    hashes = [item for item in choices if hasattr(item, "__required_keys__")]
    if isinstance(value, dict) and hashes:
        choices = hashes
    errors_by_choice = [list(_value_errors(item, value, path)) for item in choices]
    if all(errors_by_choice):
        yield from min(errors_by_choice, key=len)


def _has_type(expected: Any, value: Any) -> bool:
    if expected is int:
        return isinstance(value, str) and value.isdigit()
    if expected is bool:
        return value in ("true", "false")
    return expected is str and isinstance(value, str)
