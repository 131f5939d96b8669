"""Validation of new transactions; nothing is stored or sent here.

The order of the checks is that of the contract: the request itself, then the merchant's settings,
then the transactions it refers to.
"""

import secrets
from datetime import UTC, date, datetime

from api import merchant_settings
from api.context import Context
from api.errors import (
    RequestRejected,
    ServiceUnavailable,
    invalid_data,
    invalid_precondition,
    raise_if_refused,
)
from api.transactions.state_reader import Reading, read_transaction
from api.webhook_targets import check_webhook_target
from integrator.contract import (
    PaymentErrorCode,
    PaymentRequest,
    PaymentTransactionStatus,
    PreauthRequest,
    PublicPaymentProviderRole,
    RefundRequest,
    json_codec,
)
from integrator.psp.errors import BearerRefused
from integrator.psp.port import Adapter
from integrator.psp.types import MethodCapability
from integrator.store import (
    Agreement,
    Erased,
    Merchant,
    NewAgreement,
    NewTransaction,
    RequestLookup,
)
from workflows.state import PaymentState, PreauthState, RefundState, Refusal, TransactionKind

Role = PublicPaymentProviderRole
AnyRequest = PreauthRequest | PaymentRequest | RefundRequest


async def validate_new(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    request: AnyRequest,
    lookup: RequestLookup,
) -> NewTransaction:
    """Validate a new transaction and return its row.

    Raises `RequestRejected`, `ServiceUnavailable` and `Erased`.
    """
    check_webhook_target(request.webhook_target, merchant, context.settings)
    match request:
        case PreauthRequest():
            return await _new_preauth(
                context, merchant, adapter, _drop_blank_token(request), lookup
            )
        case PaymentRequest():
            return await _new_payment(context, merchant, adapter, request, lookup)
        case RefundRequest():
            return await _new_refund(context, merchant, adapter, request, lookup)


async def _new_preauth(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    request: PreauthRequest,
    lookup: RequestLookup,
) -> NewTransaction:
    role = request.payment_means_reference.role
    method = _require_method(adapter, role)
    if request.is_initial:
        _check_initial_preauth(adapter, method, request)
    merchant_settings.parse_saved_settings(adapter, lookup.settings)
    if not request.is_initial:
        await _check_agreement(context, merchant, request, lookup.agreement)
    state = PreauthState(
        transaction_id=request.transaction_id,
        external_id=_new_external_id(),
        role=role,
        currency=request.currency,
        requested_amount=request.requested_amount,
        last_updated=datetime.now(UTC),
    )
    agreement = NewAgreement(request.agreement_id, role.name) if request.is_initial else None
    return _new_transaction(
        merchant, request, state, agreement_id=request.agreement_id, agreement=agreement
    )


async def _new_payment(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    request: PaymentRequest,
    lookup: RequestLookup,
) -> NewTransaction:
    role = request.payment_means_reference.role
    method = _require_method(adapter, role)
    merchant_settings.parse_saved_settings(adapter, lookup.settings)
    if request.preauth_transaction_id is None:
        await _check_agreement(context, merchant, request, lookup.agreement)
    else:
        await _check_capture(context, merchant, method, request, request.preauth_transaction_id)
    state = PaymentState(
        transaction_id=request.transaction_id,
        external_id=_new_external_id(),
        role=role,
        currency=request.currency,
        requested_amount=request.requested_amount,
        due_date=_due_date(request),
        last_updated=datetime.now(UTC),
    )
    return _new_transaction(
        merchant,
        request,
        state,
        agreement_id=request.agreement_id,
        related_id=request.preauth_transaction_id,
    )


async def _new_refund(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    request: RefundRequest,
    lookup: RequestLookup,
) -> NewTransaction:
    merchant_settings.parse_saved_settings(adapter, lookup.settings)
    payment_id = request.payment_transaction_id
    reading = await read_transaction(
        context, merchant.id, TransactionKind.PAYMENT, payment_id, require_authoritative=True
    )
    if reading is None or not isinstance(reading.state, PaymentState):
        raise invalid_data("paymentTransactionId does not name a payment.")
    if not adapter.capabilities.refunds:
        raise invalid_precondition("The PSP does not support refunds.")
    _raise_if_authoritative(
        reading,
        reading.state.check_refund(
            request.requested_amount, request.currency, request.transaction_id
        ),
    )
    state = RefundState(
        transaction_id=request.transaction_id,
        external_id=_new_external_id(),
        role=reading.state.role,
        currency=request.currency,
        requested_amount=request.requested_amount,
        payment_id=payment_id,
        last_updated=datetime.now(UTC),
    )
    agreement_id = reading.row.agreement_id
    return _new_transaction(
        merchant, request, state, agreement_id=agreement_id, related_id=payment_id
    )


def _drop_blank_token(request: PreauthRequest) -> PreauthRequest:
    """Remove a blank migration token, which the adapter must not take for one."""
    if (request.migration_token or "").strip():
        return request
    return request.model_copy(update={"migration_token": None})


def _require_method(adapter: Adapter, role: Role) -> MethodCapability:
    method = adapter.capabilities.methods.get(role)
    if method is None:
        raise invalid_data(f"The PSP does not support the role {role.name}.")
    return method


def _check_initial_preauth(
    adapter: Adapter, method: MethodCapability, request: PreauthRequest
) -> None:
    """Check an initial preauth: by migration, with typed payment data, or by redirect."""
    means = request.payment_means_reference
    if request.migration_token:
        if not adapter.capabilities.migration:
            raise invalid_data("The PSP does not support migrationToken.")
        return
    try:
        adapter.check_initial_bearer(means.role, means.initial_bearer)
    except BearerRefused as error:
        raise RequestRejected(error.code, str(error)) from error
    has_typed_data = method.initial_bearer and means.initial_bearer
    if not method.redirect or has_typed_data:
        return
    urls = {
        "successReturnUrl": means.success_return_url,
        "errorReturnUrl": means.error_return_url,
        "abortReturnUrl": means.abort_return_url,
    }
    for name, url in urls.items():
        if url is None:
            raise invalid_data(f"paymentMeansReference.{name} is required.")


async def _check_agreement(
    context: Context,
    merchant: Merchant,
    request: PreauthRequest | PaymentRequest,
    agreement: Agreement | None,
) -> None:
    if agreement is None:
        raise invalid_data("agreementId does not name an agreement.")
    if agreement.role != request.payment_means_reference.role.name:
        raise invalid_data(f"The agreement is for {agreement.role}.")
    if agreement.erased:
        raise Erased(agreement.agreement_id)
    if not agreement.usable:
        preauth = await read_transaction(
            context,
            merchant.id,
            TransactionKind.PREAUTH,
            agreement.transaction_id,
            require_authoritative=True,
        )
        if preauth is not None and preauth.state.status is PaymentTransactionStatus.Succeeded:
            raise ServiceUnavailable  # the store is updated in a moment
        message = "No preauth of the agreement has succeeded."
        refusal = Refusal(code=PaymentErrorCode.InvalidPreconditions, message=message)
        _raise_if_authoritative(preauth, refusal)


async def _check_capture(
    context: Context,
    merchant: Merchant,
    method: MethodCapability,
    request: PaymentRequest,
    preauth_id: str,
) -> None:
    reading = await read_transaction(
        context, merchant.id, TransactionKind.PREAUTH, preauth_id, require_authoritative=True
    )
    if reading is None or not isinstance(reading.state, PreauthState):
        raise invalid_data("preauthTransactionId does not name a preauth.")
    if reading.state.role is not request.payment_means_reference.role:
        raise invalid_data(f"The preauth is for {reading.state.role.name}.")
    if reading.row.agreement_id != request.agreement_id:
        raise invalid_precondition("The preauth belongs to another agreement.")
    if reading.row.erased:
        raise Erased(request.agreement_id)
    if not method.capture:
        raise invalid_precondition(f"There is nothing to capture for {reading.state.role.name}.")
    _raise_if_authoritative(
        reading,
        reading.state.check_capture(
            request.requested_amount, request.currency, request.transaction_id
        ),
    )


def _raise_if_authoritative(reading: Reading | None, refusal: Refusal | None) -> None:
    """Raise the refusal if the state is authoritative, else `ServiceUnavailable`.

    The store is updated a moment after the response: a request that its state forbids may be
    allowed by the workflow's.
    """
    if refusal is not None and reading is not None and not reading.authoritative:
        raise ServiceUnavailable
    raise_if_refused(refusal)


def _due_date(request: PaymentRequest) -> date | None:
    is_debit = request.payment_means_reference.role is Role.Debit
    return request.planned_execution_date if is_debit and not request.is_capture else None


def _new_external_id() -> str:
    return secrets.token_hex(12)


def _new_transaction(
    merchant: Merchant,
    request: AnyRequest,
    state: PreauthState | PaymentState | RefundState,
    *,
    agreement_id: str | None,
    related_id: str | None = None,
    agreement: NewAgreement | None = None,
) -> NewTransaction:
    return NewTransaction(
        merchant_id=merchant.id,
        transaction_id=state.transaction_id,
        kind=state.kind.value,
        fingerprint=json_codec.fingerprint(request),
        psp=merchant.psp,
        psp_settings_id=merchant.psp_settings_id,
        role=state.role.name,
        currency=state.currency,
        requested_amount=state.requested_amount,
        request=request.model_dump(mode="json", by_alias=True, exclude_none=True),
        external_id=state.external_id,
        agreement_id=agreement_id,
        related_id=related_id,
        snapshot=state.model_dump_json(),
        agreement=agreement,
    )
