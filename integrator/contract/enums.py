"""Enumerations of the wire contract, with the numbers and the spelling of Billwerk+."""

import re
from collections.abc import Mapping
from enum import Enum, IntEnum
from functools import cache
from typing import Any, Self

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from integrator.contract.validation_errors import invalid_value, wrong_type

_INTEGER = re.compile(r"-?[0-9]{1,9}")


class WireEnum(IntEnum):
    """Written by name; read by name in any case, by integer or by quoted integer."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.name, spec)

    @classmethod
    def parse(cls, value: object) -> Self:
        """Return the member for `value`, a JSON value or a member.

        Raises a Pydantic error: wrong type for anything but text and numbers, otherwise
        `InvalidData` for an unknown name or number.
        """
        if isinstance(value, cls):
            return value
        if isinstance(value, bool | Mapping | list | tuple) or value is None:
            raise wrong_type("must be the name or the number of an enumeration value")
        member: Enum | None = None
        if isinstance(value, str):
            member = _members_by_lower_name(cls).get(value.lower())
            if member is None and _INTEGER.fullmatch(value):
                member = cls._value2member_map_.get(int(value))
        elif isinstance(value, int) and not isinstance(value, Enum):
            member = cls._value2member_map_.get(value)
        if not isinstance(member, cls):
            raise invalid_value(f"must be one of {', '.join(cls.__members__)}")
        return member

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(
                _name, return_schema=core_schema.str_schema(), when_used="json"
            ),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"type": "string", "enum": list(cls.__members__)}


def _name(member: Enum) -> str:
    return member.name


@cache
def _members_by_lower_name(enum: type[WireEnum]) -> dict[str, WireEnum]:
    return {name.lower(): member for name, member in enum.__members__.items()}


class PaymentTransactionStatus(WireEnum):
    """State of a preauth, payment or refund."""

    Initiated = 1
    Pending = 2
    Succeeded = 3
    Failed = 4
    Cancelled = 5
    Expired = 6


class PublicPaymentProviderRole(WireEnum):
    """Payment method a request is about."""

    Default = 1
    CreditCard = 2
    Debit = 3
    OnAccount = 4
    Betalingsservice = 5
    iDEAL = 6  # noqa: N815 - the spelling on the wire
    Autogiro = 7
    Avtalegiro = 8
    MobilePay = 9
    AmazonPay = 10


DEBIT_ROLES = frozenset(
    {
        PublicPaymentProviderRole.Debit,
        PublicPaymentProviderRole.Betalingsservice,
        PublicPaymentProviderRole.Autogiro,
        PublicPaymentProviderRole.Avtalegiro,
    }
)
"""Roles whose payments are executed on a planned day."""


class PaymentErrorCode(WireEnum):
    """Why a request or a transaction failed.

    `LoginError` and `PermissionDenied` make Billwerk+ disable the merchant's PSP.
    """

    UnmappedError = 0
    LimitExceeded = 1
    BearerInvalid = 2
    BearerExpired = 3
    InvalidCountry = 4
    InvalidAmount = 5
    InvalidCurrency = 6
    LoginError = 7
    InvalidData = 8
    InsufficientBalance = 9
    AlreadyExecuted = 10
    InvalidPreconditions = 11
    InternalError = 12
    InternalProviderError = 13
    RateLimit = 14
    InvalidConfiguration = 15
    PermissionDenied = 16
    Canceled = 17
    Rejected = 18
    PSPConnectionProblem = 19
    InvalidBic = 20
    InvalidIBAN = 21
    PSPConnectionTimeout = 22
    InvalidNationalIdNumber = 23
    FailedCustomerUpdate = 24


class WebhookType(WireEnum):
    """Which resource a change notification is about; only the first three are ever sent."""

    Preauth = 1
    Payment = 2
    Refund = 3
    Agreement = 4
    Mandate = 5


class PaymentCancellationStatus(WireEnum):
    """Outcome of cancelling a preauth."""

    NotCancelled = -1
    Initiated = 1
    Pending = 2
    Succeeded = 3
    Failed = 4


class PaymentChargebackReason(WireEnum):
    """Why the customer's bank took money back."""

    Unknown = 1
    UserInitiated = 2
    InsufficientBalance = 3
    BearerInvalid = 4
    Canceled = 5
    Rejected = 6


class TimePeriod(WireEnum):
    """Unit of a billing period."""

    Day = 1
    Week = 2
    Month = 3
    Year = 4
    Hour = 5
    Minute = 6
    Second = 7


class InvoiceDataLineTaxCategory(WireEnum):
    """Tax treatment of an invoice line."""

    VatStandard = 1
    TaxFreeExport = 2
    ReverseCharge = 3
    ExemptFromTax = 4
    IntraEuSupply = 5
