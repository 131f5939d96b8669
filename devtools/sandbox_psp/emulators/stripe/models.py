"""What Stripe keeps beside the engine's records, and how both are found.

Ids say what belongs together: a PaymentIntent `pi_x` is the authorization `auth_x` or the charge
`ch_x`, a SetupIntent `seti_x` the mandate `mdt_x` (whose payment method is `pm_x`) or the checkout
session `cs_x`.
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
    """Who pays."""

    kind: ClassVar[str] = "stripe_customer"

    name: str | None = None
    email: str | None = None
    metadata: dict[str, str] = Field(default_factory=dict)
    created_at: str


class PaymentIntent(Record):
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
    def is_manual(self) -> bool:
        """Whether it reserves first."""
        return self.capture_method == "manual"


def with_prefix(id: str, prefix: str) -> str:
    """The id of what belongs to `id`, with another prefix."""
    return f"{prefix}_{id.partition('_')[2]}"


def find(ctx: Context, cls: type[R], account: str, id: str) -> R | None:
    """The account's record, or None."""
    try:
        return repository.get_owned(ctx.db, cls, account, id)
    except PspError:
        return None


def get_owned(ctx: Context, cls: type[R], account: str, id: str, name: str) -> R:
    """The account's record; StripeError 404."""
    record = find(ctx, cls, account, id)
    if record is None:
        raise resource_missing(name, id)
    return record


def get_payment_method(
    ctx: Context, account: str, id: str, param: str = "payment_method"
) -> PaymentMethod:
    """A stored card, or a mandate's account; StripeError 404."""
    card = find(ctx, PaymentMethod, account, id)
    mandate = None if card else find(ctx, Mandate, account, with_prefix(id, "mdt"))
    if card is None and mandate is None:
        raise resource_missing("PaymentMethod", id, param)
    return card or mandate.as_payment_method()  # type: ignore[union-attr]


def get_intent(ctx: Context, account: str, id: str) -> PaymentIntent:
    """A PaymentIntent, also one that Checkout has made; StripeError 404."""
    if (stored := find(ctx, PaymentIntent, account, id)) is not None:
        return stored
    if (authorization := find(ctx, Authorization, account, with_prefix(id, "auth"))) is not None:
        return intent_from_authorization(ctx, authorization)
    session = find(ctx, CheckoutSession, account, with_prefix(id, "cs"))
    if session is not None and session.failure is not None:
        return intent_from_failed_session(session)
    raise resource_missing("payment_intent", id, "intent")


def intent_from_authorization(ctx: Context, authorization: Authorization) -> PaymentIntent:
    """The PaymentIntent that Checkout has made."""
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
    """The PaymentIntent of a session whose customer was declined."""
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
    """The reservation of a PaymentIntent."""
    return (
        find(ctx, Authorization, intent.account, with_prefix(intent.id, "auth"))
        if intent.is_manual
        else None
    )


def find_charge(ctx: Context, intent: PaymentIntent) -> Charge | None:
    """The money of a PaymentIntent: of several captures the last one."""
    if not intent.is_manual:
        return find(ctx, Charge, intent.account, with_prefix(intent.id, "ch"))
    row = ctx.db.one(
        "SELECT body FROM objects WHERE kind = 'charge' AND parent = ?"
        " ORDER BY number DESC LIMIT 1",
        with_prefix(intent.id, "auth"),
    )
    return Charge.model_validate_json(row["body"]) if row else None


def intent_of_charge(ctx: Context, charge: Charge) -> PaymentIntent:
    """The PaymentIntent behind a charge."""
    return get_intent(ctx, charge.account, with_prefix(charge.authorization or charge.id, "pi"))


def record_from_snapshot(cls: type[R], account: str, data: dict[str, Any]) -> R:
    """A record as an event has kept it: without its owner, its payment method in full."""
    payment_method = data.get("payment_method")
    fields = (
        {**data, "payment_method": payment_method["id"]}
        if isinstance(payment_method, dict)
        else data
    )
    return cls.model_validate({**fields, "account": account})
