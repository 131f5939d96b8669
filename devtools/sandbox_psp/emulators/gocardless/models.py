"""GoCardless' objects besides the engine's charges, refunds and mandates."""

import secrets
import string
from typing import Any, ClassVar

from pydantic import Field

from devtools.sandbox_psp.models import Record

_ALPHABET = string.ascii_uppercase + string.digits

SCHEMES = {"sepa_core": "EUR", "autogiro": "SEK", "betalingsservice": "DKK"}
REFERENCE_SIZES = {"sepa_core": 140, "autogiro": 11, "betalingsservice": 30}
IDENTITY_FIELDS = {
    "autogiro": "swedish_identity_number",
    "betalingsservice": "danish_identity_number",
}
STEPS = ("collect_customer_details", "collect_bank_account", "confirm_payer_details")


def new_id(prefix: str) -> str:
    """Return `PM` plus 14 random characters, for the prefix `PM`."""
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(14))


def ledger_reference(metadata: dict[str, str]) -> str:
    """Return the reference for the ledger: the metadata's `transaction_id`, or its first value."""
    return metadata.get("transaction_id") or next(iter(metadata.values()), "")


class Customer(Record):
    """The payer; `details` and `billing` as the merchant or the payer entered them."""

    kind: ClassVar[str] = "gocardless_customer"

    details: dict[str, Any] = Field(default_factory=dict)
    billing: dict[str, Any] = Field(default_factory=dict)
    metadata: dict[str, str] = Field(default_factory=dict)
    created_at: str


class BankAccount(Record):
    """The bank account of a mandate."""

    kind: ClassVar[str] = "gocardless_bank_account"

    customer: str
    holder: str
    iban: str
    currency: str
    metadata: dict[str, str] = Field(default_factory=dict)
    created_at: str


class BillingRequest(Record):
    """A mandate being set up; `done` are the completed steps."""

    kind: ClassVar[str] = "gocardless_billing_request"

    status: str = "pending"
    scheme: str
    currency: str
    metadata: dict[str, str] = Field(default_factory=dict)
    mandate_metadata: dict[str, str] = Field(default_factory=dict)
    customer: str
    bank_account: str | None = None
    mandate: str | None = None
    done: list[str] = Field(default_factory=list)
    created_at: str


class Flow(Record):
    """A hosted page for a billing request."""

    kind: ClassVar[str] = "gocardless_flow"

    billing_request: str
    url: str
    redirect_uri: str
    exit_uri: str | None = None
    prefilled: dict[str, Any] = Field(default_factory=dict)
    expires_at: str
    created_at: str
