"""Stripe's own descriptions of its API, held against every request and answer on the wire.

Requests: the typed parameters of the official `stripe` package (a development dependency, and
pinned to the API version the adapter sends), with closed enumerations. Answers: names and types of
the members in Stripe's published example objects (`data/shapes.json`).
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
# Names that the library's types use without defining them at run time.
_NAMESPACE = {"Mapping": Mapping, "StripeContext": Any}
_NAMES = {
    int: "integer",
    float: "number",
    str: "string",
    bool: "boolean",
    list: "array",
    dict: "object",
}


def route(request: httpx.Request) -> str:
    """`POST payment_intents/*/confirm`."""
    path = request.url.path.partition("/v1/")[2]
    return f"{request.method} {_ID.sub('*', '/' + path)[1:]}"


def asked(request: httpx.Request) -> dict[str, Any]:
    """The decoded parameters."""
    text = request.url.query.decode() if request.method == "GET" else request.content.decode()
    return decode(parse_qsl(text, keep_blank_values=True))


def misfits(request: httpx.Request) -> list[str]:
    """What the official types do not allow; one line each."""
    module, _, name = PARAMETERS[route(request)].rpartition(".")
    return parameter_misfits(module, name, asked(request))


def parameter_misfits(module: str, name: str, given: dict[str, Any]) -> list[str]:
    """As `misfits`, for the class `name` of `stripe.params.<module>`."""
    wanted = getattr(importlib.import_module(f"stripe.params.{module}"), name)
    return list(_of_hash(wanted, given, ""))


def shape_misfits(answer: Any) -> list[str]:
    """Members of Stripe's objects that its examples have with another type; one line each."""
    if isinstance(answer, list):
        return [line for one in answer for line in shape_misfits(one)]
    if not isinstance(answer, dict):
        return []
    kind = answer.get("object")
    known = SHAPES.get(kind, {}) if isinstance(kind, str) else {}
    wrong = [
        f"{kind}.{name}: {known[name]} there, {_NAMES[type(value)]} here"
        for name, value in answer.items()
        if name in known and not _same(name, value, known[name])
    ]
    return [*wrong, *(line for value in answer.values() for line in shape_misfits(value))]


def _same(name: str, value: Any, kind: str) -> bool:
    if value is None or kind == "null":
        return True
    expanded = isinstance(value, dict) and "object" in value
    return expanded or _NAMES[type(value)] == kind


def _options() -> frozenset[str]:
    """What the library takes beside the parameters, and does not send among them."""
    module = importlib.import_module("stripe._request_options")
    return frozenset(module.RequestOptions.__annotations__)


def _of_hash(wanted: Any, given: Any, place: str) -> typing.Iterator[str]:
    if not isinstance(given, dict):
        yield f"{place}: a hash is needed"
        return
    hints = typing.get_type_hints(wanted, localns=_NAMESPACE)
    for name in wanted.__required_keys__ - set(given):
        yield f"{place}[{name}] is missing"
    for name, value in given.items():
        if name not in hints or name in _options():
            yield f"{place}[{name}] is unknown"
        else:
            yield from _of(hints[name], value, f"{place}[{name}]")


def _of(wanted: Any, given: Any, place: str) -> typing.Iterator[str]:
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if typing.is_typeddict(wanted) or hasattr(wanted, "__required_keys__"):
        yield from _of_hash(wanted, given, place)
    elif origin is typing.Literal or getattr(origin, "_name", "") == "Literal":
        if given not in args:
            yield f"{place}: {given} is none of the known values"
    elif origin is list:
        for number, one in enumerate(given if isinstance(given, list) else [None]):
            yield from _of(args[0], one, f"{place}[{number}]")
    elif origin is dict:
        if not isinstance(given, dict) or not all(isinstance(v, str) for v in given.values()):
            yield f"{place}: a map of texts is needed"
    elif origin in (typing.Union, types.UnionType):
        yield from _of_union(args, given, place)
    elif not _fits(wanted, given):
        yield f"{place}: {given!r} is no {getattr(wanted, '__name__', wanted)}"


def _of_union(args: tuple[Any, ...], given: Any, place: str) -> typing.Iterator[str]:
    """The library adds `str` to every enumeration, to be ready for new values: left out here."""
    closed = [a for a in args if typing.get_args(a) not in ((), ("",)) and typing.get_origin(a)]
    enumerated = any("Literal" in str(typing.get_origin(one)) for one in closed)
    choices = [one for one in args if not (enumerated and one is str)]
    hashes = [one for one in choices if hasattr(one, "__required_keys__")]
    if isinstance(given, dict) and hashes:
        choices = hashes
    found = [list(_of(one, given, place)) for one in choices]
    if all(found):
        yield from min(found, key=len)


def _fits(wanted: Any, given: Any) -> bool:
    if wanted is int:
        return isinstance(given, str) and given.isdigit()
    if wanted is bool:
        return given in ("true", "false")
    return wanted is str and isinstance(given, str)
