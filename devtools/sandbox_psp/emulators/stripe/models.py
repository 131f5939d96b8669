"""Stripe's objects besides the engine's records, and look-ups of both.

Related objects share their id's suffix: a PaymentIntent `pi_x` is the authorization `auth_x` or the
charge `ch_x`, a SetupIntent `seti_x` the mandate `mdt_x` (whose payment method is `pm_x`) or the
checkout session `cs_x`.
"""

from typing import Any, ClassVar, TypeVar

from pydantic import Field

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe.errors import resource_missing
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
    """A customer."""

    kind: ClassVar[str] = "stripe_customer"

    name: str | None = None
    email: str | None = None
    address: dict[str, Any] | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    created_at: str


class PaymentIntent(Record):
    """A PaymentIntent; `amount` in Stripe's minor unit. The engine's records hold its result."""

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
    def is_manual(self) -> bool:
        """Return whether it authorizes first."""
        return self.capture_method == "manual"


def with_prefix(id: str, prefix: str) -> str:
    """Return the id of the related object with another prefix."""
    return f"{prefix}_{id.partition('_')[2]}"


def find(ctx: Context, cls: type[R], account: str, id: str) -> R | None:
    """Return the account's record, or None."""
    try:
        return repository.get_owned(ctx.db, cls, account, id)
    except PspError:
        return None


def get_owned(ctx: Context, cls: type[R], account: str, id: str, name: str) -> R:
    """Return the account's record; StripeError 404 if there is none."""
    record = find(ctx, cls, account, id)
    if record is None:
        raise resource_missing(name, id)
    return record


def get_payment_method(
    ctx: Context, account: str, id: str, param: str = "payment_method"
) -> PaymentMethod:
    """Return a stored card, or a mandate as a payment method; StripeError 404 if there is none."""
    card = find(ctx, PaymentMethod, account, id)
    mandate = None if card else find(ctx, Mandate, account, with_prefix(id, "mdt"))
    if card is None and mandate is None:
        raise resource_missing("PaymentMethod", id, param)
    return card or mandate.as_payment_method()  # type: ignore[union-attr]


def get_intent(ctx: Context, account: str, id: str) -> PaymentIntent:
    """Return a PaymentIntent, also one created by Checkout; StripeError 404 if there is none."""
    if (intent := find(ctx, PaymentIntent, account, id)) is not None:
        return intent
    if (authorization := find(ctx, Authorization, account, with_prefix(id, "auth"))) is not None:
        return intent_from_authorization(ctx, authorization)
    session = find(ctx, CheckoutSession, account, with_prefix(id, "cs"))
    if session is not None and session.failure is not None:
        return intent_from_failed_session(session)
    raise resource_missing("payment_intent", id, "intent")


def intent_from_authorization(ctx: Context, authorization: Authorization) -> PaymentIntent:
    """Return the PaymentIntent that Checkout created for an authorization."""
    payment_method = get_payment_method(ctx, authorization.account, authorization.payment_method)
    return PaymentIntent(
        id=with_prefix(authorization.id, "pi"),
        account=authorization.account,
        reference=authorization.reference,
        amount=to_stripe(authorization.amount, authorization.currency),
        currency=authorization.currency,
        capture_method="manual",
        customer=payment_method.customer,
        payment_method=authorization.payment_method,
        metadata={"reference": authorization.reference} if authorization.reference else {},
        setup_future_usage="off_session",
        created_at=authorization.created_at,
    )


def intent_from_failed_session(session: CheckoutSession) -> PaymentIntent:
    """Return the PaymentIntent of a session whose payment was declined."""
    return PaymentIntent(
        id=with_prefix(session.id, "pi"),
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


def find_authorization(ctx: Context, intent: PaymentIntent) -> Authorization | None:
    """Return the authorization of a PaymentIntent, or None."""
    return (
        find(ctx, Authorization, intent.account, with_prefix(intent.id, "auth"))
        if intent.is_manual
        else None
    )


def find_charge(ctx: Context, intent: PaymentIntent) -> Charge | None:
    """Return the charge of a PaymentIntent, of several captures the last one, or None."""
    if not intent.is_manual:
        return find(ctx, Charge, intent.account, with_prefix(intent.id, "ch"))
    row = ctx.db.one(
        "SELECT body FROM objects WHERE kind = 'charge' AND parent = ?"
        " ORDER BY number DESC LIMIT 1",
        with_prefix(intent.id, "auth"),
    )
    return Charge.model_validate_json(row["body"]) if row else None


def intent_of_charge(ctx: Context, charge: Charge) -> PaymentIntent:
    """Return the PaymentIntent of a charge."""
    return get_intent(ctx, charge.account, with_prefix(charge.authorization or charge.id, "pi"))


def record_from_snapshot(cls: type[R], account: str, data: dict[str, Any]) -> R:
    """Return a record from an event's data, which lacks `account` and nests the payment method."""
    payment_method = data.get("payment_method")
    fields = (
        {**data, "payment_method": payment_method["id"]}
        if isinstance(payment_method, dict)
        else data
    )
    return cls.model_validate({**fields, "account": account})
