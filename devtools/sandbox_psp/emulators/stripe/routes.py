"""Stripe's API under /v1, as far as this dialect goes."""

from fastapi import APIRouter, Request, Response

from devtools.sandbox_psp import magic_amounts
from devtools.sandbox_psp.emulators.stripe import (
    events,
    models,
    operations,
    pagination,
    requests,
    serializers,
)
from devtools.sandbox_psp.emulators.stripe.auth import Called, Caller, Look
from devtools.sandbox_psp.emulators.stripe.errors import StripeError, missing
from devtools.sandbox_psp.emulators.stripe.models import Customer, Intent
from devtools.sandbox_psp.emulators.stripe.money import to_engine
from devtools.sandbox_psp.emulators.stripe.serializers import View
from devtools.sandbox_psp.magic_amounts import Ending
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Mandate, Refund

router = APIRouter(prefix="/v1")


@router.get("/account")
async def show_account(caller: Called) -> Response:
    """The account behind the API key."""
    shown = {
        "id": models.turned(caller.account, "acct"),
        "object": "account",
        "type": "standard",
        "charges_enabled": True,
        "capabilities": {"card_payments": "active", "sepa_debit_payments": "active"},
    }
    return await caller.get(lambda: shown)


@router.post("/customers")
async def make_customer(caller: Called) -> Response:
    """Make a customer."""
    asked = caller.body(requests.CustomerParams)
    return await caller.post(
        "mandate", lambda: operations.make_customer(caller.ctx, caller.account, asked)
    )


@router.get("/customers/{id}")
async def show_customer(id: str, caller: Called) -> Response:
    """A customer."""
    return await _one(
        caller,
        lambda: serializers.customer(
            models.owned(caller.ctx, Customer, caller.account, id, "customer")
        ),
    )


@router.get("/payment_methods/{id}")
async def show_method(id: str, caller: Called) -> Response:
    """A stored payment method."""
    return await _one(
        caller, lambda: serializers.payment_method(models.method(caller.ctx, caller.account, id))
    )


@router.post("/checkout/sessions")
async def open_session(caller: Called) -> Response:
    """Open a hosted page."""
    asked = caller.body(requests.SessionParams)
    return await caller.post(
        "checkout_session",
        lambda: operations.open_session(caller.ctx, caller.account, asked, caller.origin),
    )


@router.get("/checkout/sessions/{id}")
async def show_session(id: str, caller: Called) -> Response:
    """A checkout session."""
    ctx, account = caller.ctx, caller.account
    return await _one(
        caller,
        lambda: serializers.session(
            ctx, models.owned(ctx, CheckoutSession, account, id, "checkout.session")
        ),
    )


@router.get("/checkout/sessions")
async def list_sessions(caller: Called) -> Response:
    """The checkout sessions."""
    ctx, asked = caller.ctx, caller.query(requests.ListParams)

    def show(_: str, body: str) -> View:
        return serializers.session(ctx, CheckoutSession.model_validate_json(body))

    return await caller.get(
        lambda: pagination.page(ctx, caller.account, asked, ["checkout_session"], show)
    )


@router.post("/checkout/sessions/{id}/expire")
async def expire_session(id: str, caller: Called) -> Response:
    """Close an open page."""
    expand = caller.body(requests.Nothing).expand
    return await caller.post(
        "checkout_session",
        lambda: operations.expire_session(caller.ctx, caller.account, id, expand),
    )


@router.post("/payment_intents")
async def make_intent(caller: Called) -> Response:
    """Make a PaymentIntent, not to be confirmed yet."""
    asked = caller.body(requests.IntentParams)
    operation = "authorize" if asked.capture_method == "manual" else "charge"
    return await caller.post(
        operation,  # type: ignore[arg-type]
        lambda: operations.make_intent(caller.ctx, caller.account, asked),
    )


@router.post("/payment_intents/{id}/confirm")
async def confirm(id: str, caller: Called) -> Response:
    """Hold or take the money."""
    asked = caller.body(requests.ConfirmParams)
    made = models.intent(caller.ctx, caller.account, id)
    return await caller.post(
        "authorize" if made.manual else "charge",
        lambda: operations.confirm(caller.ctx, caller.account, id, asked, caller.key),
        None if made.manual else _steered(made.amount, made),
    )


@router.post("/payment_intents/{id}/capture")
async def capture(id: str, caller: Called) -> Response:
    """Take reserved money."""
    asked = caller.body(requests.CaptureParams)
    made = models.intent(caller.ctx, caller.account, id)
    return await caller.post(
        "capture",
        lambda: operations.capture(caller.ctx, caller.account, id, asked, caller.key),
        _steered(asked.amount_to_capture or made.amount, made),
    )


@router.post("/payment_intents/{id}/cancel")
async def cancel(id: str, caller: Called) -> Response:
    """Give reserved money back."""
    asked = caller.body(requests.CancelParams)
    return await caller.post(
        "void", lambda: operations.cancel(caller.ctx, caller.account, id, asked, caller.key)
    )


@router.get("/payment_intents/search")
async def search_intents(caller: Called) -> Response:
    """PaymentIntents by metadata."""
    asked = caller.query(requests.SearchParams)
    return await caller.get(lambda: pagination.search(caller.ctx, caller.account, asked))


@router.get("/payment_intents/{id}")
async def show_intent(id: str, caller: Called) -> Response:
    """A PaymentIntent."""
    ctx = caller.ctx
    return await _one(
        caller, lambda: serializers.intent(ctx, models.intent(ctx, caller.account, id))
    )


@router.get("/payment_intents")
async def list_intents(caller: Called) -> Response:
    """The PaymentIntents."""
    ctx, asked = caller.ctx, caller.query(requests.ListParams)

    def show(kind: str, body: str) -> View | None:
        made = pagination.of_row(ctx, kind, body)
        return None if made is None else serializers.intent(ctx, made)

    kinds = [Intent.kind, Authorization.kind]
    return await caller.get(lambda: pagination.page(ctx, caller.account, asked, kinds, show))


@router.post("/setup_intents")
async def make_setup(caller: Called) -> Response:
    """Store a bank account."""
    asked = caller.body(requests.SetupParams)
    return await caller.post("mandate", lambda: operations.sign(caller.ctx, caller.account, asked))


@router.get("/setup_intents/{id}")
async def show_setup(id: str, caller: Called) -> Response:
    """What has stored a payment method."""
    ctx, account = caller.ctx, caller.account

    def look() -> View:
        signed = models.look(ctx, Mandate, account, models.turned(id, "mdt"))
        visited = models.look(ctx, CheckoutSession, account, models.turned(id, "cs"))
        if signed is None and (visited is None or visited.status != "completed"):
            raise missing("setup_intent", id, "intent")
        return serializers.setup_intent(ctx, signed or visited)  # type: ignore[arg-type]

    return await _one(caller, look)


@router.get("/setup_intents")
async def list_setups(caller: Called) -> Response:
    """The SetupIntents of mandates."""
    ctx, asked = caller.ctx, caller.query(requests.ListParams)

    def show(_: str, body: str) -> View:
        return serializers.setup_intent(ctx, Mandate.model_validate_json(body))

    return await caller.get(
        lambda: pagination.page(ctx, caller.account, asked, [Mandate.kind], show)
    )


@router.get("/mandates/{id}")
async def show_mandate(id: str, caller: Called) -> Response:
    """A mandate."""
    ctx, account = caller.ctx, caller.account
    mandate_id = models.turned(id, "mdt")
    return await _one(
        caller,
        lambda: serializers.mandate(models.owned(ctx, Mandate, account, mandate_id, "mandate")),
    )


@router.get("/charges/{id}")
async def show_charge(id: str, caller: Called) -> Response:
    """A charge, or the reservation that may become one."""
    ctx, account = caller.ctx, caller.account

    def look() -> View:
        if (taken := models.look(ctx, Charge, account, id)) is not None:
            return serializers.charge(ctx, taken)
        held = models.owned(ctx, Authorization, account, models.turned(id, "auth"), "charge")
        made = models.intent(ctx, account, models.turned(held.id, "pi"))
        return serializers.uncaptured(ctx, made, held)

    return await _one(caller, look)


@router.post("/refunds")
async def refund(caller: Called) -> Response:
    """Give money back."""
    asked = caller.body(requests.RefundParams)
    charged = operations.refunded(caller.ctx, caller.account, asked)
    made = models.of_charge(caller.ctx, charged)
    return await caller.post(
        "refund",
        lambda: operations.refund(caller.ctx, caller.account, asked, caller.key),
        None if asked.amount is None else _steered(asked.amount, made),
    )


@router.get("/refunds/{id}")
async def show_refund(id: str, caller: Called) -> Response:
    """A refund."""
    ctx, account = caller.ctx, caller.account
    return await _one(
        caller, lambda: serializers.refund(ctx, models.owned(ctx, Refund, account, id, "refund"))
    )


@router.get("/refunds")
async def list_refunds(caller: Called) -> Response:
    """The refunds, also of one payment."""
    ctx, asked = caller.ctx, caller.query(requests.RefundListParams)
    charge = asked.charge
    if asked.payment_intent is not None:
        taken = models.taken_by(ctx, models.intent(ctx, caller.account, asked.payment_intent))
        charge = taken.id if taken else ""

    def show(kind: str, body: str) -> View | None:
        if kind == Refund.kind:
            return serializers.refund(ctx, Refund.model_validate_json(body))
        return serializers.let_go(ctx, Authorization.model_validate_json(body))

    kinds = [Refund.kind] if charge is not None else [Refund.kind, Authorization.kind]
    where, values = ("", []) if charge is None else (" AND parent = ?", [charge])
    return await caller.get(
        lambda: pagination.page(ctx, caller.account, asked, kinds, show, where, *values)
    )


@router.get("/disputes")
async def list_disputes(caller: Called) -> Response:
    """The disputes of one payment."""
    ctx, asked = caller.ctx, caller.query(requests.DisputeListParams)

    def look() -> View:
        if asked.charge is not None:
            disputed = models.look(ctx, Charge, caller.account, asked.charge)
        else:
            made = models.intent(ctx, caller.account, asked.payment_intent or "")
            disputed = models.taken_by(ctx, made)
        if disputed is None:
            return pagination.cut(asked, [])
        found = [serializers.dispute(ctx, disputed, taken) for taken in disputed.chargebacks]
        return pagination.cut(asked, found[::-1])

    return await caller.get(look)


@router.get("/balance_transactions")
async def list_balance(caller: Called) -> Response:
    """What charges have brought; refunds and disputes are left out."""
    ctx, asked = caller.ctx, caller.query(requests.BalanceListParams)

    def show(_: str, body: str) -> View | None:
        view = serializers.balance_transaction(ctx, Charge.model_validate_json(body))
        return view if asked.type in (None, view["type"]) else None

    settled = " AND json_extract(body, '$.status') = 'succeeded'"
    return await caller.get(
        lambda: pagination.page(ctx, caller.account, asked, [Charge.kind], show, settled)
    )


@router.get("/events")
async def list_events(caller: Called) -> Response:
    """What has happened."""
    asked = caller.query(requests.EventListParams)
    return await caller.get(lambda: events.page(caller.ctx, caller.account, asked))


@router.get("/events/{id}")
async def show_event(id: str, caller: Called) -> Response:
    """One of them."""
    return await caller.get(lambda: events.one(caller.ctx, caller.account, id))


@router.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
async def unrecognized(path: str, request: Request) -> Response:
    """Stripe has more than this dialect."""
    message = f"Unrecognized request URL ({request.method}: /v1/{path})."
    raise StripeError(404, "invalid_request_error", message)


async def _one(caller: Caller, look: Look) -> Response:
    expand = caller.query(requests.Nothing).expand
    return await caller.get(lambda: serializers.expanded(look(), expand))


def _steered(amount: int, made: Intent) -> Ending | None:
    return magic_amounts.read(to_engine(amount, made.currency), made.currency)
