"""Build the adapter's requests from stored transactions. Pure functions."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, TypedDict

from integrator.contract.enums import DEBIT_ROLES, PublicPaymentProviderRole
from integrator.contract.requests import PayerData as ContractPayer
from integrator.contract.requests import PayerDataAddress, PaymentRequest, PreauthRequest
from integrator.psp.debit_dates import date_to_send
from integrator.psp.types import (
    Address,
    Authorize,
    Capture,
    Charge,
    DateWindow,
    Instrument,
    Lookup,
    Payer,
    Refund,
    Void,
)
from integrator.store.models import TransactionRow
from workflows.messages import PspCall


class _CommonFields(TypedDict):
    reference: str
    idempotency_key: str
    amount: Decimal
    currency: str
    role: PublicPaymentProviderRole


def authorize(
    call: PspCall, row: TransactionRow, request: Mapping[str, Any], instrument: Instrument | None
) -> Authorize:
    """Build an initial preauth, a migration or, with `instrument`, an upgrade."""
    preauth = PreauthRequest.model_validate(request)
    payment_means = preauth.payment_means_reference
    return Authorize(
        **_common_fields(call, row),
        text=preauth.transaction_reference_text,
        initial=preauth.is_initial,
        payer=payer(preauth.payer_data),
        instrument=instrument,
        initial_bearer=payment_means.initial_bearer,
        migration_token=preauth.migration_token,
        success_url=payment_means.success_return_url,
        error_url=payment_means.error_return_url,
        abort_url=payment_means.abort_return_url,
    )


def charge(
    call: PspCall,
    row: TransactionRow,
    request: Mapping[str, Any],
    instrument: Instrument,
    window: DateWindow | None,
    began_at: datetime,
) -> Charge:
    """Build a recurring or one-off payment with the agreement's instrument.

    `window` is where the PSP takes dates of debits, None if it declares no limits. `began_at` is
    when it was sent first, so that a repetition on a later day has the same date.
    """
    is_debit = PublicPaymentProviderRole[row.role] in DEBIT_ROLES
    payment = PaymentRequest.model_validate(request)
    return Charge(
        **_common_fields(call, row),
        text=payment.transaction_reference_text,
        instrument=instrument,
        execute_on=(
            date_to_send(payment.planned_execution_date, window, began_at) if is_debit else None
        ),
    )


def capture(call: PspCall, row: TransactionRow, authorization_id: str) -> Capture:
    """Build a capture of the authorization `authorization_id`."""
    return Capture(**_common_fields(call, row), authorization_id=authorization_id)


def refund(call: PspCall, row: TransactionRow, payment_psp_id: str) -> Refund:
    """Build a refund of the payment `payment_psp_id`."""
    return Refund(**_common_fields(call, row), payment_psp_id=payment_psp_id)


def void(call: PspCall, row: TransactionRow, target: str) -> Void:
    """Build a void of the authorization `target`."""
    return Void(**_common_fields(call, row), authorization_id=target)


def lookup(
    row: TransactionRow, psp_id: str | None, reference: str, parent_psp_id: str | None
) -> Lookup:
    """Build a look-up of the transaction, stored at the PSP under `reference`.

    A debit that has waited for its day was created there on it, not with its row.
    """
    return Lookup(
        reference=reference,
        psp_id=psp_id,
        currency=row.currency,
        role=PublicPaymentProviderRole[row.role],
        parent_psp_id=parent_psp_id,
        created_at=row.sending_since or row.send_at or row.created_at,
        has_parent=row.related_id is not None,
    )


def payer(data: ContractPayer | None) -> Payer:
    """Convert the contract's payer to the port's."""
    if data is None:
        return Payer()
    company, email = _drop_blank(data.company_name), _drop_blank(data.email_address)
    language = _drop_blank(data.language)
    country = _drop_blank(data.address.country) if data.address else None
    return Payer(
        name=company or _join(data.first_name, data.last_name),
        email=email,
        language=language.lower() if language else None,
        country=country.upper() if country else None,
        company_name=company,
        address=_address(data.address) if data.address else Address(),
    )


def _address(data: PayerDataAddress) -> Address:
    """Convert an address; street and house number stand in for a missing first line."""
    return Address(
        line1=_drop_blank(data.address_line1) or _join(data.street, data.house_number),
        line2=_drop_blank(data.address_line2),
        postal_code=_drop_blank(data.postal_code),
        city=_drop_blank(data.city),
        state=_drop_blank(data.state),
    )


def _join(*parts: str | None) -> str | None:
    return " ".join(filter(None, map(_drop_blank, parts))) or None


def _drop_blank(text: str | None) -> str | None:
    return (text or "").strip() or None


def _common_fields(call: PspCall, row: TransactionRow) -> _CommonFields:
    return _CommonFields(
        reference=row.transaction_id,
        idempotency_key=call.idempotency_key,
        amount=row.requested_amount,
        currency=row.currency,
        role=PublicPaymentProviderRole[row.role],
    )
