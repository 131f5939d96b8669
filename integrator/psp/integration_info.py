"""IntegrationInfo and the settings form of an adapter, derived from its capabilities."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.settings import (
    IntegrationInfoResponse,
    IntegrationSettingsResponse,
    MerchantSettingDescription,
    PaymentDirectDebitMethodInfo,
    PaymentMethodInfo,
)
from integrator.psp.port import Adapter
from integrator.psp.types import MethodCapability, SettingsCheck

# Billwerk+ has one method for both wallets.
_BLACK_LABEL = (Role.MobilePay, Role.AmazonPay)


class SettingsRefused(ValueError):
    """Invalid values in the settings form. The message names the key and never shows a value."""


def build_integration_info(adapter: Adapter) -> IntegrationInfoResponse:
    """Build the body of GET /IntegrationInfo; the same for every merchant of the adapter."""
    capabilities = adapter.capabilities
    methods = capabilities.methods
    return IntegrationInfoResponse(
        credit_card_method_info=_method_info(methods, Role.CreditCard),
        debit_method_info=_direct_debit_info(methods, Role.Debit),
        black_label_method_info=_method_info(methods, *_BLACK_LABEL),
        on_account_method_info=_method_info(methods, Role.OnAccount),
        betalingsservice_method_info=_direct_debit_info(methods, Role.Betalingsservice),
        autogiro_method_info=_method_info(methods, Role.Autogiro),
        avtalegiro_method_info=_method_info(methods, Role.Avtalegiro),
        support_refunds=capabilities.refunds,
        # The integrator sends no payment reminders, so Billwerk+ has to.
        support_escalations=True,
        requires_return_url=any(method.redirect for method in methods.values()),
        merchant_settings=tuple(_setting_description(*item) for item in _settings_fields(adapter)),
        has_support_initial_bearer=any(method.initial_bearer for method in methods.values()),
        has_support_order_data_in_preauth=capabilities.order_data_in_preauth,
        has_support_invoice_data=capabilities.invoice_data,
    )


def build_settings_response(check: SettingsCheck) -> IntegrationSettingsResponse:
    """Build the body of PUT /Settings: the methods that may be offered after a verification."""
    return IntegrationSettingsResponse(
        is_credit_card_valid=Role.CreditCard in check.roles,
        is_debit_valid=Role.Debit in check.roles,
        is_on_account_valid=Role.OnAccount in check.roles,
        is_black_label_valid=not check.roles.isdisjoint(_BLACK_LABEL),
        is_autogiro_valid=Role.Autogiro in check.roles,
        is_avtalegiro_valid=Role.Avtalegiro in check.roles,
        is_betalingsservice_valid=Role.Betalingsservice in check.roles,
    )


def setting_keys(adapter: Adapter) -> list[str]:
    """Return the keys of the settings form, in its order."""
    return [key for key, _ in _settings_fields(adapter)]


def secret_keys(adapter: Adapter) -> frozenset[str]:
    """Return the keys of the settings form whose values are never shown again."""
    return frozenset(
        key for key, field in _settings_fields(adapter) if field.annotation is SecretStr
    )


def parse_settings(adapter: Adapter, values: Mapping[str, str]) -> BaseModel:
    """Parse the values of the form into the adapter's settings model.

    Keys are case-sensitive, unknown ones are ignored, blank values count as absent and whitespace
    around a value is removed. Raises `SettingsRefused`.
    """
    entered = {key: value.strip() for key, value in values.items() if value.strip()}
    for key, field in _settings_fields(adapter):
        if key not in entered and field.is_required():
            raise SettingsRefused(f"Setting '{key}' is required.")
        choices = _schema_extra(field).get("predefinedValues")
        if key in entered and choices and entered[key] not in choices:
            raise SettingsRefused(f"Setting '{key}' must be one of: {', '.join(sorted(choices))}.")
    try:
        return adapter.settings_model.model_validate(entered)
    except ValidationError as error:
        # `from None`, since Pydantic's errors quote the values, which are secrets.
        raise SettingsRefused(_validation_message(error, setting_keys(adapter))) from None


def _method_info(
    methods: Mapping[Role, MethodCapability], *roles: Role
) -> PaymentMethodInfo | None:
    method = _first_method(methods, roles)
    return None if method is None else PaymentMethodInfo(**_common_fields(method))


def _direct_debit_info(
    methods: Mapping[Role, MethodCapability], role: Role
) -> PaymentDirectDebitMethodInfo | None:
    method = methods.get(role)
    if method is None:
        return None
    return PaymentDirectDebitMethodInfo(
        **_common_fields(method),
        support_backend_payments=method.backend_payments,
        unconfirmed_ledger=method.unconfirmed_ledger,
        unconfirmed_ledger_for_refund=method.unconfirmed_ledger_for_refund,
        support_external_mandate_reference=method.external_mandate_reference_size > 0,
        supported_external_mandate_reference_size=method.external_mandate_reference_size,
    )


def _first_method(
    methods: Mapping[Role, MethodCapability], roles: Iterable[Role]
) -> MethodCapability | None:
    return next((methods[role] for role in roles if role in methods), None)


def _common_fields(method: MethodCapability) -> dict[str, Any]:
    return {
        "use_capture_preauth": method.capture,
        "use_cancel_preauth": method.cancel,
        "default_preauth_amount": method.default_preauth_amount,
        "has_support_initial_bearer": method.initial_bearer,
    }


def _settings_fields(adapter: Adapter) -> list[tuple[str, FieldInfo]]:
    fields = adapter.settings_model.model_fields
    return [(field.alias or name, field) for name, field in fields.items()]


def _setting_description(key: str, field: FieldInfo) -> MerchantSettingDescription:
    extra = _schema_extra(field)
    return MerchantSettingDescription(
        display_name=field.title or key,
        key_name=key,
        required=field.is_required(),
        predefined_values=extra.get("predefinedValues"),
        place_holder=extra.get("placeHolder"),
    )


def _schema_extra(field: FieldInfo) -> dict[str, Any]:
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def _validation_message(error: ValidationError, keys: Collection[str]) -> str:
    """Name the first invalid key; the errors' own messages may quote values and are left out."""
    details = error.errors(include_url=False, include_context=False, include_input=False)[0]
    key = str(details["loc"][0]) if details["loc"] else ""
    return f"Setting '{key}' is not valid." if key in keys else "The settings are not valid."
