"""GoCardless' own objects. Amounts are integers in minor units, times ISO 8601 in UTC.

Unknown members are ignored and statuses are plain text, so that GoCardless may add to both. Most
objects hold personal data: `repr` shows their ids only. Shapes: the official clients and their
fixtures (gocardless-pro-python 3.22, gocardless-nodejs 10.1).
"""

from datetime import date
from typing import ClassVar, Literal

from pydantic import AliasPath, AwareDatetime, ConfigDict, Field

from integrator.psp.toolkit.wire import Id, Minor, Wire

REFERENCE = "transaction_id"
"""The metadata key that holds our reference; there is room for three."""


class Resource(Wire):
    """An object with an id; `kind` is its place in addresses and the name of its envelope."""

    kind: ClassVar[str]

    id: Id
    created_at: AwareDatetime
    links: dict[str, str | None] = Field(default={})
    metadata: dict[str, str] | None = None

    @property
    def reference(self) -> str | None:
        """Our transaction id, if we made the object."""
        return (self.metadata or {}).get(REFERENCE)


class Listing(Wire):
    """A part of a list, which is under its kind; `after` leads to the next."""

    model_config = ConfigDict(extra="allow")

    after: str | None = Field(validation_alias=AliasPath("meta", "cursors", "after"))


class Payment(Resource):
    """Money collected with a mandate."""

    kind = "payments"

    status: str
    amount: Minor
    amount_refunded: Minor = 0
    currency: str
    charge_date: date | None = None
    description: str | None = None


class Refund(Resource):
    """Money given back."""

    kind = "refunds"

    status: str
    amount: Minor
    currency: str


class Mandate(Resource):
    """The payer's consent; `next_possible_charge_date` is missing once it cannot be charged.

    `printed` is what the payer's bank calls it: with SEPA the unique mandate reference.
    """

    kind = "mandates"

    status: str
    scheme: str
    printed: str | None = Field(None, alias="reference")
    next_possible_charge_date: date | None = None


class BankAccount(Resource):
    """The payer's account; of its number no more than the last digits are ever shown."""

    kind = "customer_bank_accounts"

    account_holder_name: str | None = None
    account_number_ending: str | None = None


class Action(Wire):
    """A step towards a mandate."""

    type: str
    status: str


class Account(Wire):
    """The account a billing request has collected."""

    account_holder_name: str | None = None
    account_number_ending: str | None = None


class Resources(Wire):
    """What a billing request has collected."""

    customer_bank_account: Account | None = None


class BillingRequest(Resource):
    """A mandate being set up."""

    kind = "billing_requests"

    status: str
    actions: tuple[Action, ...] = ()
    resources: Resources | None = None


class Flow(Resource):
    """A hosted page on which the payer completes a billing request."""

    kind = "billing_request_flows"

    authorisation_url: str
    expires_at: AwareDatetime


class SchemeIdentifier(Wire):
    """What entitles a creditor to collect in a scheme."""

    scheme: str
    status: str | None = None


class Creditor(Resource):
    """Whom the money is collected for."""

    kind = "creditors"

    scheme_identifiers: tuple[SchemeIdentifier, ...] = ()


class Details(Wire):
    """Why something happened: `cause` is the same in all schemes, unlike the banks' own codes."""

    cause: str | None = None
    description: str | None = None
    will_attempt_retry: bool = False


class Event(Resource):
    """Something that happened; `resource_metadata` is that of the object it happened to."""

    kind = "events"

    action: str
    resource_type: str
    details: Details = Details()
    resource_metadata: dict[str, str] | None = None


class Problem(Wire):
    """One reason of a refusal: a named one, or a field and what is wrong with it."""

    reason: str | None = Field(None, pattern=r"^[a-z0-9_]{1,80}$")
    field: str | None = None
    message: str | None = None
    links: dict[str, str | None] = Field(default={})


class Trouble(Wire):
    """The heart of an error body; anything that does not fit this is not GoCardless' error."""

    type: Literal["gocardless", "invalid_api_usage", "invalid_state", "validation_failed"]
    code: int
    message: str | None = None
    errors: tuple[Problem, ...] = ()

    @property
    def first(self) -> Problem:
        """The one reason that counts, which may be empty."""
        return self.errors[0] if self.errors else Problem()

    @property
    def word(self) -> str:
        """The reason, or what there is of it."""
        return self.first.reason or self.type


class ErrorBody(Wire):
    """An error."""

    error: Trouble
