"""Stripe's API under /v1, as far as this dialect goes."""

from fastapi import APIRouter, Request, Response

from sandbox_psp import steering
from sandbox_psp.dialects.stripe import events, lists, params, records, views, work
from sandbox_psp.dialects.stripe.caller import Called, Caller, Look
from sandbox_psp.dialects.stripe.errors import StripeError, missing
from sandbox_psp.dialects.stripe.money import to_engine
from sandbox_psp.dialects.stripe.records import Customer, Intent
from sandbox_psp.dialects.stripe.views import View
from sandbox_psp.records import Authorization, Charge, CheckoutSession, Mandate, Refund
from sandbox_psp.steering import Ending

router = APIRouter(prefix="/v1")


@router.get("/account")
async def show_account(caller: Called) -> Response:
    """The account behind the API key."""
    shown = {
        "id": records.turned(caller.account, "acct"),
        "object": "account",
        "type": "standard",
        "charges_enabled": True,
        "capabilities": {"card_payments": "active", "sepa_debit_payments": "active"},
    }
    return await caller.get(lambda: shown)


@router.post("/customers")
async def make_customer(caller: Called) -> Response:
    """Make a customer."""
    asked = caller.body(params.CustomerParams)
    return await caller.post(
        "mandate", lambda: work.make_customer(caller.ctx, caller.account, asked)
    )


@router.get("/customers/{id}")
async def show_customer(id: str, caller: Called) -> Response:
    """A customer."""
    return await _one(
        caller,
        lambda: views.customer(records.owned(caller.ctx, Customer, caller.account, id, "customer")),
    )


@router.get("/payment_methods/{id}")
async def show_method(id: str, caller: Called) -> Response:
    """A stored payment method."""
    return await _one(
        caller, lambda: views.payment_method(records.method(caller.ctx, caller.account, id))
    )


@router.post("/checkout/sessions")
async def open_session(caller: Called) -> Response:
    """Open a hosted page."""
    asked = caller.body(params.SessionParams)
    return await caller.post(
        "checkout_session",
        lambda: work.open_session(caller.ctx, caller.account, asked, caller.origin),
    )


@router.get("/checkout/sessions/{id}")
async def show_session(id: str, caller: Called) -> Response:
    """A checkout session."""
    ctx, account = caller.ctx, caller.account
    return await _one(
        caller,
        lambda: views.session(
            ctx, records.owned(ctx, CheckoutSession, account, id, "checkout.session")
        ),
    )


@router.get("/checkout/sessions")
async def list_sessions(caller: Called) -> Response:
    """The checkout sessions."""
    ctx, asked = caller.ctx, caller.query(params.ListParams)

    def show(_: str, body: str) -> View:
        return views.session(ctx, CheckoutSession.model_validate_json(body))

    return await caller.get(
        lambda: lists.page(ctx, caller.account, asked, ["checkout_session"], show)
    )


@router.post("/checkout/sessions/{id}/expire")
async def expire_session(id: str, caller: Called) -> Response:
    """Close an open page."""
    expand = caller.body(params.Nothing).expand
    return await caller.post(
        "checkout_session",
        lambda: work.expire_session(caller.ctx, caller.account, id, expand),
    )


@router.post("/payment_intents")
async def make_intent(caller: Called) -> Response:
    """Make a PaymentIntent, not to be confirmed yet."""
    asked = caller.body(params.IntentParams)
    operation = "authorize" if asked.capture_method == "manual" else "charge"
    return await caller.post(
        operation,  # type: ignore[arg-type]
        lambda: work.make_intent(caller.ctx, caller.account, asked),
    )


@router.post("/payment_intents/{id}/confirm")
async def confirm(id: str, caller: Called) -> Response:
    """Hold or take the money."""
    asked = caller.body(params.ConfirmParams)
    made = records.intent(caller.ctx, caller.account, id)
    return await caller.post(
        "authorize" if made.manual else "charge",
        lambda: work.confirm(caller.ctx, caller.account, id, asked, caller.key),
        None if made.manual else _steered(made.amount, made),
    )


@router.post("/payment_intents/{id}/capture")
async def capture(id: str, caller: Called) -> Response:
    """Take reserved money."""
    asked = caller.body(params.CaptureParams)
    made = records.intent(caller.ctx, caller.account, id)
    return await caller.post(
        "capture",
        lambda: work.capture(caller.ctx, caller.account, id, asked, caller.key),
        _steered(asked.amount_to_capture or made.amount, made),
    )


@router.post("/payment_intents/{id}/cancel")
async def cancel(id: str, caller: Called) -> Response:
    """Give reserved money back."""
    asked = caller.body(params.CancelParams)
    return await caller.post(
        "void", lambda: work.cancel(caller.ctx, caller.account, id, asked, caller.key)
    )


@router.get("/payment_intents/search")
async def search_intents(caller: Called) -> Response:
    """PaymentIntents by metadata."""
    asked = caller.query(params.SearchParams)
    return await caller.get(lambda: lists.search(caller.ctx, caller.account, asked))


@router.get("/payment_intents/{id}")
async def show_intent(id: str, caller: Called) -> Response:
    """A PaymentIntent."""
    ctx = caller.ctx
    return await _one(caller, lambda: views.intent(ctx, records.intent(ctx, caller.account, id)))


@router.get("/payment_intents")
async def list_intents(caller: Called) -> Response:
    """The PaymentIntents."""
    ctx, asked = caller.ctx, caller.query(params.ListParams)

    def show(kind: str, body: str) -> View | None:
        made = lists.of_row(ctx, kind, body)
        return None if made is None else views.intent(ctx, made)

    kinds = [Intent.kind, Authorization.kind]
    return await caller.get(lambda: lists.page(ctx, caller.account, asked, kinds, show))


@router.post("/setup_intents")
async def make_setup(caller: Called) -> Response:
    """Store a bank account."""
    asked = caller.body(params.SetupParams)
    return await caller.post("mandate", lambda: work.sign(caller.ctx, caller.account, asked))


@router.get("/setup_intents/{id}")
async def show_setup(id: str, caller: Called) -> Response:
    """What has stored a payment method."""
    ctx, account = caller.ctx, caller.account

    def look() -> View:
        signed = records.look(ctx, Mandate, account, records.turned(id, "mdt"))
        visited = records.look(ctx, CheckoutSession, account, records.turned(id, "cs"))
        if signed is None and (visited is None or visited.status != "completed"):
            raise missing("setup_intent", id, "intent")
        return views.setup_intent(ctx, signed or visited)  # type: ignore[arg-type]

    return await _one(caller, look)


@router.get("/setup_intents")
async def list_setups(caller: Called) -> Response:
    """The SetupIntents of mandates."""
    ctx, asked = caller.ctx, caller.query(params.ListParams)

    def show(_: str, body: str) -> View:
        return views.setup_intent(ctx, Mandate.model_validate_json(body))

    return await caller.get(lambda: lists.page(ctx, caller.account, asked, [Mandate.kind], show))


@router.get("/mandates/{id}")
async def show_mandate(id: str, caller: Called) -> Response:
    """A mandate."""
    ctx, account = caller.ctx, caller.account
    mandate_id = records.turned(id, "mdt")
    return await _one(
        caller,
        lambda: views.mandate(records.owned(ctx, Mandate, account, mandate_id, "mandate")),
    )


@router.get("/charges/{id}")
async def show_charge(id: str, caller: Called) -> Response:
    """A charge, or the reservation that may become one."""
    ctx, account = caller.ctx, caller.account

    def look() -> View:
        if (taken := records.look(ctx, Charge, account, id)) is not None:
            return views.charge(ctx, taken)
        held = records.owned(ctx, Authorization, account, records.turned(id, "auth"), "charge")
        made = records.intent(ctx, account, records.turned(held.id, "pi"))
        return views.uncaptured(ctx, made, held)

    return await _one(caller, look)


@router.post("/refunds")
async def refund(caller: Called) -> Response:
    """Give money back."""
    asked = caller.body(params.RefundParams)
    charged = work.refunded(caller.ctx, caller.account, asked)
    made = records.of_charge(caller.ctx, charged)
    return await caller.post(
        "refund",
        lambda: work.refund(caller.ctx, caller.account, asked, caller.key),
        None if asked.amount is None else _steered(asked.amount, made),
    )


@router.get("/refunds/{id}")
async def show_refund(id: str, caller: Called) -> Response:
    """A refund."""
    ctx, account = caller.ctx, caller.account
    return await _one(
        caller, lambda: views.refund(ctx, records.owned(ctx, Refund, account, id, "refund"))
    )


@router.get("/refunds")
async def list_refunds(caller: Called) -> Response:
    """The refunds, also of one payment."""
    ctx, asked = caller.ctx, caller.query(params.RefundListParams)
    charge = asked.charge
    if asked.payment_intent is not None:
        taken = records.taken_by(ctx, records.intent(ctx, caller.account, asked.payment_intent))
        charge = taken.id if taken else ""

    def show(kind: str, body: str) -> View | None:
        if kind == Refund.kind:
            return views.refund(ctx, Refund.model_validate_json(body))
        return views.let_go(ctx, Authorization.model_validate_json(body))

    kinds = [Refund.kind] if charge is not None else [Refund.kind, Authorization.kind]
    where, values = ("", []) if charge is None else (" AND parent = ?", [charge])
    return await caller.get(
        lambda: lists.page(ctx, caller.account, asked, kinds, show, where, *values)
    )


@router.get("/disputes")
async def list_disputes(caller: Called) -> Response:
    """The disputes of one payment."""
    ctx, asked = caller.ctx, caller.query(params.DisputeListParams)

    def look() -> View:
        if asked.charge is not None:
            disputed = records.look(ctx, Charge, caller.account, asked.charge)
        else:
            made = records.intent(ctx, caller.account, asked.payment_intent or "")
            disputed = records.taken_by(ctx, made)
        if disputed is None:
            return lists.cut(asked, [])
        found = [views.dispute(ctx, disputed, taken) for taken in disputed.chargebacks]
        return lists.cut(asked, found[::-1])

    return await caller.get(look)


@router.get("/balance_transactions")
async def list_balance(caller: Called) -> Response:
    """What charges have brought; refunds and disputes are left out."""
    ctx, asked = caller.ctx, caller.query(params.BalanceListParams)

    def show(_: str, body: str) -> View | None:
        view = views.balance_transaction(ctx, Charge.model_validate_json(body))
        return view if asked.type in (None, view["type"]) else None

    settled = " AND json_extract(body, '$.status') = 'succeeded'"
    return await caller.get(
        lambda: lists.page(ctx, caller.account, asked, [Charge.kind], show, settled)
    )


@router.get("/events")
async def list_events(caller: Called) -> Response:
    """What has happened."""
    asked = caller.query(params.EventListParams)
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
    expand = caller.query(params.Nothing).expand
    return await caller.get(lambda: views.expanded(look(), expand))


def _steered(amount: int, made: Intent) -> Ending | None:
    return steering.read(to_engine(amount, made.currency), made.currency)
