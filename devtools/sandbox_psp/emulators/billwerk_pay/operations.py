"""Run Billwerk+ Pay's POSTs with the engine's operations."""

import json
from typing import Any

from devtools.sandbox_psp import authorizations, charges, refunds, repository, sessions
from devtools.sandbox_psp.emulators.billwerk_pay import models, requests, serializers
from devtools.sandbox_psp.emulators.billwerk_pay.auth import Caller
from devtools.sandbox_psp.emulators.billwerk_pay.errors import billwerk_error, transaction_error
from devtools.sandbox_psp.emulators.billwerk_pay.money import to_minor
from devtools.sandbox_psp.idempotency import ApiResponse
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Customer, Refund
from devtools.sandbox_psp.requests import SessionRequest


def create_charge(caller: Caller, body: requests.Charge, minor: int) -> dict[str, Any]:
    ctx, account = caller.ctx, caller.account.id
    method = models.get_card(ctx, account, body.source)
    customer = models.customer_of_card(ctx, method)
    if body.customer_handle not in (None, customer):
        raise billwerk_error(99)
    existing = models.find_invoice(ctx, account, body.handle)
    if existing is not None:
        reject_repeated_charge(serializers.serialize_charge(ctx, existing)["state"])
    invoice = models.get_or_create_invoice(
        ctx,
        account,
        body.handle,
        customer=existing.customer if existing else customer,
        minor=minor,
        currency=body.currency,
        text=body.ordertext,
    )
    if body.settle:
        new_charge = charges.build_charge(
            account=account,
            reference=body.handle,
            amount=minor,
            currency=body.currency,
            payment_method=method.id,
        )
        charges.create(ctx, method, new_charge, body.key or "")
    else:
        authorizations.authorize(
            ctx,
            method,
            reference=body.handle,
            amount=minor,
            currency=body.currency,
            key=body.key or "",
        )
    return serializers.serialize_charge(ctx, invoice)


def reject_repeated_charge(state: str) -> None:
    """Raise PspError unless a handle in this state may be tried again."""
    codes = {"settled": 79, "authorized": 105, "pending": 80, "cancelled": 29}
    if state in codes:
        raise billwerk_error(codes[state])


def settle_charge(caller: Caller, handle: str, body: requests.Settle) -> dict[str, Any]:
    ctx = caller.ctx
    invoice = models.get_invoice(ctx, caller.account.id, handle)
    authorization = models.find_authorization(ctx, invoice)
    state = serializers.serialize_charge(ctx, invoice)["state"]
    if state in ("settled", "pending", "cancelled"):
        reject_repeated_charge(state)
    if authorization is None or authorization.status != "authorized":
        raise billwerk_error(106)
    minor = to_minor(body.amount, authorization.currency) if body.amount else authorization.amount
    if minor > authorization.amount:
        raise billwerk_error(102)
    response = charges.capture(
        ctx,
        authorization,
        reference=models.reference_in_text(body.ordertext, handle),
        amount=minor,
        key=body.key or "",
    )
    charge = _captured_charge(caller, response)
    if charge.failure is not None:
        # The authorization stays; only this response reports the failure.
        return {**serializers.serialize_charge(ctx, invoice), **transaction_error(charge.failure)}
    invoice.order_lines = [models.build_order_line(body.ordertext, minor, authorization.currency)]
    repository.save(ctx.db, invoice)
    return serializers.serialize_charge(ctx, invoice)


def _captured_charge(caller: Caller, response: ApiResponse) -> Charge:
    body = json.loads(response.body)
    id = body.get("object", body)["id"]
    return repository.get_owned(caller.ctx.db, Charge, caller.account.id, id)


def cancel_charge(caller: Caller, handle: str) -> dict[str, Any]:
    ctx = caller.ctx
    invoice = models.get_invoice(ctx, caller.account.id, handle)
    state = serializers.serialize_charge(ctx, invoice)["state"]
    authorization: Authorization | None = models.find_authorization(ctx, invoice)
    if state in ("settled", "pending", "cancelled"):
        reject_repeated_charge(state)
    if authorization is None or authorization.status != "authorized":
        raise billwerk_error(106)
    authorizations.void(ctx, authorization, reference=handle, key="")
    return serializers.serialize_charge(ctx, invoice)


def create_refund(caller: Caller, invoice: models.Invoice, body: requests.Refund) -> dict[str, Any]:
    ctx = caller.ctx
    settled = [
        charge for charge in models.list_charges(ctx, invoice) if charge.status == "succeeded"
    ]
    if not settled:
        raise billwerk_error(64)
    charge = max(settled, key=lambda candidate: charges.refundable_amount(ctx, candidate))
    refundable = charges.refundable_amount(ctx, charge)
    minor = to_minor(body.amount, invoice.currency) if body.amount else refundable
    if not 0 < minor <= refundable:
        raise billwerk_error(65)
    response = refunds.create(
        ctx,
        charge,
        reference=models.reference_in_text(body.text, invoice.handle),
        amount=minor,
        key=body.key or "",
        description=body.text,
    )
    response_body = json.loads(response.body)
    id = response_body.get("object", response_body)["id"]
    return serializers.serialize_refund(
        ctx, repository.get_owned(ctx.db, Refund, caller.account.id, id)
    )


def create_charge_session(
    caller: Caller, body: requests.ChargeSession, base: str
) -> dict[str, Any]:
    ctx, account, order = caller.ctx, caller.account.id, body.order
    existing = models.find_invoice(ctx, account, order.handle)
    if existing is not None:
        reject_repeated_charge(serializers.serialize_charge(ctx, existing)["state"])
    customer = order.customer.handle if order.customer else order.customer_handle
    minor = to_minor(order.amount, order.currency)
    models.get_or_create_invoice(
        ctx,
        account,
        order.handle,
        customer=customer,
        minor=minor,
        currency=order.currency,
        text=order.ordertext,
    )
    return create_session(
        caller, body, base, order.handle, customer or "", order.customer, minor, order.currency
    )


def create_session(
    caller: Caller,
    body: requests.Session,
    base: str,
    reference: str,
    customer: str,
    payer: requests.Customer | None,
    minor: int,
    currency: str,
) -> dict[str, Any]:
    ctx, return_url = caller.ctx, f"{base}billwerk_pay/return"
    names = (payer.first_name, payer.last_name) if payer else ()
    session_request = SessionRequest(
        reference=reference,
        mode="authorize" if minor else "setup",
        amount=minor,
        currency=currency,
        success_url=return_url,
        error_url=return_url,
        cancel_url=return_url,
        language=(body.locale or "en_GB")[:2],
        customer=Customer(
            name=(payer and payer.company) or " ".join(name for name in names if name) or None,
            email=payer.email if payer else None,
        ),
    )
    response = sessions.create(ctx, caller.account.id, session_request, base)
    page = repository.get(ctx.db, CheckoutSession, json.loads(response.body)["id"])
    page.extra = {
        "customer": customer,
        "accept_url": body.accept_url,
        "cancel_url": body.cancel_url,
    }
    repository.save(ctx.db, page)
    return {"id": page.id, "url": page.url}
