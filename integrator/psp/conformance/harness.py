"""The bench: what the author of an adapter tells the kit about a PSP or its stand-in.

Derive from `Bench` and override what applies. Whatever is left as it is here means "this cannot be
provoked": the checks that need it are skipped, and say so. Nothing else has to be written, since
faults on the way to the PSP (lost connections, timeouts, server errors, HTML pages, garbage,
redirects) are made by the kit itself in the HTTP transport, in front of any PSP.

A bench is opened by a factory, an async context manager::

    @asynccontextmanager
    async def bench(live: Mapping[str, str] | None) -> AsyncIterator[Bench]: ...

which is found by the entry point group `integrator.psp.bench` under the adapter's name, or named by
`--psp-bench module:factory`. `live` holds the values of the settings form of an account in the
PSP's own sandbox; None asks for a stand-in with a fresh account.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
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
from integrator.psp.types import Authorize, Call, Instrument, Operation, RedirectRequired

C = TypeVar("C", bound=Call)


class Customer(StrEnum):
    """What the customer does at the hosted page, and what that must come to."""

    PAYS = "pays"  # Approved
    LACKS_FUNDS = "lacks_funds"  # Declined, InsufficientBalance
    USES_AN_EXPIRED_CARD = "uses_an_expired_card"  # Declined, BearerExpired
    IS_REFUSED = "is_refused"  # Declined, Rejected
    CANCELS = "cancels"  # Declined, status Cancelled
    STAYS_AWAY = "stays_away"  # Declined, status Expired: time runs out now


class Script(StrEnum):
    """What the PSP can be made to do with one operation, by its amount or payment method."""

    LACKS_FUNDS = "lacks_funds"  # Declined, InsufficientBalance
    EXPIRED_CARD = "expired_card"  # Declined, BearerExpired
    PENDING_THEN_DONE = "pending_then_done"  # first Pending, within the patience Approved
    PENDING_THEN_FAILED = "pending_then_failed"  # first Pending, within the patience Declined
    CHARGED_BACK = "charged_back"  # done, within the patience taken back by the payer's bank


class ErrorCase(StrEnum):
    """Things every PSP can say in its own error format, and what they must come to."""

    THROTTLED = "throttled"  # with HTTP 429: RateLimited
    UNAUTHORIZED = "unauthorized"  # CredentialsRejected
    FAILED = "failed"  # with a 5xx: OutcomeUnknown
    UNHEARD_OF = "unheard_of"  # a refusal with a code that is not documented: never an approval


class Movement(StrEnum):
    """The kinds of the PSP's own books."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    CHARGE = "charge"
    REFUND = "refund"
    VOID = "void"
    CHARGEBACK = "chargeback"


@dataclass(frozen=True)
class Booking:
    """One entry of the PSP's books; `amount` in major units."""

    kind: Movement
    amount: Decimal
    currency: str


@dataclass(frozen=True)
class PspAnswer:
    """An HTTP answer as the PSP words it."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def json(cls, status: int, body: Any, **headers: str) -> "PspAnswer":
        """An answer in JSON; `Retry_After="3"` becomes the header `Retry-After`."""
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        return cls(status, json.dumps(body).encode(), {"Content-Type": "application/json", **named})


@dataclass(frozen=True)
class Refusal:
    """One row of the PSP's table of refusals: its answer to `operation`, and what it must become.

    `code` is the contract's code of the `Declined`, or `error` the exception. `at` is a part of the
    path of the request that is answered so; by default it is the operation's first that writes.
    `answer` may be built from the call, where a refusal has to repeat the reference.
    """

    label: str
    operation: Operation
    answer: PspAnswer | Callable[[Call], PspAnswer]
    code: PaymentErrorCode | None = None
    error: type[PspError] | None = None
    role: Role = Role.CreditCard
    at: str = ""

    def __post_init__(self) -> None:
        if (self.code is None) == (self.error is None):
            raise ValueError("A refusal becomes either a Declined or an exception.")


@dataclass(frozen=True)
class Delivery:
    """A notification as it was received."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Signature:
    """What the PSP's signatures protect.

    `setting` is the key of the settings form that holds the webhook secret, `several` whether it
    may hold two of them, separated by a comma, during a rotation. `covers_body` False: the body
    cannot be trusted, so that every notice has to leave the state to a look-up. `window` says
    whether the signed time is checked against the clock.
    """

    setting: str
    covers_body: bool = True
    window: bool = True
    several: bool = True


class Harness:
    """An adapter, an account at its PSP or stand-in, and the levers there.

    `form` are good values of the settings form; `wrong_form` the same with credentials that the PSP
    refuses. Scripted amounts aside, the kit takes amounts of about 50. `patience` is how many
    seconds the PSP takes at most to decide what was pending and to send its notifications.
    `transport` leads to a stand-in that is an object of this process (`httpx.MockTransport`,
    `httpx.ASGITransport`); None: to the addresses that the adapter names.
    """

    adapter: Adapter
    form: Mapping[str, str]
    wrong_form: Mapping[str, str] | None = None
    patience: float = 8.0
    signature: Signature | None = None
    transport: httpx.AsyncBaseTransport | None = None

    def currencies(self, role: Role) -> Sequence[str]:
        """What a payment method can take; one with no, two and three decimals where there are."""
        return ("EUR",)

    # --- customers

    def bearer(self, role: Role) -> dict[str, str] | None:
        """Good payment data typed at Billwerk+, for roles with the capability `initial_bearer`."""
        return None

    async def instrument(self, role: Role, currency: str) -> Instrument | None:
        """A stored payment method, ready to be charged.

        None: the kit signs a customer up, by `bearer` or by `visit`.
        """
        return None

    async def migration_token(self, role: Role, currency: str) -> str | None:
        """The name of a customer or payment method that exists at the PSP."""
        return None

    async def visit(self, call: Authorize, redirect: RedirectRequired, customer: Customer) -> bool:
        """Play the customer at the hosted page; False: cannot be played."""
        return False

    async def scripted(self, call: C, script: Script) -> C | None:
        """The call, altered (amount, payment method) so that the PSP follows the script."""
        return None

    # --- the PSP's own words

    def answer(self, said: ErrorCase) -> PspAnswer | None:
        """How the PSP words it. `Retry-After` is added by the kit."""
        return None

    def refusals(self) -> Sequence[Refusal]:
        """The adapter's table of refusals, row by row."""
        return ()

    # --- the PSP's books

    async def booked(self, reference: str) -> Sequence[Booking] | None:
        """Everything booked under a reference, read past the adapter."""
        return None

    # --- notifications

    async def deliveries(self) -> Sequence[Delivery] | None:
        """Every notification the PSP has sent so far, in the order of arrival."""
        return None

    def signed(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        """The delivery's body, signed anew with a secret and a time. Needed with `signature`."""
        raise NotImplementedError

    def batched(self, deliveries: Sequence[Delivery]) -> Delivery | None:
        """One delivery with all their events (to be signed by the kit), if the PSP has such."""
        return None

    def unknown_event(self) -> Delivery | None:
        """An event of a kind that the adapter has never heard of (to be signed by the kit)."""
        return None


HarnessFactory = Callable[[Mapping[str, str] | None], AbstractAsyncContextManager[Harness]]
"""See the module's text. Raises `Unavailable` if there is no bench for what was asked."""


class Unavailable(Exception):
    """There is no such bench: the text says why (no stand-in, not usable with live credentials)."""
