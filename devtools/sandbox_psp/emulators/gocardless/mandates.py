"""Mandates: billing requests and their steps, hosted pages, and what comes of them."""

from datetime import timedelta
from typing import Any

from devtools.sandbox_psp import bank_accounts, events, repository
from devtools.sandbox_psp.clock import after, iso, now_ms, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless.auth import Body
from devtools.sandbox_psp.emulators.gocardless.errors import bad_field, bad_state, too_late
from devtools.sandbox_psp.emulators.gocardless.models import (
    IDENTITY,
    SCHEMES,
    STEPS,
    BankAccount,
    BillingRequest,
    Customer,
    Flow,
    new_id,
    our_reference,
)
from devtools.sandbox_psp.models import Mandate

_NOTICE = timedelta(days=2)


def metadata_of(body: Body) -> dict[str, str]:
    """The metadata; 422 for more than three keys or values that are no text."""
    found = body.get("metadata") or {}
    if len(found) > 3 or not all(isinstance(v, str) and len(v) <= 500 for v in found.values()):
        raise bad_field("metadata", "must have at most 3 keys with texts of up to 500 characters")
    return dict(found)


def request(ctx: Context, account: str, body: Body) -> BillingRequest:
    """Begin to set a mandate up."""
    wanted = body.get("mandate_request")
    if not isinstance(wanted, dict):
        raise bad_field("mandate_request", "is required")
    scheme = wanted.get("scheme", "sepa_core")
    if scheme not in SCHEMES:
        raise bad_field("scheme", "is not supported")
    if wanted.get("currency", SCHEMES[scheme]) != SCHEMES[scheme]:
        raise bad_field("currency", "does not match the scheme")
    customer = Customer(id=new_id("CU"), account=account, reference=None, created_at=iso(now_ms()))
    repository.save(ctx.db, customer)
    made = BillingRequest(
        id=new_id("BRQ"),
        account=account,
        reference=our_reference(metadata_of(body)),
        scheme=scheme,
        currency=SCHEMES[scheme],
        metadata=metadata_of(body),
        mandate_metadata=metadata_of(wanted),
        customer=customer.id,
        created_at=iso(now_ms()),
    )
    repository.save(ctx.db, made)
    events.emit(ctx, "billing_requests.created", made)
    return made


def open_flow(ctx: Context, account: str, body: Body, base: str) -> Flow:
    """A hosted page; the request may have several."""
    named = (body.get("links") or {}).get("billing_request", "")
    request = repository.owned(ctx.db, BillingRequest, account, named)
    _must_be_open(request)
    if not str(body.get("redirect_uri", "")).startswith(("http://", "https://")):
        raise bad_field("redirect_uri", "must be a URL")
    id = new_id("BRF")
    flow = Flow(
        id=id,
        account=account,
        reference=None,
        billing_request=request.id,
        url=f"{base}gocardless/flow/{id}",
        redirect_uri=body["redirect_uri"],
        exit_uri=body.get("exit_uri"),
        prefilled=body.get("prefilled_customer") or {},
        expires_at=iso(after(ctx.settings.session_seconds)),
        created_at=iso(now_ms()),
    )
    repository.save(ctx.db, flow)
    return flow


def act(ctx: Context, account: str, id: str, action: str, data: Body) -> BillingRequest:
    """Take a step, fulfil or cancel."""
    request = repository.owned(ctx.db, BillingRequest, account, id)
    _must_be_open(request)
    match action:
        case "collect_customer_details":
            _collect_customer(ctx, request, data)
        case "collect_bank_account":
            _collect_account(ctx, request, data)
        case "confirm_payer_details":
            _step(request, action)
        case "fulfil":
            return fulfil(ctx, request)
        case "cancel":
            request.status = "cancelled"
            repository.save(ctx.db, request)
            events.emit(ctx, "billing_requests.cancelled", request)
            return request
        case _:
            raise bad_state("action_not_available", f"There is no action {action}.")
    repository.save(ctx.db, request)
    return request


def fulfil(ctx: Context, request: BillingRequest) -> BillingRequest:
    """Make the mandate of a request that is complete."""
    if request.status != "ready_to_fulfil" or request.bank_account is None:
        raise bad_state("billing_request_not_ready", "Not every action is completed.")
    account = repository.get(ctx.db, BankAccount, request.bank_account)
    mandate = mandate_for(
        ctx, account, request.scheme, request.mandate_metadata, billing_request=request.id
    )
    request.status, request.mandate = "fulfilled", mandate.id
    repository.save(ctx.db, request)
    events.emit(ctx, "billing_requests.fulfilled", request)
    return request


def mandate_for(
    ctx: Context, account: BankAccount, scheme: str, metadata: dict[str, str], **more: Any
) -> Mandate:
    """A mandate that can be charged two days from now at the earliest."""
    mandate = Mandate(
        id=new_id("MD"),
        account=account.account,
        reference=our_reference(metadata),
        holder=account.holder,
        iban=account.iban,
        currency=SCHEMES[scheme],
        customer=account.customer,
        extra={
            "status": "pending_submission",
            "scheme": scheme,
            "statement": new_id("")[:8],
            "metadata": metadata,
            "bank_account": account.id,
            "created_at": iso(now_ms()),
            "first_charge": (today() + _NOTICE).isoformat(),
            **more,
        },
    )
    repository.save(ctx.db, mandate)
    events.emit(ctx, "mandates.created", mandate)
    return mandate


def cancel_mandate(ctx: Context, account: str, id: str) -> Mandate:
    """End a mandate."""
    mandate = repository.owned(ctx.db, Mandate, account, id)
    if mandate.extra["status"] not in ("pending_submission", "submitted", "active"):
        raise too_late("mandate", mandate.extra["status"])
    return set_mandate(ctx, mandate, "cancelled")


def set_mandate(ctx: Context, mandate: Mandate, status: str) -> Mandate:
    """Bring a mandate to a status and tell of it."""
    mandate.extra["status"] = status
    repository.save(ctx.db, mandate)
    events.emit(ctx, f"mandates.{status}", mandate)
    return mandate


def customer(ctx: Context, account: str, body: Body) -> Customer:
    """A customer made without a billing request."""
    details = {name: value for name, value in body.items() if name != "metadata"}
    made = Customer(
        id=new_id("CU"),
        account=account,
        reference=None,
        details=details,
        metadata=metadata_of(body),
        created_at=iso(now_ms()),
    )
    repository.save(ctx.db, made)
    return made


def bank_account(
    ctx: Context, account: str, customer: str, data: Body, currency: str = "EUR"
) -> BankAccount:
    """A bank account of a customer; 422 for one that cannot be."""
    repository.owned(ctx.db, Customer, account, customer)
    holder = str(data.get("account_holder_name") or "").strip()
    if not holder:
        raise bad_field("account_holder_name", "can't be blank")
    made = BankAccount(
        id=new_id("BA"),
        account=account,
        reference=None,
        customer=customer,
        holder=holder,
        iban=bank_accounts.checked(str(data.get("iban") or "")),
        currency=currency,
        metadata=metadata_of(data),
        created_at=iso(now_ms()),
    )
    repository.save(ctx.db, made)
    return made


def complete(ctx: Context, request: BillingRequest, form: Body) -> BillingRequest:
    """What the payer enters on the hosted page, all at once. Raises `Refusal` for what is wrong."""
    billing = {name: form[name] for name in IDENTITY.values() if form.get(name)}
    details = {"email": form.get("email"), "company_name": form.get("holder")}
    _collect_customer(ctx, request, {"customer": details, "customer_billing_detail": billing})
    account = {"account_holder_name": form.get("holder"), "iban": form.get("iban")}
    _collect_account(ctx, request, account)
    _step(request, "confirm_payer_details")
    return fulfil(ctx, request)


def _collect_customer(ctx: Context, request: BillingRequest, data: Body) -> None:
    details = dict(data.get("customer") or {})
    billing = dict(data.get("customer_billing_detail") or {})
    if not details.get("email"):
        raise bad_field("email", "can't be blank")
    if not details.get("company_name") and not (
        details.get("given_name") and details.get("family_name")
    ):
        raise bad_field("given_name", "can't be blank")
    identity = IDENTITY.get(request.scheme)
    if identity is not None and not billing.get(identity):
        raise bad_field(identity, "can't be blank")
    payer = repository.get(ctx.db, Customer, request.customer)
    payer.details, payer.billing = details, billing
    repository.save(ctx.db, payer)
    _step(request, "collect_customer_details")


def _collect_account(ctx: Context, request: BillingRequest, data: Body) -> None:
    if "collect_bank_account" in request.done:
        raise bad_state("action_already_completed", "The bank account is known already.")
    owner = (request.account, request.customer)
    request.bank_account = bank_account(ctx, *owner, data, request.currency).id
    _step(request, "collect_bank_account")


def _step(request: BillingRequest, name: str) -> None:
    request.done = [step for step in STEPS if step in {*request.done, name}]
    if len(request.done) == len(STEPS):
        request.status = "ready_to_fulfil"


def _must_be_open(request: BillingRequest) -> None:
    if request.status not in ("pending", "ready_to_fulfil"):
        message = f"The billing request is {request.status}."
        raise bad_state("billing_request_non_editable", message)
