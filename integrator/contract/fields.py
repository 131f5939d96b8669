"""Types of the members: how each JSON type of the contract is read, bounded and described.

All are ordinary Python types to the code that uses a model (`Decimal`, `str`, `datetime`, ...).
Numbers are never binary floats; times are aware and in UTC.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    Strict,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from integrator.contract.ids import TRANSACTION_ID_PATTERN, is_transaction_id
from integrator.contract.money import is_currency
from integrator.contract.validation_errors import invalid, wrong_type

LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)
AMOUNT_LIMIT: Final = Decimal(10) ** 12
AGREEMENT_ID_LENGTH: Final = 255
_MAX_DIGITS: Final = 28
_MAX_INTEGER: Final = 2**31

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_EXPONENT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?[eE][+-]?[0-9]+")
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,7}))?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-5][0-9])?)?"
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NOT_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


class ExponentNumber:
    """A JSON number written with an exponent: kept, so that only a member that needs it fails."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def on_the_wire(info: ValidationInfo) -> bool:
    """Whether the data comes from a peer, rather than from our own code or storage."""
    return bool(info.context and info.context.get("wire"))


def _decimal(value: object, code: str) -> Decimal:
    """`value` (JSON number, quoted number or Decimal) as a finite Decimal without an exponent."""
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str):
        number = _quoted_number(value, code)
    elif isinstance(value, ExponentNumber):
        raise _has_exponent(code)
    else:
        raise wrong_type("must be a number")
    return _bounded(number, code)


def _has_exponent(code: str) -> PydanticCustomError:
    return invalid("must be written without an exponent", code)


def _quoted_number(text: str, code: str) -> Decimal:
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    raise _has_exponent(code) if _EXPONENT.fullmatch(text) else wrong_type("must be a number")


def _bounded(number: Decimal, code: str) -> Decimal:
    """`number` without exponent and without a negative zero, if it is finite and of sane length."""
    if not number.is_finite():
        raise invalid("must be a finite number", code)
    _, digits, power = number.as_tuple()
    if len(digits) > _MAX_DIGITS or not -_MAX_DIGITS <= int(power) <= _MAX_DIGITS:
        raise invalid("has too many digits", code)
    if int(power) > 0:
        number = Decimal(format(number, "f"))
    return number.copy_abs() if number.is_zero() else number


def _amount(value: object) -> Decimal:
    return _decimal(value, "InvalidAmount")


def _number(value: object) -> Decimal:
    return _decimal(value, "InvalidData")


def _integer(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, Decimal | ExponentNumber):
        raise invalid("must be an integer")
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type("must be an integer")
    if not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise invalid("is too large")
    return value


def _below_limit(value: Decimal) -> Decimal:
    if value >= AMOUNT_LIMIT:
        raise invalid("is too large", "InvalidAmount")
    return value


def _not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise invalid("must not be negative", "InvalidAmount")
    return _below_limit(value)


def _positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise invalid("must be greater than zero", "InvalidAmount")
    return _below_limit(value)


def _currency(value: str, info: ValidationInfo) -> str:
    # The list of currencies shrinks over the years. What was accepted once has to stay readable,
    # so only what a peer sends is compared with it.
    if on_the_wire(info) and not is_currency(value):
        raise invalid("must be an upper-case ISO 4217 currency code", "InvalidCurrency")
    return value


def _transaction_id(value: str) -> str:
    if not is_transaction_id(value):
        raise invalid("must be 24 hexadecimal digits, optionally preceded by yyyyMMdd-")
    return value


def _blank_is_absent(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise invalid("must not be blank")
    return value


def _agreement_id(value: str) -> str:
    if len(value) > AGREEMENT_ID_LENGTH or _CONTROL.search(value):
        raise invalid(f"must be at most {AGREEMENT_ID_LENGTH} printable characters")
    return _not_blank(value)


def _absolute_url(value: str) -> str:
    if not is_absolute_http_url(value):
        raise invalid("must be an absolute http or https URL")
    return value


def is_absolute_http_url(text: str) -> bool:
    """Whether `text` has the syntax of an absolute http(s) URL with a host."""
    if _NOT_IN_URL.search(text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _text_map(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise wrong_type("must be an object")
    entries = {key: text for key, text in value.items() if text is not None}
    if not all(isinstance(text, str) for text in entries.values()):
        raise wrong_type("must have text values only")
    return entries


def _sorted_by_key(value: dict[str, str]) -> dict[str, str]:
    return dict(sorted(value.items()))


def _date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise wrong_type("must be a date of the form yyyy-MM-dd")


def _time(value: object) -> datetime:
    moment = _parse_time(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise wrong_type("must be an ISO 8601 time with at most 7 fraction digits")
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise wrong_type("must be a time between the years 1 and 9999") from None


def _parse_time(text: str) -> datetime | None:
    """The time `text` stands for; UTC if it names no offset, None if it is not a time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    # Python counts microseconds: the seventh digit (100 ns) is cut off, never rounded up.
    microseconds = (match["fraction"] or "").ljust(7, "0")[:6]
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    try:
        clock = time(hour, minute, second, int(microseconds), _zone(match["zone"]))
        return datetime.combine(date.fromisoformat(match["date"]), clock)
    except ValueError:
        return None


def _zone(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def format_time(moment: datetime) -> str:
    """An aware time in UTC, with 7 fraction digits.

    Python's last moment is written as the platform's, which is 900 ns later. Raises `TypeError`
    for a time without a zone.
    """
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise TypeError("a time without a zone has no form on the wire")
        moment = moment.astimezone(UTC)
    if moment == LAST_MOMENT:
        return "9999-12-31T23:59:59.9999999Z"
    return f"{moment.isoformat(timespec='microseconds')[:26]}0Z"


def _plain_text(value: Decimal) -> str:
    return format(value, "f")


def _number_schema(**extra: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", **extra})


_DECIMAL_AS_TEXT = PlainSerializer(_plain_text, return_type=str, when_used="json")
_AMOUNT_SCHEMA = _number_schema(examples=[49.90])
_BELOW: Final[dict[str, Any]] = {"exclusiveMaximum": int(AMOUNT_LIMIT), "examples": [49.90]}

Flag = Annotated[bool, Strict()]
Integer = Annotated[int, PlainValidator(_integer), WithJsonSchema({"type": "integer"})]
Number = Annotated[Decimal, PlainValidator(_number), _DECIMAL_AS_TEXT, _number_schema()]
Amount = Annotated[Decimal, PlainValidator(_amount), _DECIMAL_AS_TEXT, _AMOUNT_SCHEMA]
AmountFromZero = Annotated[
    Amount, AfterValidator(_not_negative), _number_schema(minimum=0, **_BELOW)
]
PositiveAmount = Annotated[
    Amount, AfterValidator(_positive), _number_schema(exclusiveMinimum=0, **_BELOW)
]
Currency = Annotated[
    str,
    AfterValidator(_currency),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"]}),
]
TransactionId = Annotated[
    str,
    AfterValidator(_transaction_id),
    WithJsonSchema({"type": "string", "pattern": TRANSACTION_ID_PATTERN}),
]
OptionalTransactionId = Annotated[TransactionId | None, BeforeValidator(_blank_is_absent)]
AgreementId = Annotated[
    str,
    AfterValidator(_agreement_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": AGREEMENT_ID_LENGTH}),
]
NonBlankText = Annotated[
    str, AfterValidator(_not_blank), WithJsonSchema({"type": "string", "minLength": 1})
]
Url = Annotated[
    str, AfterValidator(_absolute_url), WithJsonSchema({"type": "string", "format": "uri"})
]
OptionalUrl = Annotated[Url | None, BeforeValidator(_blank_is_absent)]
TextMap = Annotated[dict[str, str], BeforeValidator(_text_map)]
SortedTextMap = Annotated[TextMap, AfterValidator(_sorted_by_key)]
Date = Annotated[
    date,
    PlainValidator(_date),
    PlainSerializer(date.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date"}),
]
Time = Annotated[
    datetime,
    PlainValidator(_time),
    PlainSerializer(format_time, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-01-15T09:00:01.2345670Z"]}
    ),
]
