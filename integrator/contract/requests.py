"""Requests of Billwerk+: preauths, payments, refunds and their nested objects."""

from decimal import Decimal
from typing import Self

from pydantic import Field, model_validator

from integrator.contract import examples
from integrator.contract.base import MoneyRequest, WireModel
from integrator.contract.enums import (
    InvoiceDataLineTaxCategory,
    PublicPaymentProviderRole,
    TimePeriod,
)
from integrator.contract.fields import (
    AgreementId,
    Amount,
    AmountFromZero,
    Currency,
    Date,
    Flag,
    Integer,
    NonBlankText,
    Number,
    OptionalTransactionId,
    OptionalUrl,
    PositiveAmount,
    TextMap,
    Time,
    TransactionId,
    Url,
)
from integrator.contract.validation_errors import invalid_value


class PayerDataAddress(WireModel):
    """The customer's address. May be incomplete; whether that suffices is up to the PSP."""

    address_line1: str | None = Field(None, description="At most 64 characters")
    address_line2: str | None = Field(None, description="At most 64 characters")
    street: str | None = Field(None, description="At most 64 characters")
    house_number: str | None = Field(None, description="At most 12 characters")
    postal_code: str | None = Field(None, description="At most 12 characters")
    city: str | None = Field(None, description="At most 128 characters")
    state: str | None = Field(None, description="State or province where the country has them")
    country: str | None = Field(None, description="ISO 3166-1 alpha-2 code")


class PayerData(WireModel):
    """The customer."""

    external_customer_id: str | None = Field(None, description="The merchant's customer number")
    company_name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    vat_id: str | None = Field(None, description="VAT id in the format of its country")
    address: PayerDataAddress | None = None
    email_address: str | None = None
    language: str | None = Field(None, description="ISO 639-1 code, in any case")
    phone_number: str | None = None


class PaymentMeansReference(WireModel):
    """Payment method, payment data typed at the platform, and where the customer returns to."""

    initial_bearer: TextMap | None = Field(
        None, repr=False, description="Payment data the customer typed, e.g. Holder and IBAN"
    )
    role: PublicPaymentProviderRole = Field(description="Payment method")
    success_return_url: OptionalUrl = Field(None, description="Return after success")
    error_return_url: OptionalUrl = Field(None, description="Return after a failure")
    abort_return_url: OptionalUrl = Field(None, description="Return after an abort")
    host_url: str | None = Field(None, description="Specific to the platform; ignored")
    terms_of_service_url: str | None = Field(None, description="Specific to the platform; ignored")


class OrderDataPeriod(WireModel):
    """Length of a billing period: `quantity` times `unit`."""

    unit: TimePeriod | None = None
    quantity: Integer | None = None


class OrderData(WireModel):
    """The plan that is being ordered."""

    plan_name: str | None = None
    next_payment_date: Time | None = Field(None, description="When the next charge is due")
    fee_period: OrderDataPeriod | None = Field(None, description="Billing period")
    recurring_fee: Amount | None = Field(None, description="Amount per billing period")
    external_contract_id: str | None = Field(None, description="Contract id of another system")


class InvoiceDataLineItem(WireModel):
    """One line of an invoice; summary lines have a description and a total only."""

    tax_category: InvoiceDataLineTaxCategory | None = None
    description: str | None = None
    total_gross: Amount | None = None
    total_net: Amount | None = None
    vat_percentage: Number | None = None
    period_start: Time | None = None
    period_end: Time | None = None
    price_per_unit: Amount | None = None
    quantity: Number | None = None


class InvoiceData(WireModel):
    """The invoice or credit note behind a payment or refund."""

    invoice_date: Date | None = None
    due_date: Date | None = None
    description: str | None = None
    line_items: tuple[InvoiceDataLineItem, ...] = ()


class PreauthRequest(MoneyRequest):
    """Reserve an amount and set up an agreement (initial), or reserve under an existing one."""

    schema_examples = examples.PREAUTH_REQUESTS

    psp_settings_id: str | None = Field(None, description="Not used")
    transaction_id: TransactionId = Field(description="The platform's id of this preauth")
    requested_amount: AmountFromZero = Field(
        Decimal(0), description="Amount to reserve; 0 to store payment data only"
    )
    currency: Currency = Field(description="ISO 4217 code")
    webhook_target: Url = Field(description="Where changes of this preauth are announced")
    payment_means_reference: PaymentMeansReference
    transaction_invoice_reference_text: str | None = Field(
        None, description="Invoice code, description and unique reference"
    )
    transaction_reference_text: str = Field(description="Text for bank statements")
    payer_data: PayerData = Field(repr=False)
    order_data: OrderData | None = None
    agreement_id: AgreementId = Field(description="Agreement to create or to use")
    migration_token: str | None = Field(
        None, repr=False, description="Identifies an agreement that exists at the PSP already"
    )
    is_initial: Flag = Field(False, description="True on first contact of customer and PSP")


class PaymentRequest(MoneyRequest):
    """Capture a preauth (with `preauthTransactionId`) or charge an agreement (without)."""

    schema_examples = examples.PAYMENT_REQUESTS

    psp_settings_id: str | None = Field(None, description="Not used")
    transaction_id: TransactionId = Field(description="The platform's id of this payment")
    preauth_transaction_id: OptionalTransactionId = Field(
        None, description="The preauth to capture; absent for a recurring or one-off charge"
    )
    requested_amount: PositiveAmount = Field(description="Amount to collect")
    currency: Currency = Field(description="ISO 4217 code")
    webhook_target: Url = Field(description="Where changes of this payment are announced")
    payment_means_reference: PaymentMeansReference
    transaction_invoice_reference_text: str | None = Field(
        None, description="Invoice code, description and unique reference"
    )
    transaction_reference_text: NonBlankText = Field(description="Text for bank statements")
    payer_data: PayerData = Field(repr=False)
    planned_execution_date: Date | None = Field(
        None, description="Day to execute a direct debit; mandatory for a recurring one"
    )
    invoice_data: InvoiceData | None = None
    agreement_id: AgreementId = Field(description="Selects the stored payment data")

    @property
    def is_capture(self) -> bool:
        """Whether this payment collects a preauth's reservation."""
        return self.preauth_transaction_id is not None

    @model_validator(mode="after")
    def _direct_debit_has_a_date(self) -> Self:
        is_debit = self.payment_means_reference.role is PublicPaymentProviderRole.Debit
        if is_debit and not self.is_capture and self.planned_execution_date is None:
            raise invalid_value("is required for a direct debit", member="plannedExecutionDate")
        return self


class RefundRequest(MoneyRequest):
    """Pay back a payment, in part or in full."""

    schema_examples = examples.REFUND_REQUESTS

    transaction_id: TransactionId = Field(description="The platform's id of this refund")
    requested_amount: PositiveAmount = Field(description="Amount to pay back")
    currency: Currency = Field(description="ISO 4217 code; that of the payment")
    webhook_target: Url = Field(description="Where changes of this refund are announced")
    psp_settings_id: str | None = Field(None, description="Not used")
    payment_transaction_id: TransactionId = Field(description="The payment to refund")
    payer_data: PayerData | None = Field(None, repr=False)
    invoice_data: InvoiceData | None = Field(None, description="The credit note")


class PaymentCancellationRequest(WireModel):
    """Cancel a preauth; its id is in the path, and the content is ignored."""

    schema_examples = examples.CANCELLATION_REQUESTS

    psp_settings_id: str | None = Field(None, description="Not used")


class FinalizePreauthRequest(WireModel):
    """The customer has come back from the PSP's page."""

    schema_examples = examples.FINALIZE_REQUESTS

    transaction_id: TransactionId = Field(description="The platform's id of the preauth")
    finalization_data: TextMap = Field(
        default_factory=dict,
        repr=False,
        description="Query parameters the PSP sent the customer back with",
        json_schema_extra={"type": ["object", "null"]},
    )
