"""Types of the members: how each JSON type of the contract is parsed, limited and described.

Models contain ordinary Python values (`Decimal`, `str`, `datetime`, ...). Numbers are never binary
floats; times are aware and in UTC.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal
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
from integrator.contract.money import is_known
from integrator.contract.validation_errors import invalid_value, wrong_type

MAX_TIME: Final = datetime.max.replace(tzinfo=UTC)
AMOUNT_LIMIT: Final = Decimal(10) ** 12
AGREEMENT_ID_LENGTH: Final = 255
_MAX_DIGITS: Final = 28
_MAX_INTEGER: Final = 2**31

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
_EXPONENT = re.compile(
    r"(?P<mantissa>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?)[eE](?P<sign>[+-]?)(?P<exponent>[0-9]+)"
)
_MAX_EXPONENT_DIGITS: Final = 7
_EXACT: Final = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,7}))?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-5][0-9])?)?"
)
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_FORBIDDEN_IN_URL = re.compile(r"[\x00-\x20\x7f\\]")


class ExponentNumber:
    """A JSON number with an exponent, kept as text: its exponent may be beyond any limit."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def is_from_peer(info: ValidationInfo) -> bool:
    """Whether the data comes from a request, rather than from our own code or storage."""
    return bool(info.context and info.context.get("wire"))


def _parse_decimal(value: object, code: str) -> Decimal:
    """Return a JSON number, quoted number or Decimal as a finite Decimal.

    The value counts, not its spelling: 4.99e1 is 49.9.
    """
    if isinstance(value, Decimal):
        number = value
    elif isinstance(value, int) and not isinstance(value, bool):
        number = Decimal(value)
    elif isinstance(value, str):
        number = _parse_quoted_number(value, code)
    elif isinstance(value, ExponentNumber):
        number = _parse_exponent_number(value.text, code)
    else:
        raise wrong_type("must be a number")
    return _normalize_decimal(number, code)


def _parse_quoted_number(text: str, code: str) -> Decimal:
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    return _parse_exponent_number(text, code)


def _parse_exponent_number(text: str, code: str) -> Decimal:
    match = _EXPONENT.fullmatch(text)
    if match is None:
        raise wrong_type("must be a number")
    mantissa = Decimal(match["mantissa"])
    if mantissa.is_zero():
        return mantissa
    # Nothing that so many digits cannot write fits into an amount; a longer exponent is no number
    # of `Decimal` either.
    digits = match["exponent"].lstrip("0") or "0"
    if len(digits) > _MAX_EXPONENT_DIGITS:
        raise _too_many_digits(code)
    power = int(digits)
    return mantissa.scaleb(-power if match["sign"] == "-" else power, _EXACT)


def _normalize_decimal(number: Decimal, code: str) -> Decimal:
    """Return `number` without exponent or negative zero; refuse it if infinite or too long."""
    if not number.is_finite():
        raise invalid_value("must be a finite number", code)
    if number.is_zero():
        return Decimal(0) if _is_long(number) else number.copy_abs()
    if _is_long(number):
        number = number.normalize(_EXACT)
    if _is_long(number):
        raise _too_many_digits(code)
    _, _, power = number.as_tuple()
    return Decimal(format(number, "f")) if int(power) > 0 else number


def _is_long(number: Decimal) -> bool:
    _, digits, power = number.as_tuple()
    return len(digits) > _MAX_DIGITS or not -_MAX_DIGITS <= int(power) <= _MAX_DIGITS


def _too_many_digits(code: str) -> PydanticCustomError:
    return invalid_value("has too many digits", code)


def _parse_amount(value: object) -> Decimal:
    return _parse_decimal(value, "InvalidAmount")


def _parse_number(value: object) -> Decimal:
    return _parse_decimal(value, "InvalidData")


def _parse_integer(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, Decimal | ExponentNumber):
        raise invalid_value("must be an integer")
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type("must be an integer")
    if not -_MAX_INTEGER <= value < _MAX_INTEGER:
        raise invalid_value("is too large")
    return value


def _check_limit(value: Decimal) -> Decimal:
    if value >= AMOUNT_LIMIT:
        raise invalid_value("is too large", "InvalidAmount")
    return value


def _check_not_negative(value: Decimal) -> Decimal:
    if value < 0:
        raise invalid_value("must not be negative", "InvalidAmount")
    return _check_limit(value)


def _check_positive(value: Decimal) -> Decimal:
    if value <= 0:
        raise invalid_value("must be greater than zero", "InvalidAmount")
    return _check_limit(value)


def _check_currency(value: str, info: ValidationInfo) -> str:
    # A currency that has left the standard is accepted here: captures, refunds and repetitions of
    # old requests use it. Whether a new transaction may is decided where it is validated.
    if is_from_peer(info) and not is_known(value):
        raise invalid_value("must be an upper-case ISO 4217 currency code", "InvalidCurrency")
    return value


def _check_transaction_id(value: str) -> str:
    if not is_transaction_id(value):
        raise invalid_value("must be 24 hexadecimal digits, optionally preceded by yyyyMMdd-")
    return value


def _blank_to_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


def _check_not_blank(value: str) -> str:
    if not value.strip():
        raise invalid_value("must not be blank")
    return value


def _check_agreement_id(value: str) -> str:
    if len(value) > AGREEMENT_ID_LENGTH or _CONTROL_CHARACTER.search(value):
        raise invalid_value(f"must be at most {AGREEMENT_ID_LENGTH} printable characters")
    return _check_not_blank(value)


def _check_absolute_url(value: str) -> str:
    if not is_absolute_http_url(value):
        raise invalid_value("must be an absolute http or https URL")
    return value


def is_absolute_http_url(text: str) -> bool:
    """Whether `text` has the syntax of an absolute http(s) URL with a host."""
    if _FORBIDDEN_IN_URL.search(text):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _parse_text_map(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise wrong_type("must be an object")
    entries = {key: text for key, text in value.items() if text is not None}
    if not all(isinstance(text, str) for text in entries.values()):
        raise wrong_type("must have text values only")
    return entries


def _sort_by_key(value: dict[str, str]) -> dict[str, str]:
    return dict(sorted(value.items()))


def _parse_date(value: object) -> date:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and _DATE.fullmatch(value):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    raise wrong_type("must be a date of the form yyyy-MM-dd")


def _parse_time(value: object) -> datetime:
    timestamp = _parse_iso_time(value) if isinstance(value, str) else value
    if not isinstance(timestamp, datetime) or timestamp.tzinfo is None:
        raise wrong_type("must be an ISO 8601 time with at most 7 fraction digits")
    if timestamp.tzinfo is UTC:
        return timestamp
    try:
        return timestamp.astimezone(UTC)
    except OverflowError:
        raise wrong_type("must be a time between the years 1 and 9999") from None


def _parse_iso_time(text: str) -> datetime | None:
    """Return the time; in UTC if it has no offset, None if it is not a time."""
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    # Python counts microseconds: the seventh digit (100 ns) is cut off, never rounded up.
    microseconds = (match["fraction"] or "").ljust(7, "0")[:6]
    hour, minute, second = (int(match[part] or 0) for part in ("hour", "minute", "second"))
    try:
        clock_time = time(hour, minute, second, int(microseconds), _parse_offset(match["zone"]))
        return datetime.combine(date.fromisoformat(match["date"]), clock_time)
    except ValueError:
        return None


def _parse_offset(text: str | None) -> timezone:
    if text is None or text == "Z":
        return UTC
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[4:6]))
    return timezone(-offset if text[0] == "-" else offset)


def format_time(timestamp: datetime) -> str:
    """Format an aware time in UTC, with 7 fraction digits.

    Python's maximum is written as that of Billwerk+, which is 900 ns later. Raises `TypeError`
    for a time without a time zone.
    """
    if timestamp.tzinfo is not UTC:
        if timestamp.tzinfo is None:
            raise TypeError("a time without a time zone cannot be written as JSON")
        timestamp = timestamp.astimezone(UTC)
    if timestamp == MAX_TIME:
        return "9999-12-31T23:59:59.9999999Z"
    return f"{timestamp.isoformat(timespec='microseconds')[:26]}0Z"


def _format_decimal(value: Decimal) -> str:
    return format(value, "f")


def _number_schema(**extra: Any) -> WithJsonSchema:
    return WithJsonSchema({"type": "number", **extra})


_DECIMAL_AS_TEXT = PlainSerializer(_format_decimal, return_type=str, when_used="json")
_AMOUNT_SCHEMA = _number_schema(examples=[49.90])
_BELOW_LIMIT: Final[dict[str, Any]] = {"exclusiveMaximum": int(AMOUNT_LIMIT), "examples": [49.90]}

Flag = Annotated[bool, Strict()]
Integer = Annotated[int, PlainValidator(_parse_integer), WithJsonSchema({"type": "integer"})]
Number = Annotated[Decimal, PlainValidator(_parse_number), _DECIMAL_AS_TEXT, _number_schema()]
Amount = Annotated[Decimal, PlainValidator(_parse_amount), _DECIMAL_AS_TEXT, _AMOUNT_SCHEMA]
AmountFromZero = Annotated[
    Amount, AfterValidator(_check_not_negative), _number_schema(minimum=0, **_BELOW_LIMIT)
]
PositiveAmount = Annotated[
    Amount, AfterValidator(_check_positive), _number_schema(exclusiveMinimum=0, **_BELOW_LIMIT)
]
Currency = Annotated[
    str,
    AfterValidator(_check_currency),
    WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$", "examples": ["EUR"]}),
]
TransactionId = Annotated[
    str,
    AfterValidator(_check_transaction_id),
    WithJsonSchema({"type": "string", "pattern": TRANSACTION_ID_PATTERN}),
]
OptionalTransactionId = Annotated[TransactionId | None, BeforeValidator(_blank_to_none)]
AgreementId = Annotated[
    str,
    AfterValidator(_check_agreement_id),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": AGREEMENT_ID_LENGTH}),
]
NonBlankText = Annotated[
    str, AfterValidator(_check_not_blank), WithJsonSchema({"type": "string", "minLength": 1})
]
Url = Annotated[
    str, AfterValidator(_check_absolute_url), WithJsonSchema({"type": "string", "format": "uri"})
]
OptionalUrl = Annotated[Url | None, BeforeValidator(_blank_to_none)]
TextMap = Annotated[dict[str, str], BeforeValidator(_parse_text_map)]
SortedTextMap = Annotated[TextMap, AfterValidator(_sort_by_key)]
Date = Annotated[
    date,
    PlainValidator(_parse_date),
    PlainSerializer(date.isoformat, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date"}),
]
Time = Annotated[
    datetime,
    PlainValidator(_parse_time),
    PlainSerializer(format_time, return_type=str, when_used="json"),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-01-15T09:00:01.2345670Z"]}
    ),
]
