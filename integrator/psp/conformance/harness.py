"""The harness: what an adapter's author supplies about a PSP or its emulator.

Derive from `Harness` and override what applies. A member that is not overridden means "cannot be
provoked": the checks that need it are skipped, with that reason. Nothing else has to be written,
since the kit itself injects faults (lost connections, timeouts, server errors, HTML pages,
malformed responses, redirects) in the HTTP transport, in front of any PSP.

A harness is opened by a factory, an async context manager::

    @asynccontextmanager
    async def harness(live: Mapping[str, str] | None) -> AsyncIterator[Harness]: ...

which is found by the entry point group `integrator.psp.bench` under the adapter's name, or named by
`--psp-bench module:factory`. `live` holds the values of the settings form of an account in the
PSP's own sandbox; None asks for an emulator with a new account.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

import httpx

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import PspError
from integrator.psp.port import Adapter
from integrator.psp.types import Authorize, Call, Instrument, Operation, Payer, RedirectRequired

C = TypeVar("C", bound=Call)


class CustomerBehavior(StrEnum):
    """What the customer does at the hosted page; the comment is the required outcome."""

    PAYS = "pays"  # Approved
    LACKS_FUNDS = "lacks_funds"  # Declined, InsufficientBalance
    USES_AN_EXPIRED_CARD = "uses_an_expired_card"  # Declined, BearerExpired
    IS_REFUSED = "is_refused"  # Declined, Rejected
    CANCELS = "cancels"  # Declined, status Cancelled
    STAYS_AWAY = "stays_away"  # Declined, status Expired: the page's time runs out now


class Script(StrEnum):
    """A course of one operation that the PSP can be made to take; the comment is the outcome.

    It is selected by the amount or the payment method.
    """

    LACKS_FUNDS = "lacks_funds"  # Declined, InsufficientBalance
    EXPIRED_CARD = "expired_card"  # Declined, BearerExpired
    PENDING_THEN_DONE = "pending_then_done"  # first Pending, then Approved within the timeout
    PENDING_THEN_FAILED = "pending_then_failed"  # first Pending, then Declined within the timeout
    CHARGED_BACK = "charged_back"  # Approved, charged back by the payer's bank within the timeout


class ErrorCase(StrEnum):
    """An error that every PSP can report in its own format; the comment is the required result."""

    THROTTLED = "throttled"  # with HTTP 429: RateLimited
    UNAUTHORIZED = "unauthorized"  # CredentialsRejected
    FAILED = "failed"  # with a 5xx: OutcomeUnknown
    UNDOCUMENTED = "unheard_of"  # a refusal with an undocumented code: never an approval


class Distortion(StrEnum):
    """A way in which the responses to a look-up may differ; the comment is the required result.

    `harness.distortions` has a function for each that this PSP's objects allow. The first group
    changes whose a movement is, the second what it amounts to, the third what does not matter.
    """

    CHARGEBACK_CURRENCY = "chargeback_currency"  # in another currency: not booked
    CHARGEBACK_PARENT = "chargeback_parent"  # of another payment: not booked
    CHARGEBACK_SIGN = "chargeback_sign"  # money comes instead of going: not booked
    REFUND_CURRENCY = "refund_currency"  # in another currency: not booked
    REFUND_PARENT = "refund_parent"  # of another payment: not booked
    REFUND_REFERENCE = "refund_reference"  # of another transaction: not booked
    REFUND_SIGN = "refund_sign"  # a negative amount: not booked

    CHARGEBACK_CLAIM = "chargeback_claim"  # more is claimed than was withdrawn: as withdrawn
    CHARGEBACK_RETURNED = "chargeback_returned"  # all came back: CHARGEBACK_REVERSED beside it
    CHARGEBACK_PART_RETURNED = "chargeback_part_returned"  # one unit of the currency, 1.00, came

    CHARGEBACK_BOOKKEEPING = "chargeback_bookkeeping"  # fees and dates out of the ordinary: as ever
    CHARGEBACK_NULLS = "chargeback_nulls"  # null for what may be missing: as ever
    PAYMENT_BOOKKEEPING = "payment_bookkeeping"  # the same of a payment
    PAYMENT_NULLS = "payment_nulls"
    REFUND_BOOKKEEPING = "refund_bookkeeping"  # the same of a refund
    REFUND_NULLS = "refund_nulls"


Distort = Callable[[bytes], bytes]
"""Changes the body of a response; returns one that has nothing to change as it is."""


class BookingKind(StrEnum):
    """Kind of an entry in the PSP's ledger."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CHARGE = "charge"
    REFUND = "refund"
    VOID = "void"
    CHARGEBACK = "chargeback"


@dataclass(frozen=True)
class Booking:
    """One entry of the PSP's ledger; `amount` in major units."""

    kind: BookingKind
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class StubResponse:
    """An HTTP response in the PSP's own format."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, body: Any, **headers: str) -> "StubResponse":
        """Return a JSON response; `Retry_After="3"` becomes the header `Retry-After`."""
        header_fields = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(
            status, json.dumps(body).encode(), {"Content-Type": "application/json", **header_fields}
        )


@dataclass(frozen=True)
class Refusal:
    """One row of the PSP's error table: its response to `operation`, and the required result.

    `code` is the contract's code of the `Declined`, or `error` the exception. `path_part` is a part
    of the path of the request that gets the response; by default the operation's first write.
    `response` may be built from the call, where a refusal has to repeat the reference.
    """

    label: str
    operation: Operation
    response: StubResponse | Callable[[Call], StubResponse]
    code: PaymentErrorCode | None = None
    error: type[PspError] | None = None
    role: Role = Role.CreditCard
    path_part: str = ""

    def __post_init__(self) -> None:
        if (self.code is None) == (self.error is None):
            raise ValueError("Give either `code` or `error` of a refusal, not both.")


@dataclass(frozen=True)
class Delivery:
    """A notification as it was received."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class TextRefusal:
    """The PSP's refusal of an operation because of its text, which the operation can do without.

    `member` is the name of the refused parameter.
    """

    label: str
    operation: Operation
    response: StubResponse
    member: str
    role: Role = Role.CreditCard
    path_part: str = ""


@dataclass(frozen=True)
class OddEvent:
    """A genuine but unusual notification, built unsigned from an ordinary one.

    `relevant` says whether it has to wake its transaction; None: either way.
    """

    build: Callable[[Delivery], Delivery]
    relevant: bool | None = None


@dataclass(frozen=True)
class SignatureScheme:
    """What the PSP's signatures protect.

    `setting` is the key of the settings form that holds the webhook secret, `multiple_secrets`
    whether it may hold two of them, separated by a comma, during a rotation. `covers_body` False:
    the body cannot be trusted, so that every event has to leave the state to a look-up.
    `timestamped`: the signed time is checked against the clock.
    """

    setting: str
    covers_body: bool = True
    timestamped: bool = True
    multiple_secrets: bool = True


class Harness:
    """An adapter, an account at its PSP or emulator, and ways to provoke outcomes there.

    `form` are valid values of the settings form; `wrong_form` the same with credentials that the
    PSP refuses. Scripted amounts aside, the kit uses amounts of about 50. `timeout` is how many
    seconds the PSP takes at most to decide what was pending and to send its notifications.
    `transport` leads to an emulator that is an object of this process (`httpx.MockTransport`,
    `httpx.ASGITransport`); None: to the addresses that the adapter names.
    """

    adapter: Adapter
    form: Mapping[str, str]
    wrong_form: Mapping[str, str] | None = None
    timeout: float = 8.0
    signature: SignatureScheme | None = None
    transport: httpx.AsyncBaseTransport | None = None

    def currencies(self, role: Role) -> Sequence[str]:
        """Return currencies of a payment method: if possible with no, two and three decimals."""
        return ("EUR",)

    # --- customers

    def payment_data(self, role: Role) -> dict[str, str] | None:
        """Return valid payment data typed at Billwerk+, for roles with `initial_bearer`."""
        return None

    async def instrument(self, role: Role, currency: str) -> Instrument | None:
        """Return a stored payment method, ready to be charged.

        None: the kit signs a customer up, by `payment_data` or by `visit_page`.
        """
        return None

    async def migration_token(self, role: Role, currency: str) -> str | None:
        """Return the id of a customer or payment method that exists at the PSP."""
        return None

    async def visit_page(
        self, call: Authorize, redirect: RedirectRequired, customer: CustomerBehavior
    ) -> bool:
        """Act as the customer at the hosted page; return False if that is not possible."""
        return False

    async def script_call(self, call: C, script: Script) -> C | None:
        """Return the call, altered (amount, payment method) so that the PSP follows the script."""
        return None

    # --- the PSP's error responses

    def error_response(self, case: ErrorCase) -> StubResponse | None:
        """Return the PSP's response in this case. The kit adds `Retry-After`."""
        return None

    def stored_failure(self) -> StubResponse | None:
        """Return the 5xx that the PSP repeats for a key; None for a PSP that stores no failure."""
        return None

    def refusals(self) -> Sequence[Refusal]:
        """Return the adapter's table of refusals, row by row."""
        return ()

    # --- what PSPs really send and refuse, beside their documentation

    def distortions(self) -> Mapping[Distortion, Distort]:
        """Return how the responses of look-ups can be distorted."""
        return {}

    def codeless_refusals(self) -> Sequence[Refusal]:
        """Return refusals without a code, whose meaning decides about the result."""
        return ()

    def text_refusals(self) -> Sequence[TextRefusal]:
        """Return refusals of an operation's text."""
        return ()

    def unusual_payment_data(self, role: Role) -> Mapping[str, dict[str, str]]:
        """Return valid payment data that a narrow validation refuses, by label."""
        return {}

    def payer_texts(self, role: Role, payer: Payer) -> frozenset[str]:
        """Return the texts of a payer that a sign-up has to send, each as one parameter."""
        return frozenset()

    def refused_currencies(self, role: Role) -> Sequence[str]:
        """Return currencies whose unit at the PSP is not certain: new payments are refused."""
        return ()

    def days_later(self, days: int) -> AbstractContextManager[None] | None:
        """Let the adapter's clock be days ahead while the context is open."""
        return None

    def succession_response(self, successor: Instrument) -> StubResponse | None:
        """Return the refusal of a charge whose payment method continues as `successor`."""
        return None

    # --- the PSP's ledger

    async def list_bookings(self, reference: str) -> Sequence[Booking] | None:
        """Return everything booked under a reference, read without the adapter."""
        return None

    # --- notifications

    async def list_deliveries(self) -> Sequence[Delivery] | None:
        """Return every notification the PSP has sent so far, in the order of arrival."""
        return None

    def sign_delivery(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        """Sign the delivery's body with a secret and a time. Required with `signature`."""
        raise NotImplementedError

    def batch_deliveries(self, deliveries: Sequence[Delivery]) -> Delivery | None:
        """Return one unsigned delivery with all their events, if the PSP sends batches."""
        return None

    def unknown_event(self) -> Delivery | None:
        """Return an unsigned event of a kind that the adapter does not know."""
        return None

    def odd_events(self) -> Mapping[str, OddEvent]:
        """Return unusual notifications by label: of other API versions, with odd characters."""
        return {}


HarnessFactory = Callable[[Mapping[str, str] | None], AbstractAsyncContextManager[Harness]]
"""See the module's docstring. Raises `HarnessUnavailable` if there is no harness for `live`."""


class HarnessUnavailable(Exception):
    """No such harness; the text names the reason (no emulator, no use with live credentials)."""
