"""Settings of a merchant, and the integration info with the form for them."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from integrator.contract import examples
from integrator.contract.base import WireModel, WireResponse
from integrator.contract.fields import Amount, Flag, Integer, SortedTextMap


class MerchantSettingValue(WireModel):
    """One value of the settings form."""

    key_name: str = Field(description="Key as declared in the integration info; case-sensitive")
    key_value: str | None = Field(None, repr=False, description="Absent while nothing is stored")


class ThirdPartyMerchantPspSettings(WireModel):
    """All values of the settings form. Also read from inside a `merchantPspSettings` member."""

    schema_examples = examples.SETTINGS

    merchant_settings: tuple[MerchantSettingValue, ...]

    @model_validator(mode="before")
    @classmethod
    def _unwrap(cls, data: object) -> object:
        if not isinstance(data, Mapping):
            return data
        members: dict[str, Any] = {str(key).lower(): value for key, value in data.items()}
        wrapped = members.get("merchantpspsettings")
        if members.get("merchantsettings") is None and wrapped is not None:
            return wrapped
        return data


class IntegrationSettingsResponse(WireResponse):
    """Which payment methods are correctly configured and may be offered."""

    schema_examples = examples.SETTINGS_RESPONSES

    is_credit_card_valid: Flag = False
    is_debit_valid: Flag = False
    is_on_account_valid: Flag = False
    is_black_label_valid: Flag = False
    is_autogiro_valid: Flag = False
    is_avtalegiro_valid: Flag = False
    is_betalingsservice_valid: Flag = False


class PaymentMethodInfo(WireResponse):
    """How the platform is to use a payment method."""

    use_capture_preauth: Flag = Field(False, description="Capture the preauth as first payment")
    use_cancel_preauth: Flag = Field(False, description="Cancel may be called")
    default_preauth_amount: Amount | None = Field(None, description="Minimum preauth amount")
    has_support_initial_bearer: Flag = Field(
        False, description="Payment data is typed at the platform"
    )


class PaymentDirectDebitMethodInfo(PaymentMethodInfo):
    """How the platform is to use a direct debit method."""

    support_backend_payments: Flag = Field(False, description="Sign-up without the customer")
    unconfirmed_ledger_for_refund: Flag = Field(
        False, description="Refunds are not confirmed automatically"
    )
    unconfirmed_ledger: Flag = Field(False, description="Payments are not confirmed automatically")
    support_external_mandate_reference: Flag = Field(
        False, description="The platform may generate the mandate reference"
    )
    supported_external_mandate_reference_size: Integer = Field(
        0, description="Maximum length of that reference"
    )
    support_lower_case_mandate_reference: Flag = Field(
        False, description="Lower-case letters are allowed in it"
    )


class MerchantSettingDescription(WireResponse):
    """One field of the settings form."""

    display_name: str = Field(description="Label")
    key_name: str = Field(description="Key used in the settings")
    required: Flag
    predefined_values: SortedTextMap | None = Field(
        None, description="Choices: stored value to label"
    )
    place_holder: str | None = Field(None, description="Shown in the empty input")


class IntegrationInfoResponse(WireResponse):
    """What the integrator supports; a payment method that is absent is not supported."""

    schema_examples = examples.INTEGRATION_INFOS

    credit_card_method_info: PaymentMethodInfo | None = None
    debit_method_info: PaymentDirectDebitMethodInfo | None = None
    black_label_method_info: PaymentMethodInfo | None = None
    on_account_method_info: PaymentMethodInfo | None = None
    betalingsservice_method_info: PaymentDirectDebitMethodInfo | None = None
    autogiro_method_info: PaymentMethodInfo | None = None
    avtalegiro_method_info: PaymentMethodInfo | None = None
    use_payment_data_confirmation_flow: Flag = False
    use_payment_data_confirmation_flow_for_preauth: Flag = False
    support_refunds: Flag = False
    support_escalations: Flag | None = Field(None, description="The platform runs the dunning")
    prevent_recurring_before_capture: Flag = False
    uses_scheduled_payment: Flag = False
    support_multiple_transaction_overpayments: Flag = False
    requires_return_url: Flag = Field(False, description="Return URLs are needed at sign-up")
    merchant_settings: tuple[MerchantSettingDescription, ...] | None = None
    has_support_initial_bearer: Flag = False
    has_support_order_data_in_preauth: Flag = False
    has_support_invoice_data: Flag = False
