"""Billing requests, customers, bank accounts and mandates."""

from datetime import timedelta
from typing import Any

from devtools.sandbox_psp import bank_accounts, events, repository
from devtools.sandbox_psp.clock import now_ms, time_after, to_iso, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.gocardless.errors import (
    invalid_field,
    invalid_state,
    not_cancellable,
)
from devtools.sandbox_psp.emulators.gocardless.models import (
    IDENTITY_FIELDS,
    SCHEMES,
    STEPS,
    BankAccount,
    BillingRequest,
    Customer,
    Flow,
    ledger_reference,
    new_id,
)
from devtools.sandbox_psp.emulators.gocardless.requests import Body, parse_metadata
from devtools.sandbox_psp.models import Mandate

_NOTICE_PERIOD = timedelta(days=2)


def create_billing_request(ctx: Context, account: str, body: Body) -> BillingRequest:
    """Create a billing request with a new customer."""
    mandate_request = body.get("mandate_request")
    if not isinstance(mandate_request, dict):
        raise invalid_field("mandate_request", "is required")
    scheme = mandate_request.get("scheme", "sepa_core")
    if scheme not in SCHEMES:
        raise invalid_field("scheme", "is not supported")
    if mandate_request.get("currency", SCHEMES[scheme]) != SCHEMES[scheme]:
        raise invalid_field("currency", "does not match the scheme")
    customer = Customer(
        id=new_id("CU"), account=account, reference=None, created_at=to_iso(now_ms())
    )
    repository.save(ctx.db, customer)
    billing_request = BillingRequest(
        id=new_id("BRQ"),
        account=account,
        reference=ledger_reference(parse_metadata(body)),
        scheme=scheme,
        currency=SCHEMES[scheme],
        metadata=parse_metadata(body),
        mandate_metadata=parse_metadata(mandate_request),
        customer=customer.id,
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, billing_request)
    events.emit(ctx, "billing_requests.created", billing_request)
    return billing_request


def create_flow(ctx: Context, account: str, body: Body, base: str) -> Flow:
    """Create a hosted page; a billing request may have several."""
    billing_request_id = (body.get("links") or {}).get("billing_request", "")
    billing_request = repository.get_owned(ctx.db, BillingRequest, account, billing_request_id)
    _require_open(billing_request)
    if not str(body.get("redirect_uri", "")).startswith(("http://", "https://")):
        raise invalid_field("redirect_uri", "must be a URL")
    id = new_id("BRF")
    flow = Flow(
        id=id,
        account=account,
        reference=None,
        billing_request=billing_request.id,
        url=f"{base}gocardless/flow/{id}",
        redirect_uri=body["redirect_uri"],
        exit_uri=body.get("exit_uri"),
        prefilled=body.get("prefilled_customer") or {},
        expires_at=to_iso(time_after(ctx.settings.session_seconds)),
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, flow)
    return flow


def run_action(ctx: Context, account: str, id: str, action: str, data: Body) -> BillingRequest:
    """Complete a step of a billing request, fulfil it or cancel it."""
    billing_request = repository.get_owned(ctx.db, BillingRequest, account, id)
    _require_open(billing_request)
    match action:
        case "collect_customer_details":
            _collect_customer(ctx, billing_request, data)
        case "collect_bank_account":
            _collect_bank_account(ctx, billing_request, data)
        case "confirm_payer_details":
            _complete_step(billing_request, action)
        case "fulfil":
            return fulfil(ctx, billing_request)
        case "cancel":
            billing_request.status = "cancelled"
            repository.save(ctx.db, billing_request)
            events.emit(ctx, "billing_requests.cancelled", billing_request)
            return billing_request
        case _:
            raise invalid_state("action_not_available", f"There is no action {action}.")
    repository.save(ctx.db, billing_request)
    return billing_request


def fulfil(ctx: Context, billing_request: BillingRequest) -> BillingRequest:
    """Create the mandate of a completed billing request."""
    if billing_request.status != "ready_to_fulfil" or billing_request.bank_account is None:
        raise invalid_state("billing_request_not_ready", "Not every action is completed.")
    bank_account = repository.get(ctx.db, BankAccount, billing_request.bank_account)
    mandate = create_mandate(
        ctx,
        bank_account,
        billing_request.scheme,
        billing_request.mandate_metadata,
        billing_request=billing_request.id,
    )
    billing_request.status, billing_request.mandate = "fulfilled", mandate.id
    repository.save(ctx.db, billing_request)
    events.emit(ctx, "billing_requests.fulfilled", billing_request)
    return billing_request


def create_mandate(
    ctx: Context, bank_account: BankAccount, scheme: str, metadata: dict[str, str], **extra: Any
) -> Mandate:
    """Create a mandate that can be charged two days from now at the earliest."""
    mandate = Mandate(
        id=new_id("MD"),
        account=bank_account.account,
        reference=ledger_reference(metadata),
        holder=bank_account.holder,
        iban=bank_account.iban,
        currency=SCHEMES[scheme],
        customer=bank_account.customer,
        extra={
            "status": "pending_submission",
            "scheme": scheme,
            "statement": new_id("")[:8],
            "metadata": metadata,
            "bank_account": bank_account.id,
            "created_at": to_iso(now_ms()),
            "first_charge": (today() + _NOTICE_PERIOD).isoformat(),
            **extra,
        },
    )
    repository.save(ctx.db, mandate)
    events.emit(ctx, "mandates.created", mandate)
    return mandate


def cancel_mandate(ctx: Context, account: str, id: str) -> Mandate:
    """Cancel a mandate."""
    mandate = repository.get_owned(ctx.db, Mandate, account, id)
    if mandate.extra["status"] not in ("pending_submission", "submitted", "active"):
        raise not_cancellable("mandate", mandate.extra["status"])
    return set_mandate_status(ctx, mandate, "cancelled")


def set_mandate_status(ctx: Context, mandate: Mandate, status: str) -> Mandate:
    """Set a mandate's status and emit its event."""
    mandate.extra["status"] = status
    repository.save(ctx.db, mandate)
    events.emit(ctx, f"mandates.{status}", mandate)
    return mandate


def replace_mandate(ctx: Context, mandate: Mandate) -> Mandate:
    """Cancel a mandate and create the one that continues it, without the merchant's metadata."""
    bank_account = repository.get(ctx.db, BankAccount, mandate.extra["bank_account"])
    successor = create_mandate(ctx, bank_account, mandate.extra["scheme"], {})
    mandate.extra |= {"status": "cancelled", "successor": successor.id}
    repository.save(ctx.db, mandate)
    events.emit(ctx, "mandates.replaced", mandate)
    return successor


def create_customer(ctx: Context, account: str, body: Body) -> Customer:
    """Create a customer without a billing request."""
    details = {name: value for name, value in body.items() if name != "metadata"}
    customer = Customer(
        id=new_id("CU"),
        account=account,
        reference=None,
        details=details,
        metadata=parse_metadata(body),
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, customer)
    return customer


def create_bank_account(
    ctx: Context, account: str, customer: str, data: Body, currency: str = "EUR"
) -> BankAccount:
    """Create a customer's bank account; 422 for invalid details."""
    repository.get_owned(ctx.db, Customer, account, customer)
    holder = str(data.get("account_holder_name") or "").strip()
    if not holder:
        raise invalid_field("account_holder_name", "can't be blank")
    bank_account = BankAccount(
        id=new_id("BA"),
        account=account,
        reference=None,
        customer=customer,
        holder=holder,
        iban=bank_accounts.normalize_iban(str(data.get("iban") or "")),
        currency=currency,
        metadata=parse_metadata(data),
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, bank_account)
    return bank_account


def complete_hosted_page(
    ctx: Context, billing_request: BillingRequest, form: Body
) -> BillingRequest:
    """Complete all steps with the payer's form. Raises `GoCardlessError` for invalid fields."""
    billing = {name: form[name] for name in IDENTITY_FIELDS.values() if form.get(name)}
    details = {"email": form.get("email"), "company_name": form.get("holder")}
    _collect_customer(
        ctx, billing_request, {"customer": details, "customer_billing_detail": billing}
    )
    bank_account = {"account_holder_name": form.get("holder"), "iban": form.get("iban")}
    _collect_bank_account(ctx, billing_request, bank_account)
    _complete_step(billing_request, "confirm_payer_details")
    return fulfil(ctx, billing_request)


def _collect_customer(ctx: Context, billing_request: BillingRequest, data: Body) -> None:
    details = dict(data.get("customer") or {})
    billing = dict(data.get("customer_billing_detail") or {})
    if not details.get("email"):
        raise invalid_field("email", "can't be blank")
    if not details.get("company_name") and not (
        details.get("given_name") and details.get("family_name")
    ):
        raise invalid_field("given_name", "can't be blank")
    for name, value in {**details, **billing}.items():
        if isinstance(value, str) and not value.strip():
            raise invalid_field(name, "can't be blank")
    identity = IDENTITY_FIELDS.get(billing_request.scheme)
    if identity is not None and not billing.get(identity):
        raise invalid_field(identity, "can't be blank")
    customer = repository.get(ctx.db, Customer, billing_request.customer)
    customer.details, customer.billing = details, billing
    repository.save(ctx.db, customer)
    _complete_step(billing_request, "collect_customer_details")


def _collect_bank_account(ctx: Context, billing_request: BillingRequest, data: Body) -> None:
    if "collect_bank_account" in billing_request.done:
        raise invalid_state("action_already_completed", "The bank account was collected already.")
    scope = (billing_request.account, billing_request.customer)
    billing_request.bank_account = create_bank_account(
        ctx, *scope, data, billing_request.currency
    ).id
    _complete_step(billing_request, "collect_bank_account")


def _complete_step(billing_request: BillingRequest, name: str) -> None:
    billing_request.done = [step for step in STEPS if step in {*billing_request.done, name}]
    if len(billing_request.done) == len(STEPS):
        billing_request.status = "ready_to_fulfil"


def _require_open(billing_request: BillingRequest) -> None:
    if billing_request.status not in ("pending", "ready_to_fulfil"):
        message = f"The billing request is {billing_request.status}."
        raise invalid_state("billing_request_non_editable", message)
