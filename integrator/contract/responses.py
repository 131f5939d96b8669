"""Responses to Billwerk+: the state of a preauth, payment or refund, or its error."""

from decimal import Decimal

from pydantic import Field, field_validator

from integrator.contract import examples
from integrator.contract.base import WireResponse
from integrator.contract.enums import (
    PaymentCancellationStatus,
    PaymentChargebackReason,
    PaymentErrorCode,
    PaymentTransactionStatus,
)
from integrator.contract.fields import Amount, Date, TextMap, Time

_ERROR_STATUSES = (
    PaymentTransactionStatus.Failed,
    PaymentTransactionStatus.Cancelled,
    PaymentTransactionStatus.Expired,
)


class TransactionResponse(WireResponse):
    """Members common to the states of preauths, payments and refunds."""

    transaction_id: str = Field(description="The platform's id")
    external_transaction_id: str = Field(description="The integrator's id")
    psp_transaction_id: str | None = Field(None, description="The PSP's id, once there is one")
    currency: str = Field(description="ISO 4217 code")
    requested_amount: Amount = Field(description="Amount asked for")
    status: PaymentTransactionStatus
    last_updated: Time = Field(description="Never decreases; the platform drops older states")


class PreauthResponse(TransactionResponse):
    """State of a preauth."""

    schema_examples = examples.PREAUTH_RESPONSES

    authorized_amount: Amount = Field(
        Decimal(0), description="Reserved amount; may exceed the requested one"
    )
    expires_at: Time | None = Field(None, description="End of the reservation")
    bearer: TextMap | None = Field(None, repr=False, description="Stored payment data, once known")
    redirect_url: str | None = Field(None, description="PSP page the customer has to visit")
    redirect_data: TextMap | None = Field(None, description="Extra data for the redirect")


class PaymentItem(WireResponse):
    """Money received."""

    external_item_id: str | None = Field(None, description="The PSP's id of this movement")
    amount: Amount
    booking_date: Date = Field(description="Day at the PSP")
    description: str | None = None


class PaymentChargebackItem(PaymentItem):
    """Money taken back by the customer's bank; `amount` does not include the fee."""

    fee_amount: Amount = Field(Decimal(0), description="Fee charged for the chargeback")
    reason: PaymentChargebackReason = PaymentChargebackReason.Unknown
    psp_reason_code: str | None = Field(None, description="The PSP's own code")
    psp_reason_message: str | None = Field(None, description="The PSP's own text")


class PaymentResponse(TransactionResponse):
    """State of a payment. Refunded and refundable amount never exceed what was paid."""

    schema_examples = examples.PAYMENT_RESPONSES

    payments: tuple[PaymentItem, ...] = Field((), description="Money received")
    chargebacks: tuple[PaymentChargebackItem, ...] = Field((), description="Money taken back")
    refunded_amount: Amount = Field(Decimal(0), description="Sum of the refunds done")
    refundable_amount: Amount = Field(Decimal(0), description="Amount that can still be refunded")
    bearer: TextMap = Field(
        default_factory=dict, repr=False, description="Payment data of the agreement"
    )
    due_date: Time | None = Field(None, description="Planned execution day of a direct debit")


class RefundResponse(TransactionResponse):
    """State of a refund."""

    schema_examples = examples.REFUND_RESPONSES

    refunded_amount: Amount = Field(Decimal(0), description="Amount paid back; 0 until Succeeded")
    booking_date: Date = Field(description="Day at the PSP")
    description: str | None = Field(None, description="The PSP's text")


class PaymentError(WireResponse):
    """Body of every error, and of every later GET of a transaction that ended with an error."""

    schema_examples = examples.ERRORS

    error_code: PaymentErrorCode = PaymentErrorCode.UnmappedError
    error_message: str | None = Field(None, description="Text for a person; contains no secrets")
    psp_error_code: str | None = Field(None, description="The PSP's own code")
    received_at: Time = Field(description="When the error was received; the original time on GET")
    status: PaymentTransactionStatus = Field(
        PaymentTransactionStatus.Failed, description="Failed, Cancelled or Expired"
    )

    @field_validator("status")
    @classmethod
    def _check_final_status(cls, status: PaymentTransactionStatus) -> PaymentTransactionStatus:
        if status not in _ERROR_STATUSES:
            raise ValueError("an error leaves a transaction Failed, Cancelled or Expired")
        return status


class PaymentCancellationResponse(WireResponse):
    """Outcome of cancelling a preauth."""

    schema_examples = examples.CANCELLATION_RESPONSES

    cancellation_status: PaymentCancellationStatus
    transaction_id: str = Field(description="The platform's id of the preauth")
