"""Models of GoCardless' JSON. Amounts are integers in minor units, times ISO 8601 in UTC.

Unknown members are ignored and statuses are plain strings, so that GoCardless may add to both. Most
objects hold personal data, so that `repr` shows only their ids. Source: the official clients and
their fixtures (gocardless-pro-python 3.22, gocardless-nodejs 10.1).
"""

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AliasPath, AwareDatetime, ConfigDict, Field

from integrator.psp.toolkit.wire import BOOKKEEPING, Id, MinorAmount, WireModel

REFERENCE = "transaction_id"
"""Metadata key of our reference; an object has at most three keys."""

Members = Annotated[dict[str, Any] | None, BOOKKEEPING]
"""Metadata or links; GoCardless sends an empty list where there are none."""

_POINTER_SEPARATORS = re.compile(r"[^A-Za-z0-9_]+")


def _find_text(members: dict[str, Any] | None, name: str) -> str | None:
    value = (members or {}).get(name)
    return value if isinstance(value, str) and value else None


class Resource(WireModel):
    """Object with an id; `kind` is its part of the path and the name of its envelope."""

    kind: ClassVar[str]

    id: Id
    created_at: Annotated[AwareDatetime | None, BOOKKEEPING] = None
    links: Members = None
    metadata: Members = None

    @property
    def reference(self) -> str | None:
        """Return our transaction id; None if the object is not ours."""
        return _find_text(self.metadata, REFERENCE)

    def link(self, name: str) -> str | None:
        """Return the id of a linked object."""
        return _find_text(self.links, name)


class ListEnvelope(WireModel):
    """Envelope of a list, with the items under its kind; `after` is the cursor of the next page."""

    model_config = ConfigDict(extra="allow")

    after: str | None = Field(validation_alias=AliasPath("meta", "cursors", "after"))


class Payment(Resource):
    """Payment collected with a mandate.

    `amount_refunded` is None if it cannot be read: only a new refund needs it.
    """

    kind = "payments"

    status: str
    amount: MinorAmount
    amount_refunded: Annotated[MinorAmount | None, BOOKKEEPING] = 0
    currency: str
    charge_date: Annotated[date | None, BOOKKEEPING] = None


class Refund(Resource):
    """Refund of a payment."""

    kind = "refunds"

    status: str
    amount: MinorAmount
    currency: str


class Mandate(Resource):
    """Mandate; `next_possible_charge_date` is missing once it cannot be charged.

    `scheme_reference` is its name at the payer's bank: in SEPA the unique mandate reference. A
    mandate that was replaced names its successor in `links.new_mandate`.
    """

    kind = "mandates"

    status: str
    scheme: str
    scheme_reference: Annotated[str | None, BOOKKEEPING] = Field(None, alias="reference")
    next_possible_charge_date: Annotated[date | None, BOOKKEEPING] = None


class BankAccount(Resource):
    """The payer's account, with only the last digits of its number."""

    kind = "customer_bank_accounts"

    account_holder_name: Annotated[str | None, BOOKKEEPING] = None
    account_number_ending: Annotated[str | None, BOOKKEEPING] = None


class Action(WireModel):
    """Step of the set-up of a mandate."""

    type: str
    status: str


class CollectedAccount(WireModel):
    """Account collected by a billing request."""

    account_holder_name: Annotated[str | None, BOOKKEEPING] = None
    account_number_ending: Annotated[str | None, BOOKKEEPING] = None


class Resources(WireModel):
    """Objects collected by a billing request."""

    customer_bank_account: CollectedAccount | None = None


class BillingRequest(Resource):
    """Set-up of a mandate."""

    kind = "billing_requests"

    status: str
    actions: tuple[Action, ...] = ()
    resources: Annotated[Resources | None, BOOKKEEPING] = None


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

    cause: Annotated[str | None, BOOKKEEPING] = None
    description: Annotated[str | None, BOOKKEEPING] = None
    will_attempt_retry: Annotated[bool | None, BOOKKEEPING] = None


class Event(WireModel):
    """Event; `resource_metadata` is the metadata of the changed object.

    Only what names the object and its change is required: an empty list instead of an object, or a
    member that is null, must not hide an event.
    """

    kind: ClassVar[str] = "events"

    id: Id
    action: str
    resource_type: str
    created_at: Annotated[AwareDatetime | None, BOOKKEEPING] = None
    links: Members = None
    details: Annotated[EventDetails | None, BOOKKEEPING] = None
    resource_metadata: Members = None

    @property
    def reference(self) -> str | None:
        """Return our transaction id; None if the changed object is not ours."""
        return _find_text(self.resource_metadata, REFERENCE)

    @property
    def cause(self) -> str | None:
        """Return the reason of the event."""
        return self.details.cause if self.details else None

    @property
    def description(self) -> str | None:
        """Return GoCardless' text on the event."""
        return self.details.description if self.details else None

    @property
    def booked_on(self) -> date | None:
        """Return the day of the event."""
        return self.created_at.date() if self.created_at else None

    def link(self, name: str) -> str | None:
        """Return the id of a linked object."""
        return _find_text(self.links, name)


class ErrorReason(WireModel):
    """Reason of a refusal: a named one, or an invalid field with a message."""

    reason: Annotated[str | None, BOOKKEEPING] = Field(None, pattern=r"^[a-z0-9_]{1,80}$")
    field: Annotated[str | None, BOOKKEEPING] = None
    request_pointer: Annotated[str | None, BOOKKEEPING] = None
    message: Annotated[str | None, BOOKKEEPING] = None
    links: Members = None

    @property
    def fields(self) -> list[str]:
        """Return the refused field's name, without the names of the objects around it."""
        places = (self.field, self.request_pointer)
        parts = [_POINTER_SEPARATORS.split(place.strip("]/ ")) for place in places if place]
        return [words[-1] for words in parts if words[-1]]


class ErrorDetail(WireModel):
    """Detail of an error; a body that does not fit is not GoCardless' error."""

    type: Literal["gocardless", "invalid_api_usage", "invalid_state", "validation_failed"]
    code: int
    message: Annotated[str | None, BOOKKEEPING] = None
    errors: tuple[ErrorReason, ...] = ()

    @property
    def first_reason(self) -> ErrorReason:
        """Return the first reason, which may be empty."""
        return self.errors[0] if self.errors else ErrorReason()

    @property
    def reason_or_type(self) -> str:
        """Return the reason, or the type if there is none."""
        return next((problem.reason for problem in self.errors if problem.reason), self.type)

    @property
    def reasons(self) -> frozenset[str]:
        """Return the named reasons."""
        return frozenset(problem.reason for problem in self.errors if problem.reason)

    @property
    def fields(self) -> frozenset[str]:
        """Return the names of the refused fields."""
        return frozenset(name for problem in self.errors for name in problem.fields)

    def texts(self) -> Iterator[str]:
        """Yield the messages for people."""
        yield from filter(None, (self.message, *(problem.message for problem in self.errors)))

    def link(self, name: str) -> str | None:
        """Return the id of an object that the error names."""
        found = (_find_text(problem.links, name) for problem in self.errors)
        return next(filter(None, found), None)


class ErrorBody(WireModel):
    """Error body."""

    error: ErrorDetail
