"""Routes of the supported part of Stripe's API under /v1."""

from fastapi import APIRouter, Request, Response

from devtools.sandbox_psp import magic_amounts
from devtools.sandbox_psp.emulators.stripe import (
    disputes,
    events,
    models,
    operations,
    pagination,
    requests,
    serializers,
)
from devtools.sandbox_psp.emulators.stripe.auth import Authenticated, Caller, Loader
from devtools.sandbox_psp.emulators.stripe.errors import StripeError, resource_missing
from devtools.sandbox_psp.emulators.stripe.models import Customer, PaymentIntent
from devtools.sandbox_psp.emulators.stripe.money import to_engine
from devtools.sandbox_psp.emulators.stripe.serializers import Json
from devtools.sandbox_psp.magic_amounts import MagicEnding
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Mandate, Refund

router = APIRouter(prefix="/v1")


@router.get("/account")
async def get_account(caller: Authenticated) -> Response:
    """Return the account of the API key."""
    fields = {
        "id": models.with_prefix(caller.account, "acct"),
        "object": "account",
        "type": "standard",
        "charges_enabled": True,
        "capabilities": {"card_payments": "active", "sepa_debit_payments": "active"},
    }
    return await caller.get(lambda: fields)


@router.post("/customers")
async def create_customer(caller: Authenticated) -> Response:
    """Create a customer."""
    params = caller.body(requests.CustomerParams)
    return await caller.post(
        "mandate",
        lambda: operations.create_customer(caller.ctx, caller.account, params),
        is_creation=True,
    )


@router.get("/customers/{id}")
async def get_customer(id: str, caller: Authenticated) -> Response:
    """Return a customer."""
    return await _get_one(
        caller,
        lambda: serializers.serialize_customer(
            models.get_owned(caller.ctx, Customer, caller.account, id, "customer")
        ),
    )


@router.get("/payment_methods/{id}")
async def get_payment_method(id: str, caller: Authenticated) -> Response:
    """Return a stored payment method."""
    return await _get_one(
        caller,
        lambda: serializers.serialize_payment_method(
            models.get_payment_method(caller.ctx, caller.account, id)
        ),
    )


@router.post("/checkout/sessions")
async def create_session(caller: Authenticated) -> Response:
    """Create a hosted page."""
    params = caller.body(requests.SessionParams)
    return await caller.post(
        "checkout_session",
        lambda: operations.create_session(caller.ctx, caller.account, params, caller.origin),
        is_creation=True,
    )


@router.get("/checkout/sessions/{id}")
async def get_session(id: str, caller: Authenticated) -> Response:
    """Return a checkout session."""
    ctx, account = caller.ctx, caller.account
    return await _get_one(
        caller,
        lambda: serializers.serialize_session(
            ctx, models.get_owned(ctx, CheckoutSession, account, id, "checkout.session")
        ),
    )


@router.get("/checkout/sessions")
async def list_sessions(caller: Authenticated) -> Response:
    """List checkout sessions."""
    ctx, params = caller.ctx, caller.query(requests.ListParams)

    def serialize_row(_: str, body: str) -> Json:
        return serializers.serialize_session(ctx, CheckoutSession.model_validate_json(body))

    return await caller.get(
        lambda: pagination.list_page(
            ctx, caller.account, params, ["checkout_session"], serialize_row
        )
    )


@router.post("/checkout/sessions/{id}/expire")
async def expire_session(id: str, caller: Authenticated) -> Response:
    """Expire an open page."""
    expand = caller.body(requests.ExpandParams).expand
    return await caller.post(
        "checkout_session",
        lambda: operations.expire_session(caller.ctx, caller.account, id, expand),
    )


@router.post("/payment_intents")
async def create_intent(caller: Authenticated) -> Response:
    """Create a PaymentIntent, to be confirmed later."""
    params = caller.body(requests.PaymentIntentParams)
    operation = "authorize" if params.capture_method == "manual" else "charge"
    return await caller.post(
        operation,  # type: ignore[arg-type]
        lambda: operations.create_intent(caller.ctx, caller.account, params),
        is_creation=True,
    )


@router.post("/payment_intents/{id}/confirm")
async def confirm_intent(id: str, caller: Authenticated) -> Response:
    """Authorize or charge the PaymentIntent."""
    params = caller.body(requests.ConfirmParams)
    intent = models.get_intent(caller.ctx, caller.account, id)
    return await caller.post(
        "authorize" if intent.is_manual else "charge",
        lambda: operations.confirm_intent(caller.ctx, caller.account, id, params, caller.key),
        None if intent.is_manual else _find_ending(intent.amount, intent),
    )


@router.post("/payment_intents/{id}/capture")
async def capture_intent(id: str, caller: Authenticated) -> Response:
    """Capture an authorized PaymentIntent."""
    params = caller.body(requests.CaptureParams)
    intent = models.get_intent(caller.ctx, caller.account, id)
    return await caller.post(
        "capture",
        lambda: operations.capture_intent(caller.ctx, caller.account, id, params, caller.key),
        _find_ending(params.amount_to_capture or intent.amount, intent),
    )


@router.post("/payment_intents/{id}/cancel")
async def cancel_intent(id: str, caller: Authenticated) -> Response:
    """Cancel a PaymentIntent."""
    params = caller.body(requests.CancelParams)
    return await caller.post(
        "void", lambda: operations.cancel_intent(caller.ctx, caller.account, id, params, caller.key)
    )


@router.get("/payment_intents/search")
async def search_intents(caller: Authenticated) -> Response:
    """Search PaymentIntents by metadata."""
    params = caller.query(requests.SearchParams)
    return await caller.get(
        lambda: pagination.search_intents(caller.ctx, caller.account, params), is_search=True
    )


@router.get("/payment_intents/{id}")
async def get_intent(id: str, caller: Authenticated) -> Response:
    """Return a PaymentIntent."""
    ctx = caller.ctx
    return await _get_one(
        caller,
        lambda: serializers.serialize_intent(ctx, models.get_intent(ctx, caller.account, id)),
    )


@router.get("/payment_intents")
async def list_intents(caller: Authenticated) -> Response:
    """List PaymentIntents."""
    ctx, params = caller.ctx, caller.query(requests.ListParams)

    def serialize_row(kind: str, body: str) -> Json | None:
        intent = pagination.intent_from_row(ctx, kind, body)
        return None if intent is None else serializers.serialize_intent(ctx, intent)

    kinds = [PaymentIntent.kind, Authorization.kind]
    return await caller.get(
        lambda: pagination.list_page(ctx, caller.account, params, kinds, serialize_row)
    )


@router.post("/setup_intents")
async def create_setup_intent(caller: Authenticated) -> Response:
    """Store a bank account with a mandate."""
    params = caller.body(requests.SetupIntentParams)
    return await caller.post(
        "mandate",
        lambda: operations.create_setup_intent(caller.ctx, caller.account, params),
        is_creation=True,
    )


@router.get("/setup_intents/{id}")
async def get_setup_intent(id: str, caller: Authenticated) -> Response:
    """Return a SetupIntent."""
    ctx, account = caller.ctx, caller.account

    def load() -> Json:
        mandate = models.find(ctx, Mandate, account, models.with_prefix(id, "mdt"))
        session = models.find(ctx, CheckoutSession, account, models.with_prefix(id, "cs"))
        if mandate is None and (session is None or session.status != "completed"):
            raise resource_missing("setup_intent", id, "intent")
        return serializers.serialize_setup_intent(ctx, mandate or session)  # type: ignore[arg-type]

    return await _get_one(caller, load)


@router.get("/setup_intents")
async def list_setup_intents(caller: Authenticated) -> Response:
    """List the SetupIntents of mandates."""
    ctx, params = caller.ctx, caller.query(requests.ListParams)

    def serialize_row(_: str, body: str) -> Json:
        return serializers.serialize_setup_intent(ctx, Mandate.model_validate_json(body))

    return await caller.get(
        lambda: pagination.list_page(ctx, caller.account, params, [Mandate.kind], serialize_row)
    )


@router.get("/mandates/{id}")
async def get_mandate(id: str, caller: Authenticated) -> Response:
    """Return a mandate."""
    ctx, account = caller.ctx, caller.account
    mandate_id = models.with_prefix(id, "mdt")
    return await _get_one(
        caller,
        lambda: serializers.serialize_mandate(
            models.get_owned(ctx, Mandate, account, mandate_id, "mandate")
        ),
    )


@router.get("/charges/{id}")
async def get_charge(id: str, caller: Authenticated) -> Response:
    """Return a charge, or an authorization as an uncaptured charge."""
    ctx, account = caller.ctx, caller.account

    def load() -> Json:
        if (charge := models.find(ctx, Charge, account, id)) is not None:
            return serializers.serialize_charge(ctx, charge)
        authorization = models.get_owned(
            ctx, Authorization, account, models.with_prefix(id, "auth"), "charge"
        )
        intent = models.get_intent(ctx, account, models.with_prefix(authorization.id, "pi"))
        return serializers.serialize_uncaptured_charge(ctx, intent, authorization)

    return await _get_one(caller, load)


@router.post("/refunds")
async def create_refund(caller: Authenticated) -> Response:
    """Refund a payment."""
    params = caller.body(requests.RefundParams)
    charge = operations.charge_to_refund(caller.ctx, caller.account, params)
    intent = models.intent_of_charge(caller.ctx, charge)
    return await caller.post(
        "refund",
        lambda: operations.create_refund(caller.ctx, caller.account, params, caller.key),
        None if params.amount is None else _find_ending(params.amount, intent),
    )


@router.get("/refunds/{id}")
async def get_refund(id: str, caller: Authenticated) -> Response:
    """Return a refund."""
    ctx, account = caller.ctx, caller.account
    return await _get_one(
        caller,
        lambda: serializers.serialize_refund(
            ctx, models.get_owned(ctx, Refund, account, id, "refund")
        ),
    )


@router.get("/refunds")
async def list_refunds(caller: Authenticated) -> Response:
    """List refunds, optionally of one payment."""
    ctx, params = caller.ctx, caller.query(requests.RefundListParams)
    charge = params.charge
    if params.payment_intent is not None:
        payment_charge = models.find_charge(
            ctx, models.get_intent(ctx, caller.account, params.payment_intent)
        )
        charge = payment_charge.id if payment_charge else ""

    def serialize_row(kind: str, body: str) -> Json | None:
        if kind == Refund.kind:
            return serializers.serialize_refund(ctx, Refund.model_validate_json(body))
        return serializers.serialize_release(ctx, Authorization.model_validate_json(body))

    kinds = [Refund.kind] if charge is not None else [Refund.kind, Authorization.kind]
    condition, values = ("", []) if charge is None else (" AND parent = ?", [charge])
    return await caller.get(
        lambda: pagination.list_page(
            ctx, caller.account, params, kinds, serialize_row, condition, *values
        )
    )


@router.get("/disputes")
async def list_disputes(caller: Authenticated) -> Response:
    """List the disputes of one payment."""
    ctx, params = caller.ctx, caller.query(requests.DisputeListParams)

    def load() -> Json:
        if params.charge is not None:
            charge = models.find(ctx, Charge, caller.account, params.charge)
        else:
            intent = models.get_intent(ctx, caller.account, params.payment_intent or "")
            charge = models.find_charge(ctx, intent)
        if charge is None:
            return pagination.slice_page(params, [])
        disputes = [
            serializers.serialize_dispute(ctx, charge, chargeback)
            for chargeback in charge.chargebacks
        ]
        return pagination.slice_page(params, disputes[::-1])

    return await caller.get(load)


@router.post("/disputes/{id}")
async def submit_evidence(id: str, caller: Authenticated) -> Response:
    """Decide a dispute by its evidence."""
    params = caller.body(requests.DisputeParams)
    return await caller.post(
        "refund", lambda: disputes.submit_evidence(caller.ctx, caller.account, id, params)
    )


@router.get("/balance_transactions")
async def list_balance_transactions(caller: Authenticated) -> Response:
    """List the balance transactions of charges; those of refunds and disputes are omitted."""
    ctx, params = caller.ctx, caller.query(requests.BalanceTransactionListParams)

    def serialize_row(_: str, body: str) -> Json | None:
        balance_transaction = serializers.serialize_balance_transaction(
            ctx, Charge.model_validate_json(body)
        )
        return balance_transaction if params.type in (None, balance_transaction["type"]) else None

    condition = " AND json_extract(body, '$.status') = 'succeeded'"
    return await caller.get(
        lambda: pagination.list_page(
            ctx, caller.account, params, [Charge.kind], serialize_row, condition
        )
    )


@router.get("/events")
async def list_events(caller: Authenticated) -> Response:
    """List events."""
    params = caller.query(requests.EventListParams)
    return await caller.get(lambda: events.list_page(caller.ctx, caller.account, params))


@router.get("/events/{id}")
async def get_event(id: str, caller: Authenticated) -> Response:
    """Return an event."""
    return await caller.get(lambda: events.get_event(caller.ctx, caller.account, id))


@router.api_route("/{path:path}", methods=["GET", "POST", "DELETE"])
async def unrecognized(path: str, request: Request) -> Response:
    """Reject a call that the emulator does not support."""
    message = f"Unrecognized request URL ({request.method}: /v1/{path})."
    raise StripeError(404, "invalid_request_error", message)


async def _get_one(caller: Caller, load: Loader) -> Response:
    expand = caller.query(requests.ExpandParams).expand
    return await caller.get(lambda: serializers.expand_references(load(), expand))


def _find_ending(amount: int, intent: PaymentIntent) -> MagicEnding | None:
    return magic_amounts.find_ending(to_engine(amount, intent.currency), intent.currency)
