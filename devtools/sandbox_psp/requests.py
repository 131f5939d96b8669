"""Request bodies of the native API. Amounts are integer minor units of `currency` (ISO 4217)."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, model_validator

from devtools.sandbox_psp.models import Customer
from devtools.sandbox_psp.money import exponent


def _check_currency(code: str) -> str:
    exponent(code)
    return code


Currency = Annotated[str, AfterValidator(_check_currency)]
Amount = Annotated[int, Field(strict=True, gt=0, le=10**15)]
Reference = Annotated[str, Field(min_length=1, max_length=255)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s]+$", max_length=2000)]
Text = Annotated[str, Field(max_length=500)]


class SessionRequest(BaseModel):
    """Open a hosted page; mode `setup` stores a card without moving or holding money."""

    reference: Reference
    mode: Literal["authorize", "setup"]
    amount: Annotated[int, Field(strict=True, ge=0, le=10**15)]
    currency: Currency
    success_url: Url
    error_url: Url
    cancel_url: Url
    description: Text | None = None
    language: str | None = None
    customer: Customer | None = None
    line: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _amount_fits_mode(self) -> "SessionRequest":
        if (self.mode == "setup") != (self.amount == 0):
            raise ValueError("amount is 0 in mode setup and more than 0 in mode authorize")
        return self


class AuthorizationRequest(BaseModel):
    """Hold money on a stored card."""

    reference: Reference
    amount: Amount
    currency: Currency
    payment_method: str


class VoidRequest(BaseModel):
    """Release an authorization."""

    reference: Reference


class CaptureRequest(BaseModel):
    """Take authorized money, or part of it."""

    reference: Reference
    amount: Amount


class MandateRequest(BaseModel):
    """Sign a direct debit mandate."""

    reference: Reference
    holder: Annotated[str, Field(min_length=1, max_length=140)]
    iban: str


class ChargeRequest(BaseModel):
    """Take money from a stored card (`pm_`) or a mandate (`mdt_`)."""

    reference: Reference
    amount: Amount
    currency: Currency
    payment_method: str
    execute_on: date | None = None
    description: Text | None = None


class RefundRequest(BaseModel):
    """Refund money of a charge."""

    reference: Reference
    charge: str
    amount: Amount
    description: Text | None = None
