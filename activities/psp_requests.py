"""Builds what an adapter is told from what the store keeps of a transaction. Pure."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TypedDict

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.contract.requests import PayerData as ContractPayer
from integrator.contract.requests import PaymentRequest, PreauthRequest
from integrator.psp.types import Authorize, Capture, Charge, Instrument, Lookup, Payer, Refund, Void
from integrator.store.models import TransactionRow
from workflows.messages import PspCall


class _Common(TypedDict):
    reference: str
    idempotency_key: str
    amount: Decimal
    currency: str
    role: PublicPaymentProviderRole


def authorize(
    call: PspCall, row: TransactionRow, request: Mapping[str, Any], instrument: Instrument | None
) -> Authorize:
    """An initial preauth, a migration or, with `instrument`, an upgrade."""
    wanted = PreauthRequest.model_validate(request)
    means = wanted.payment_means_reference
    return Authorize(
        **_common(call, row),
        text=wanted.transaction_reference_text,
        initial=wanted.is_initial,
        payer=payer(wanted.payer_data),
        instrument=instrument,
        initial_bearer=means.initial_bearer,
        migration_token=wanted.migration_token,
        success_url=means.success_return_url,
        error_url=means.error_return_url,
        abort_url=means.abort_return_url,
    )


def charge(
    call: PspCall, row: TransactionRow, request: Mapping[str, Any], instrument: Instrument
) -> Charge:
    """A recurring or one-off payment with the agreement's instrument."""
    wanted = PaymentRequest.model_validate(request)
    direct_debit = wanted.payment_means_reference.role is PublicPaymentProviderRole.Debit
    return Charge(
        **_common(call, row),
        text=wanted.transaction_reference_text,
        instrument=instrument,
        execute_on=wanted.planned_execution_date if direct_debit else None,
    )


def capture(call: PspCall, row: TransactionRow, authorization_id: str) -> Capture:
    """Take the reservation `authorization_id`."""
    return Capture(**_common(call, row), authorization_id=authorization_id)


def refund(call: PspCall, row: TransactionRow, payment_psp_id: str) -> Refund:
    """Give money of the payment `payment_psp_id` back."""
    return Refund(**_common(call, row), payment_psp_id=payment_psp_id)


def void(call: PspCall, row: TransactionRow, target: str) -> Void:
    """Give the reservation `target` back."""
    return Void(**_common(call, row), authorization_id=target)


def lookup(row: TransactionRow, psp_id: str | None, reference: str) -> Lookup:
    """Ask for the state of the transaction, which the PSP knows by `reference`."""
    return Lookup(
        reference=reference,
        psp_id=psp_id,
        currency=row.currency,
        role=PublicPaymentProviderRole[row.role],
    )


def payer(data: ContractPayer | None) -> Payer:
    """The customer in the port's words."""
    if data is None:
        return Payer()
    person = " ".join(part for part in (data.first_name, data.last_name) if part)
    return Payer(
        name=data.company_name or person or None,
        email=data.email_address,
        language=data.language.lower() if data.language else None,
        country=data.address.country if data.address else None,
    )


def _common(call: PspCall, row: TransactionRow) -> _Common:
    return _Common(
        reference=row.transaction_id,
        idempotency_key=call.idempotency_key,
        amount=row.requested_amount,
        currency=row.currency,
        role=PublicPaymentProviderRole[row.role],
    )
