"""What Stripe keeps beside the engine's records, and how both are found.

Ids say what belongs together: a PaymentIntent `pi_x` is the authorization `auth_x` or the charge
`ch_x`, a SetupIntent `seti_x` the mandate `mdt_x` (whose payment method is `pm_x`) or the checkout
session `cs_x`.
"""

from typing import Any, ClassVar, TypeVar

from pydantic import Field

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe.errors import missing
from devtools.sandbox_psp.emulators.stripe.money import to_stripe
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    CheckoutSession,
    Failure,
    Mandate,
    PaymentMethod,
    Record,
)

R = TypeVar("R", bound=Record)


class Customer(Record):
    """Who pays."""

    kind: ClassVar[str] = "stripe_customer"

    name: str | None = None
    email: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    created_at: str


class Intent(Record):
    """A PaymentIntent; `amount` in Stripe's minor unit. What it came to is the engine's."""

    kind: ClassVar[str] = "stripe_intent"

    amount: int
    currency: str
    capture_method: str
    customer: str | None
    payment_method: str | None
    types: list[str] = Field(default_factory=lambda: ["card"])
    metadata: dict[str, str] = Field(default_factory=dict)
    description: str | None = None
    setup_future_usage: str | None = None
    canceled: bool = False
    failure: Failure | None = None
    created_at: str

    @property
    def manual(self) -> bool:
        """Whether it reserves first."""
        return self.capture_method == "manual"


def turned(id: str, prefix: str) -> str:
    """The id of what belongs to `id`, with another prefix."""
    return f"{prefix}_{id.partition('_')[2]}"


def look(ctx: Context, cls: type[R], account: str, id: str) -> R | None:
    """The account's record, or None."""
    try:
        return repository.owned(ctx.db, cls, account, id)
    except PspError:
        return None


def owned(ctx: Context, cls: type[R], account: str, id: str, name: str) -> R:
    """The account's record; StripeError 404."""
    found = look(ctx, cls, account, id)
    if found is None:
        raise missing(name, id)
    return found


def method(ctx: Context, account: str, id: str, param: str = "payment_method") -> PaymentMethod:
    """A stored card, or a mandate's account; StripeError 404."""
    card = look(ctx, PaymentMethod, account, id)
    mandate = None if card else look(ctx, Mandate, account, turned(id, "mdt"))
    if card is None and mandate is None:
        raise missing("PaymentMethod", id, param)
    return card or mandate.as_method()  # type: ignore[union-attr]


def intent(ctx: Context, account: str, id: str) -> Intent:
    """A PaymentIntent, also one that Checkout has made; StripeError 404."""
    if (kept := look(ctx, Intent, account, id)) is not None:
        return kept
    if (held := look(ctx, Authorization, account, turned(id, "auth"))) is not None:
        return of_authorization(ctx, held)
    session = look(ctx, CheckoutSession, account, turned(id, "cs"))
    if session is not None and session.failure is not None:
        return of_failed(session)
    raise missing("payment_intent", id, "intent")


def of_authorization(ctx: Context, held: Authorization) -> Intent:
    """The PaymentIntent that Checkout has made."""
    paid_by = method(ctx, held.account, held.payment_method)
    return Intent(
        id=turned(held.id, "pi"),
        account=held.account,
        reference=held.reference,
        amount=to_stripe(held.amount, held.currency),
        currency=held.currency,
        capture_method="manual",
        customer=paid_by.customer,
        payment_method=held.payment_method,
        metadata={"reference": held.reference} if held.reference else {},
        setup_future_usage="off_session",
        created_at=held.created_at,
    )


def of_failed(session: CheckoutSession) -> Intent:
    """The PaymentIntent of a session whose customer was declined."""
    return Intent(
        id=turned(session.id, "pi"),
        account=session.account,
        reference=session.reference,
        amount=to_stripe(session.amount, session.currency),
        currency=session.currency,
        capture_method="manual",
        customer=None,
        payment_method=None,
        metadata={"reference": session.reference} if session.reference else {},
        setup_future_usage="off_session",
        failure=session.failure,
        created_at=session.created_at,
    )


def held_by(ctx: Context, made: Intent) -> Authorization | None:
    """The reservation of a PaymentIntent."""
    return look(ctx, Authorization, made.account, turned(made.id, "auth")) if made.manual else None


def taken_by(ctx: Context, made: Intent) -> Charge | None:
    """The money of a PaymentIntent: of several captures the last one."""
    if not made.manual:
        return look(ctx, Charge, made.account, turned(made.id, "ch"))
    row = ctx.db.one(
        "SELECT body FROM objects WHERE kind = 'charge' AND parent = ?"
        " ORDER BY number DESC LIMIT 1",
        turned(made.id, "auth"),
    )
    return Charge.model_validate_json(row["body"]) if row else None


def of_charge(ctx: Context, charge: Charge) -> Intent:
    """The PaymentIntent behind a charge."""
    return intent(ctx, charge.account, turned(charge.authorization or charge.id, "pi"))


def from_snapshot(cls: type[R], account: str, data: dict[str, Any]) -> R:
    """A record as an event has kept it: without its owner, its payment method in full."""
    stored = data.get("payment_method")
    flat = {**data, "payment_method": stored["id"]} if isinstance(stored, dict) else data
    return cls.model_validate({**flat, "account": account})
