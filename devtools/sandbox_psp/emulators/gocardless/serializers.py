"""Serialize the engine's records as GoCardless' objects."""

from typing import Any

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.emulators.gocardless.models import (
    STEPS,
    BankAccount,
    BillingRequest,
    Customer,
    Flow,
)
from devtools.sandbox_psp.models import Charge, Mandate, Record, Refund

Json = dict[str, Any]


def serialize(db: Database, record: Record) -> Json:
    """Return the object as the API shows it."""
    match record:
        case Charge():
            return _serialize_payment(db, record)
        case Refund():
            return _serialize_refund(record)
        case Mandate():
            return _serialize_mandate(record)
        case BillingRequest():
            return _serialize_billing_request(db, record)
        case Flow():
            return _serialize_flow(record)
        case Customer():
            return _serialize_customer(record)
        case BankAccount():
            return _serialize_bank_account(record)
        case _:
            raise TypeError(record.kind)


def creditor_id(account: str) -> str:
    """Return the id of the account's only creditor."""
    return "CR" + account.removeprefix("acc_")[:14].upper()


def payment_status(payment: Charge) -> str:
    """Return a payment's status; `extra["phase"]` holds statuses unknown to the engine."""
    phase = payment.extra.get("phase")
    if payment.status == "pending":
        return str(phase or "pending_submission")
    if payment.status != "succeeded":
        return "cancelled" if phase == "cancelled" else "failed"
    withdrawals = [item.id for item in payment.chargebacks if item.remaining_amount]
    if withdrawals and phase != "submitted":
        return "failed" if withdrawals[-1] in late_failures(payment) else "charged_back"
    return str(phase) if phase in ("paid_out", "submitted") else "confirmed"


def late_failures(payment: Record) -> list[str]:
    """Return the engine's chargebacks that are failures after the confirmation."""
    failures: list[str] = payment.extra.get("late_failures", [])
    return failures


def refund_status(refund: Refund) -> str:
    """Return a refund's status."""
    statuses = {"pending": "pending_submission", "succeeded": "paid", "failed": "bounced"}
    return str(refund.extra.get("phase") or statuses[refund.status])


def refunded_amount(db: Database, payment: Charge) -> int:
    """Return the amount of a payment's refunds, pending ones included."""
    return sum(
        refund.amount
        for refund in repository.list_refunds(db, payment)
        if refund.status != "failed"
    )


def _serialize_payment(db: Database, payment: Charge) -> Json:
    return {
        "id": payment.id,
        "created_at": payment.created_at,
        "charge_date": payment.execute_on,
        "amount": payment.amount,
        "amount_refunded": refunded_amount(db, payment),
        "description": payment.description,
        "currency": payment.currency,
        "status": payment_status(payment),
        "reference": payment.extra["statement"],
        "metadata": payment.extra["metadata"],
        "fx": {"fx_currency": payment.currency, "fx_amount": None, "exchange_rate": None},
        "retry_if_possible": payment.extra["retry"],
        "scheme": payment.extra["scheme"],
        "faster_ach": None,
        "links": {"mandate": payment.payment_method, "creditor": creditor_id(payment.account)},
    }


def _serialize_refund(refund: Refund) -> Json:
    return {
        "id": refund.id,
        "amount": refund.amount,
        "created_at": refund.created_at,
        "currency": refund.currency,
        "fx": {"fx_currency": refund.currency, "fx_amount": None, "exchange_rate": None},
        "metadata": refund.extra["metadata"],
        "reference": None,
        "status": refund_status(refund),
        "links": {"payment": refund.charge, "mandate": refund.extra["mandate"]},
    }


def _serialize_mandate(mandate: Mandate) -> Json:
    usable = mandate.extra["status"] in ("pending_submission", "submitted", "active")
    return {
        "id": mandate.id,
        "created_at": mandate.extra["created_at"],
        "reference": mandate.extra["statement"],
        "status": mandate.extra["status"],
        "scheme": mandate.extra["scheme"],
        "next_possible_charge_date": mandate.extra["first_charge"] if usable else None,
        "payments_require_approval": False,
        "metadata": mandate.extra["metadata"],
        "links": {
            "customer_bank_account": mandate.extra["bank_account"],
            "creditor": creditor_id(mandate.account),
            "customer": mandate.customer,
            **({"new_mandate": successor} if (successor := mandate.extra.get("successor")) else {}),
        },
    }


def _serialize_bank_account(bank_account: BankAccount) -> Json:
    return {
        "id": bank_account.id,
        "created_at": bank_account.created_at,
        "account_holder_name": bank_account.holder,
        "account_number_ending": bank_account.iban[-4:],
        "account_type": None,
        "bank_account_token": None,
        "bank_name": "TESTBANK",
        "country_code": bank_account.iban[:2],
        "currency": bank_account.currency,
        "enabled": True,
        "metadata": bank_account.metadata,
        "links": {"customer": bank_account.customer},
    }


def _serialize_customer(customer: Customer) -> Json:
    empty = dict.fromkeys(("email", "given_name", "family_name", "company_name", "language"))
    return {
        "id": customer.id,
        "created_at": customer.created_at,
        **empty,
        **customer.details,
        **customer.billing,
        "metadata": customer.metadata,
    }


def _serialize_billing_request(db: Database, billing_request: BillingRequest) -> Json:
    bank_account = billing_request.bank_account and repository.get(
        db, BankAccount, billing_request.bank_account
    )
    customer = repository.get(db, Customer, billing_request.customer)
    billing = {
        "id": f"CBD{billing_request.customer[2:]}",
        "created_at": billing_request.created_at,
        **customer.billing,
    }
    links = {
        "customer": billing_request.customer,
        "customer_billing_detail": billing["id"],
        "creditor": creditor_id(billing_request.account),
        "customer_bank_account": billing_request.bank_account,
        "mandate_request": f"MRQ{billing_request.id[3:]}",
        "mandate_request_mandate": billing_request.mandate,
    }
    return {
        "id": billing_request.id,
        "created_at": billing_request.created_at,
        "status": billing_request.status,
        "mandate_request": {
            "currency": billing_request.currency,
            "scheme": billing_request.scheme,
            "metadata": billing_request.mandate_metadata,
            "links": {"mandate": billing_request.mandate} if billing_request.mandate else {},
        },
        "payment_request": None,
        "metadata": billing_request.metadata,
        "links": {name: id for name, id in links.items() if id},
        "fallback_enabled": False,
        "fallback_occurred": False,
        "actions": [_serialize_action(billing_request, name) for name in STEPS],
        "resources": {
            "customer": {"id": customer.id, **customer.details},
            "customer_billing_detail": billing,
            "customer_bank_account": _serialize_bank_account(bank_account)
            if bank_account
            else None,
        },
    }


def _serialize_action(billing_request: BillingRequest, name: str) -> Json:
    return {
        "type": name,
        "required": True,
        "completes_actions": [],
        "requires_actions": list(STEPS[: STEPS.index(name)]),
        "status": "completed" if name in billing_request.done else "pending",
    }


def _serialize_flow(flow: Flow) -> Json:
    return {
        "id": flow.id,
        "created_at": flow.created_at,
        "expires_at": flow.expires_at,
        "authorisation_url": flow.url,
        "redirect_uri": flow.redirect_uri,
        "exit_uri": flow.exit_uri,
        "auto_fulfil": True,
        "lock_currency": True,
        "lock_customer_details": False,
        "lock_bank_account": False,
        "prefilled_customer": flow.prefilled,
        "prefilled_bank_account": None,
        "session_token": None,
        "links": {"billing_request": flow.billing_request},
    }
