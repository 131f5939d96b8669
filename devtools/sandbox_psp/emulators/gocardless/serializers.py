"""The engine's records in GoCardless' shapes."""

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

Shown = dict[str, Any]


def show(db: Database, record: Record) -> Shown:
    """The object as the API answers it."""
    match record:
        case Charge():
            return _payment(db, record)
        case Refund():
            return _refund(record)
        case Mandate():
            return _mandate(record)
        case BillingRequest():
            return _billing_request(db, record)
        case Flow():
            return _flow(record)
        case Customer():
            return _customer(record)
        case BankAccount():
            return _bank_account(record)
        case _:
            raise TypeError(record.kind)


def creditor_id(account: str) -> str:
    """The one creditor of an account."""
    return "CR" + account.removeprefix("acc_")[:14].upper()


def payment_status(made: Charge) -> str:
    """Where a payment stands; `extra["phase"]` is what the engine does not know."""
    phase = made.extra.get("phase")
    if made.status == "pending":
        return str(phase or "pending_submission")
    if made.status == "succeeded" and not made.chargebacks:
        return "paid_out" if phase == "paid_out" else "confirmed"
    if made.status == "succeeded":
        back = {"late_failure": "failed", "chargeback_cancelled": "paid_out"}
        return back.get(str(phase), "charged_back")
    return "cancelled" if phase == "cancelled" else "failed"


def refund_status(made: Refund) -> str:
    """Where a refund stands."""
    words = {"pending": "pending_submission", "succeeded": "paid", "failed": "bounced"}
    return str(made.extra.get("phase") or words[made.status])


def refunded(db: Database, made: Charge) -> int:
    """What refunds have given back or will."""
    return sum(r.amount for r in repository.refunds_of(db, made) if r.status != "failed")


def _payment(db: Database, made: Charge) -> Shown:
    return {
        "id": made.id,
        "created_at": made.created_at,
        "charge_date": made.execute_on,
        "amount": made.amount,
        "amount_refunded": refunded(db, made),
        "description": made.description,
        "currency": made.currency,
        "status": payment_status(made),
        "reference": made.extra["statement"],
        "metadata": made.extra["metadata"],
        "fx": {"fx_currency": made.currency, "fx_amount": None, "exchange_rate": None},
        "retry_if_possible": made.extra["retry"],
        "scheme": made.extra["scheme"],
        "faster_ach": None,
        "links": {"mandate": made.payment_method, "creditor": creditor_id(made.account)},
    }


def _refund(made: Refund) -> Shown:
    return {
        "id": made.id,
        "amount": made.amount,
        "created_at": made.created_at,
        "currency": made.currency,
        "fx": {"fx_currency": made.currency, "fx_amount": None, "exchange_rate": None},
        "metadata": made.extra["metadata"],
        "reference": None,
        "status": refund_status(made),
        "links": {"payment": made.charge, "mandate": made.extra["mandate"]},
    }


def _mandate(made: Mandate) -> Shown:
    usable = made.extra["status"] in ("pending_submission", "submitted", "active")
    return {
        "id": made.id,
        "created_at": made.extra["created_at"],
        "reference": made.extra["statement"],
        "status": made.extra["status"],
        "scheme": made.extra["scheme"],
        "next_possible_charge_date": made.extra["first_charge"] if usable else None,
        "payments_require_approval": False,
        "metadata": made.extra["metadata"],
        "links": {
            "customer_bank_account": made.extra["bank_account"],
            "creditor": creditor_id(made.account),
            "customer": made.customer,
        },
    }


def _bank_account(made: BankAccount) -> Shown:
    return {
        "id": made.id,
        "created_at": made.created_at,
        "account_holder_name": made.holder,
        "account_number_ending": made.iban[-4:],
        "account_type": None,
        "bank_account_token": None,
        "bank_name": "TESTBANK",
        "country_code": made.iban[:2],
        "currency": made.currency,
        "enabled": True,
        "metadata": made.metadata,
        "links": {"customer": made.customer},
    }


def _customer(made: Customer) -> Shown:
    empty = dict.fromkeys(("email", "given_name", "family_name", "company_name", "language"))
    return {
        "id": made.id,
        "created_at": made.created_at,
        **empty,
        **made.details,
        **made.billing,
        "metadata": made.metadata,
    }


def _billing_request(db: Database, made: BillingRequest) -> Shown:
    account = made.bank_account and repository.get(db, BankAccount, made.bank_account)
    customer = repository.get(db, Customer, made.customer)
    billing = {"id": f"CBD{made.customer[2:]}", "created_at": made.created_at, **customer.billing}
    links = {
        "customer": made.customer,
        "customer_billing_detail": billing["id"],
        "creditor": creditor_id(made.account),
        "customer_bank_account": made.bank_account,
        "mandate_request": f"MRQ{made.id[3:]}",
        "mandate_request_mandate": made.mandate,
    }
    return {
        "id": made.id,
        "created_at": made.created_at,
        "status": made.status,
        "mandate_request": {
            "currency": made.currency,
            "scheme": made.scheme,
            "metadata": made.mandate_metadata,
            "links": {"mandate": made.mandate} if made.mandate else {},
        },
        "payment_request": None,
        "metadata": made.metadata,
        "links": {name: id for name, id in links.items() if id},
        "fallback_enabled": False,
        "fallback_occurred": False,
        "actions": [_action(made, name) for name in STEPS],
        "resources": {
            "customer": {"id": customer.id, **customer.details},
            "customer_billing_detail": billing,
            "customer_bank_account": _bank_account(account) if account else None,
        },
    }


def _action(made: BillingRequest, name: str) -> Shown:
    return {
        "type": name,
        "required": True,
        "completes_actions": [],
        "requires_actions": list(STEPS[: STEPS.index(name)]),
        "status": "completed" if name in made.done else "pending",
    }


def _flow(made: Flow) -> Shown:
    return {
        "id": made.id,
        "created_at": made.created_at,
        "expires_at": made.expires_at,
        "authorisation_url": made.url,
        "redirect_uri": made.redirect_uri,
        "exit_uri": made.exit_uri,
        "auto_fulfil": True,
        "lock_currency": True,
        "lock_customer_details": False,
        "lock_bank_account": False,
        "prefilled_customer": made.prefilled,
        "prefilled_bank_account": None,
        "session_token": None,
        "links": {"billing_request": made.billing_request},
    }
