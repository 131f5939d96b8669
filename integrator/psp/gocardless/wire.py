"""Models of GoCardless' JSON. Amounts are integers in minor units, times ISO 8601 in UTC.

Unknown members are ignored and statuses are plain strings, so that GoCardless may add to both. Most
objects hold personal data, so that `repr` shows only their ids. Source: the official clients and
their fixtures (gocardless-pro-python 3.22, gocardless-nodejs 10.1).
"""

from datetime import date
from typing import ClassVar, Literal

from pydantic import AliasPath, AwareDatetime, ConfigDict, Field

from integrator.psp.toolkit.wire import Id, MinorAmount, WireModel

REFERENCE = "transaction_id"
"""Metadata key of our reference; an object has at most three keys."""


class Resource(WireModel):
    """Object with an id; `kind` is its part of the path and the name of its envelope."""

    kind: ClassVar[str]

    id: Id
    created_at: AwareDatetime
    links: dict[str, str | None] = Field(default={})
    metadata: dict[str, str] | None = None

    @property
    def reference(self) -> str | None:
        """Return our transaction id; None if the object is not ours."""
        return (self.metadata or {}).get(REFERENCE)


class ListEnvelope(WireModel):
    """Envelope of a list, with the items under its kind; `after` is the cursor of the next page."""

    model_config = ConfigDict(extra="allow")

    after: str | None = Field(validation_alias=AliasPath("meta", "cursors", "after"))


class Payment(Resource):
    """Payment collected with a mandate."""

    kind = "payments"

    status: str
    amount: MinorAmount
    amount_refunded: MinorAmount = 0
    currency: str
    charge_date: date | None = None
    description: str | None = None


class Refund(Resource):
    """Refund of a payment."""

    kind = "refunds"

    status: str
    amount: MinorAmount
    currency: str


class Mandate(Resource):
    """Mandate; `next_possible_charge_date` is missing once it cannot be charged.

    `scheme_reference` is its name at the payer's bank: in SEPA the unique mandate reference.
    """

    kind = "mandates"

    status: str
    scheme: str
    scheme_reference: str | None = Field(None, alias="reference")
    next_possible_charge_date: date | None = None


class BankAccount(Resource):
    """The payer's account, with only the last digits of its number."""

    kind = "customer_bank_accounts"

    account_holder_name: str | None = None
    account_number_ending: str | None = None


class Action(WireModel):
    """Step of the set-up of a mandate."""

    type: str
    status: str


class CollectedAccount(WireModel):
    """Account collected by a billing request."""

    account_holder_name: str | None = None
    account_number_ending: str | None = None


class Resources(WireModel):
    """Objects collected by a billing request."""

    customer_bank_account: CollectedAccount | None = None


class BillingRequest(Resource):
    """Set-up of a mandate."""

    kind = "billing_requests"

    status: str
    actions: tuple[Action, ...] = ()
    resources: Resources | None = None


class Flow(Resource):
    """Hosted page on which the payer completes a billing request."""

    kind = "billing_request_flows"

    authorisation_url: str
    expires_at: AwareDatetime


class SchemeIdentifier(WireModel):
    """Entitlement of a creditor to collect in a scheme."""

    scheme: str
    status: str | None = None


class Creditor(Resource):
    """Recipient of the collected payments."""

    kind = "creditors"

    scheme_identifiers: tuple[SchemeIdentifier, ...] = ()


class EventDetails(WireModel):
    """Reason of an event: `cause` is the same in all schemes, unlike the banks' own codes."""

    cause: str | None = None
    description: str | None = None
    will_attempt_retry: bool = False


class Event(Resource):
    """Event; `resource_metadata` is the metadata of the changed object."""

    kind = "events"

    action: str
    resource_type: str
    details: EventDetails = EventDetails()
    resource_metadata: dict[str, str] | None = None


class ErrorReason(WireModel):
    """Reason of a refusal: a named one, or an invalid field with a message."""

    reason: str | None = Field(None, pattern=r"^[a-z0-9_]{1,80}$")
    field: str | None = None
    message: str | None = None
    links: dict[str, str | None] = Field(default={})


class ErrorDetail(WireModel):
    """Detail of an error; a body that does not fit is not GoCardless' error."""

    type: Literal["gocardless", "invalid_api_usage", "invalid_state", "validation_failed"]
    code: int
    message: str | None = None
    errors: tuple[ErrorReason, ...] = ()

    @property
    def first_reason(self) -> ErrorReason:
        """Return the first reason, which may be empty."""
        return self.errors[0] if self.errors else ErrorReason()

    @property
    def reason_or_type(self) -> str:
        """Return the reason, or the type if there is none."""
        return self.first_reason.reason or self.type


class ErrorBody(WireModel):
    """Error body."""

    error: ErrorDetail
