"""Validation of new transactions; nothing is stored or sent here.

The order of the checks is that of the contract: the request itself, then the merchant's settings,
then the transactions it refers to.
"""

import secrets
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from api import merchant_settings
from api.errors import (
    RequestRejected,
    ServiceUnavailable,
    invalid_data,
    invalid_precondition,
    raise_if_refused,
)
from api.transactions.create_request import CreateRequest, RequestBody
from api.transactions.state_reader import Reading
from integrator.contract import (
    PaymentErrorCode,
    PaymentRequest,
    PaymentTransactionStatus,
    PreauthRequest,
    PublicPaymentProviderRole,
    RefundRequest,
    json_codec,
    money,
)
from integrator.contract.enums import DEBIT_ROLES
from integrator.psp import debit_dates
from integrator.psp.errors import BearerRefused
from integrator.psp.port import Adapter
from integrator.psp.types import MethodCapability
from integrator.settings import Settings
from integrator.store import Erased, Merchant, NewAgreement, NewTransaction
from workflows.state import PaymentState, PreauthState, RefundState, Refusal, TransactionKind

Role = PublicPaymentProviderRole

EARLIEST_EXECUTION = date(2000, 1, 1)
"""Older days stand for a date that was never set: .NET writes it as 0001-01-01."""

LATEST_EXECUTION = timedelta(days=400)
"""Billwerk+ plans a debit by the pre-notification's days, so that a later day is a typing error."""


async def validate_new(request: CreateRequest) -> NewTransaction:
    """Validate a new transaction and return its row.

    Raises `RequestRejected`, `ServiceUnavailable` and `Erased`.
    """
    check_webhook_target(request.body.webhook_target, request.merchant, request.context.settings)
    _check_currency(request.body)
    match request.body:
        case PreauthRequest() as body:
            return await _new_preauth(request, _drop_blank_token(body))
        case PaymentRequest() as body:
            return await _new_payment(request, body)
        case RefundRequest() as body:
            return await _new_refund(request, body)


def check_webhook_target(target: str, merchant: Merchant, settings: Settings) -> None:
    """Refuse an address that could reach into the internal network (SSRF).

    With an allow-list, the merchant's or the global one, the host must be on it. Production
    accepts only https, and without a list no internal address. The address that a name resolves
    to is checked when connecting.
    """
    parts = urlsplit(target)
    host = (parts.hostname or "").rstrip(".")
    allowed = merchant.webhook_hosts or settings.webhook_allowed_hosts
    if allowed and host not in allowed:
        raise invalid_data("webhookTarget is not on a host that is allowed.")
    if settings.profile != "production":
        return
    if parts.scheme != "https":
        raise invalid_data("webhookTarget must be an https URL.")
    if not allowed and _is_internal(host):
        raise invalid_data("webhookTarget must be on a public host.")


def _check_currency(body: RequestBody) -> None:
    """Refuse a currency that has left ISO 4217, where no older transaction is in it.

    A capture and a refund have to be in the currency of their preauth or payment, which was
    accepted while it was current.
    """
    continues_older = isinstance(body, RefundRequest) or (
        isinstance(body, PaymentRequest) and body.is_capture
    )
    if not continues_older and not money.is_current(body.currency):
        raise RequestRejected(
            PaymentErrorCode.InvalidCurrency, f"currency {body.currency} has left ISO 4217."
        )


def _check_execution_date(day: date) -> None:
    """Refuse a day on which no bank will execute the debit: typing errors and unset dates.

    One that has passed recently is accepted: requests may be repeated for days.
    """
    if day < EARLIEST_EXECUTION:
        raise invalid_data(f"plannedExecutionDate must not be before {EARLIEST_EXECUTION}.")
    latest = datetime.now(UTC).date() + LATEST_EXECUTION
    if day > latest:
        raise invalid_data(
            f"plannedExecutionDate must be at most {LATEST_EXECUTION.days} days ahead, "
            f"until {latest}."
        )


def _plan_debit(
    body: PaymentRequest, role: Role, method: MethodCapability
) -> tuple[date | None, datetime | None]:
    """Return the day of a direct debit, and when it is sent if the PSP does not take it yet."""
    day = body.planned_execution_date
    if day is None or role not in DEBIT_ROLES or body.is_capture:
        return None, None
    _check_execution_date(day)
    window, now = method.debit_date_window, datetime.now(UTC)
    return day, debit_dates.waiting_time(day, window, body.transaction_id, now)


def _is_internal(host: str) -> bool:
    try:
        return not ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _new_preauth(request: CreateRequest, body: PreauthRequest) -> NewTransaction:
    role = body.payment_means_reference.role
    method = _require_method(request.adapter, role)
    if body.is_initial:
        _check_initial_preauth(request.adapter, method, body)
    merchant_settings.parse_saved_settings(request.adapter, request.lookup.settings)
    if not body.is_initial:
        await _check_agreement(request, body)
    return _new_transaction(
        request,
        body,
        PreauthState(**_state_members(body, role)),
        agreement_id=body.agreement_id,
        new_agreement=NewAgreement(body.agreement_id, role.name) if body.is_initial else None,
    )


async def _new_payment(request: CreateRequest, body: PaymentRequest) -> NewTransaction:
    role = body.payment_means_reference.role
    method = _require_method(request.adapter, role)
    merchant_settings.parse_saved_settings(request.adapter, request.lookup.settings)
    if body.preauth_transaction_id is None:
        await _check_agreement(request, body)
    else:
        await _check_capture(request, body, method, body.preauth_transaction_id)
    due_date, send_at = _plan_debit(body, role, method)
    return _new_transaction(
        request,
        body,
        PaymentState(**_state_members(body, role), due_date=due_date, send_at=send_at),
        agreement_id=body.agreement_id,
        related_id=body.preauth_transaction_id,
    )


async def _new_refund(request: CreateRequest, body: RefundRequest) -> NewTransaction:
    merchant_settings.parse_saved_settings(request.adapter, request.lookup.settings)
    payment_id = body.payment_transaction_id
    payment = await _read_related(request, TransactionKind.PAYMENT, payment_id)
    if payment is None or not isinstance(payment.state, PaymentState):
        raise invalid_data("paymentTransactionId does not name a payment.")
    if not request.adapter.capabilities.refunds:
        raise invalid_precondition("The PSP does not support refunds.")
    _raise_if_authoritative(
        payment,
        payment.state.check_refund(body.requested_amount, body.currency, body.transaction_id),
    )
    return _new_transaction(
        request,
        body,
        RefundState(**_state_members(body, payment.state.role), payment_id=payment_id),
        agreement_id=payment.row.agreement_id,
        related_id=payment_id,
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


async def _check_agreement(request: CreateRequest, body: PreauthRequest | PaymentRequest) -> None:
    agreement = request.lookup.agreement
    if agreement is None:
        raise invalid_data("agreementId does not name an agreement.")
    if agreement.role != body.payment_means_reference.role.name:
        raise invalid_data(f"The agreement is for {agreement.role}.")
    if agreement.erased:
        raise Erased(agreement.agreement_id)
    if not agreement.usable:
        preauth = await _read_related(request, TransactionKind.PREAUTH, agreement.transaction_id)
        if preauth is not None and preauth.state.status is PaymentTransactionStatus.Succeeded:
            raise ServiceUnavailable  # the store is updated in a moment
        message = "No preauth of the agreement has succeeded."
        refusal = Refusal(code=PaymentErrorCode.InvalidPreconditions, message=message)
        _raise_if_authoritative(preauth, refusal)


async def _check_capture(
    request: CreateRequest, body: PaymentRequest, method: MethodCapability, preauth_id: str
) -> None:
    preauth = await _read_related(request, TransactionKind.PREAUTH, preauth_id)
    if preauth is None or not isinstance(preauth.state, PreauthState):
        raise invalid_data("preauthTransactionId does not name a preauth.")
    if preauth.state.role is not body.payment_means_reference.role:
        raise invalid_data(f"The preauth is for {preauth.state.role.name}.")
    if preauth.row.agreement_id != body.agreement_id:
        raise invalid_precondition("The preauth belongs to another agreement.")
    if preauth.row.erased:
        raise Erased(body.agreement_id)
    if not method.capture:
        raise invalid_precondition(f"There is nothing to capture for {preauth.state.role.name}.")
    _raise_if_authoritative(
        preauth,
        preauth.state.check_capture(body.requested_amount, body.currency, body.transaction_id),
    )


async def _read_related(
    request: CreateRequest, kind: TransactionKind, transaction_id: str
) -> Reading | None:
    """Return the state of a transaction that the request refers to, from its workflow if possible.

    A refusal is permanent, so the store's state alone does not do.
    """
    return await request.context.state_reader.find(
        request.merchant.id, kind, transaction_id, require_authoritative=True
    )


def _raise_if_authoritative(reading: Reading | None, refusal: Refusal | None) -> None:
    """Raise the refusal if the state is authoritative, else `ServiceUnavailable`.

    The store is updated a moment after the response: a request that its state forbids may be
    allowed by the workflow's.
    """
    if refusal is not None and reading is not None and not reading.authoritative:
        raise ServiceUnavailable
    raise_if_refused(refusal)


def _state_members(body: RequestBody, role: Role) -> dict[str, Any]:
    """Return the members that the first state of every kind of transaction has."""
    return {
        "transaction_id": body.transaction_id,
        "external_id": secrets.token_hex(12),
        "role": role,
        "currency": body.currency,
        "requested_amount": body.requested_amount,
        "last_updated": datetime.now(UTC),
    }


def _new_transaction(
    request: CreateRequest,
    body: RequestBody,
    state: PreauthState | PaymentState | RefundState,
    *,
    agreement_id: str | None,
    related_id: str | None = None,
    new_agreement: NewAgreement | None = None,
) -> NewTransaction:
    return NewTransaction(
        merchant_id=request.merchant.id,
        transaction_id=state.transaction_id,
        kind=state.kind.value,
        fingerprint=json_codec.fingerprint(body),
        psp=request.merchant.psp,
        psp_settings_id=request.merchant.psp_settings_id,
        role=state.role.name,
        currency=state.currency,
        requested_amount=state.requested_amount,
        request=body.model_dump(mode="json", by_alias=True, exclude_none=True),
        external_id=state.external_id,
        agreement_id=agreement_id,
        related_id=related_id,
        snapshot=state.model_dump_json(),
        agreement=new_agreement,
        send_at=state.waiting_until,
    )
