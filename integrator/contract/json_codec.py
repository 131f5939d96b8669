"""JSON codec of the contract: strict parsing, exact serialization, request fingerprints."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NoReturn, TypeVar

import simplejson
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from integrator.contract.base import WireModel, is_omittable
from integrator.contract.enums import PaymentErrorCode, WireEnum
from integrator.contract.errors import InvalidField, WireError
from integrator.contract.fields import ExponentNumber, format_time
from integrator.contract.requests import PaymentRequest, PreauthRequest, RefundRequest
from integrator.contract.validation_errors import INVALID_VALUE, WRONG_TYPE

__all__ = [
    "InvalidField",
    "WireError",
    "decode",
    "dump",
    "encode",
    "fingerprint",
    "format_time",
    "parse",
    "validate",
]

MAX_DEPTH: Final = 32

_Model = TypeVar("_Model", bound=WireModel)
_STRING = r'"(?:[^"\\]++|\\.)*+"?'
_STRUCTURE = re.compile(_STRING + r"|[\[{]|[\]}]", re.DOTALL)
# A comma with nothing before it is kept, so that the parser refuses it.
_COMMAS = re.compile(_STRING + r"|[\[{,:][ \t\r\n]*+,|,(?=[ \t\r\n]*+[\]}])", re.DOTALL)
_UNSAFE_ESCAPE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")
_SURROGATE_OR_NUL = re.compile("[\x00\ud800-\udfff]")

# --- reading ---------------------------------------------------------------------------------


def decode(body: bytes) -> Any:
    """Return the Python value of a JSON text in UTF-8 (a byte order mark is accepted).

    Numbers are `int`, `Decimal`, or `ExponentNumber` if written with an exponent; never float.
    Trailing commas are accepted; of members with the same name the last one counts. Raises
    `WireError` for anything else that is not JSON (comments, NaN), for nesting deeper than 32
    levels, and for text that has no UTF-8 form or contains U+0000.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WireError("The body is not UTF-8 text.") from None
    _check_depth(text)
    value = _parse_text(text)
    if _UNSAFE_ESCAPE.search(text):
        _check_characters(value)
    return value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for match in _STRUCTURE.finditer(text):
        mark = match[0]
        if mark in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise WireError(f"The body is nested more than {MAX_DEPTH} levels deep.")
        elif mark in "]}":
            depth -= 1


def _parse_text(text: str) -> Any:
    try:
        try:
            return _DECODER.decode(text)
        except json.JSONDecodeError:
            repaired = _COMMAS.sub(_blank_trailing_comma, text)
            return _DECODER.decode(repaired)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise WireError(f"The body is not valid JSON: {error.msg} ({place}).") from None
    except ValueError:
        raise WireError("The body contains a number that is too long.") from None


def _blank_trailing_comma(match: re.Match[str]) -> str:
    return " " if match[0] == "," else match[0]


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        members = {}
        for name, value in pairs:
            # Removed first, so that members are in the order of their last occurrence.
            members.pop(name, None)
            members[name] = value
    return members


def _parse_number(literal: str) -> Decimal | ExponentNumber:
    if "e" in literal or "E" in literal:
        return ExponentNumber(literal)
    return Decimal(literal)


def _reject_constant(_name: str) -> NoReturn:
    raise WireError("The body is not valid JSON: NaN and Infinity are not allowed.")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_build_object, parse_float=_parse_number, parse_constant=_reject_constant
)


def _check_characters(value: Any) -> None:
    """Refuse lone surrogates and NUL, which UTF-8 or a database cannot store."""
    if isinstance(value, str):
        if _SURROGATE_OR_NUL.search(value):
            raise WireError("The body contains a character that is not allowed in text.")
    elif isinstance(value, dict):
        for name, member in value.items():
            _check_characters(name)
            _check_characters(member)
    elif isinstance(value, list):
        for item in value:
            _check_characters(item)


_PEER_CONTEXT: Final = {"wire": True}
_TYPE_MESSAGES: Final = {
    "string_type": "must be text",
    "bool_type": "must be true or false",
    "tuple_type": "must be an array",
    "model_type": "must be an object",
    "dict_type": "must be an object",
}


def parse(model_type: type[_Model], body: bytes) -> _Model:
    """Parse the JSON text of a request into a model.

    Raises `WireError` (HTTP 400) for malformed JSON or a wrong JSON type, and `InvalidField`
    (HTTP 422) for a missing member or a value that is not allowed. Messages name the member and
    never show its value.
    """
    return validate(model_type, decode(body))


def validate(model_type: type[_Model], value: Any) -> _Model:
    """Parse JSON that is decoded already, like `parse`."""
    if not isinstance(value, dict):
        raise WireError("The body must be a JSON object.")
    try:
        return model_type.model_validate(value, context=_PEER_CONTEXT)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
    raise _select_error(problems)


def _select_error(problems: list[ErrorDetails]) -> WireError | InvalidField:
    """Return the error of the first wrong type, else of the first problem."""
    for problem in problems:
        if problem["type"] == WRONG_TYPE or problem["type"] in _TYPE_MESSAGES:
            message = _TYPE_MESSAGES.get(problem["type"], problem["msg"])
            return WireError(f"{_format_path(problem['loc'])} {message}.")
    problem = problems[0]
    if problem["type"] == "missing":
        return InvalidField(
            PaymentErrorCode.InvalidData, f"{_format_path(problem['loc'])} is required."
        )
    if problem["type"] != INVALID_VALUE:
        message = f"{_format_path(problem['loc'])} is not valid."
        return InvalidField(PaymentErrorCode.InvalidData, message)
    context = problem["ctx"]
    path = _format_path(
        (*problem["loc"], context["member"]) if context["member"] else problem["loc"]
    )
    return InvalidField(PaymentErrorCode[context["code"]], f"{path} {problem['msg']}.")


def _format_path(location: tuple[int | str, ...]) -> str:
    """Return the path of a member, such as `invoiceData.lineItems[0].taxCategory`."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location)
    return path.removeprefix(".") or "The body"


# --- writing ---------------------------------------------------------------------------------

_ENCODER: Final = simplejson.JSONEncoder(
    use_decimal=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
)


def encode(model: WireModel) -> bytes:
    """Return the JSON text of `model` in UTF-8.

    Absent members and empty optional collections are left out; everything else is written, zeros
    and empty mandatory arrays included. Decimals keep their scale and have no exponent.
    """
    return dump(_serialize_model(model))


def dump(value: Any) -> bytes:
    """Return the JSON text in UTF-8 of dict, list, str, int, bool, None and Decimal values."""
    return _ENCODER.encode(value).encode("utf-8")


@cache
def _member_plan(model_type: type[WireModel]) -> tuple[tuple[str, str, bool], ...]:
    """Return attribute, JSON name and whether it may be left out, per member."""
    return tuple(
        (name, field.alias or name, is_omittable(field))
        for name, field in model_type.model_fields.items()
    )


def _serialize_model(model: WireModel) -> dict[str, Any]:
    members = {}
    for name, alias, optional in _member_plan(type(model)):
        value = getattr(model, name)
        if value is None or (optional and (value == () or value == {})):
            continue
        members[alias] = _serialize_value(value)
    return members


def _serialize_value(value: Any) -> Any:
    """Return a member's value in a form that the encoder can write."""
    serialize = _SERIALIZERS.get(type(value))
    if serialize is not None:
        return serialize(value)
    if isinstance(value, WireModel):
        return _serialize_model(value)
    if isinstance(value, WireEnum):
        return value.name
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _identity(value: Any) -> Any:
    return value


def _serialize_decimal(value: Decimal) -> Any:
    text = str(value)
    return simplejson.RawJSON(format(value, "f")) if "E" in text else value


def _serialize_items(items: tuple[Any, ...]) -> list[Any]:
    return [_serialize_value(item) for item in items]


_SERIALIZERS: Final[Mapping[type, Callable[[Any], Any]]] = {
    str: _identity,
    bool: _identity,
    int: _identity,
    dict: _identity,
    Decimal: _serialize_decimal,
    datetime: format_time,
    date: date.isoformat,
    tuple: _serialize_items,
}

# --- idempotency -----------------------------------------------------------------------------


def fingerprint(request: PreauthRequest | PaymentRequest | RefundRequest) -> str:
    """Return the SHA-256 (hex) of the data by which a repeated request is recognised.

    Covers kind, amount (10 equals 10.00), currency, agreement, the preauth or payment referred
    to, role and `isInitial`; not texts, payer or payment data. Stored for ever: never change it.
    """
    content = {
        "amount": _canonical_amount(request.requested_amount),
        "currency": request.currency,
        **_references(request),
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _canonical_amount(amount: Decimal) -> str:
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _references(request: PreauthRequest | PaymentRequest | RefundRequest) -> dict[str, Any]:
    if isinstance(request, RefundRequest):
        return {"kind": "refund", "payment": request.payment_transaction_id}
    references: dict[str, Any] = {
        "agreement": request.agreement_id,
        "role": request.payment_means_reference.role.name,
    }
    if isinstance(request, PreauthRequest):
        return {**references, "kind": "preauth", "initial": request.is_initial}
    return {**references, "kind": "payment", "preauth": request.preauth_transaction_id}
