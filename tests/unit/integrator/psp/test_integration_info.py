"""IntegrationInfo and settings form, derived from an adapter's declarations."""

import json
from decimal import Decimal
from typing import cast

import pytest
from pydantic import BaseModel, Field, SecretStr

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp import registry
from integrator.psp.integration_info import (
    SettingsRefused,
    build_integration_info,
    build_settings_response,
    parse_settings,
    setting_keys,
)
from integrator.psp.port import Adapter
from integrator.psp.sandbox import ADAPTER, SandboxAdapter
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.types import Capabilities, IdempotencySemantics, MethodCapability, SettingsCheck
from tests.integration.integrator.psp.builders import SETTINGS


class OtherSettings(BaseModel):
    merchant: str = Field(alias="MerchantId", title="Merchant", max_length=8)
    mode: str = Field(
        alias="Mode", json_schema_extra={"predefinedValues": {"test": "Test", "live": "Live"}}
    )
    note: SecretStr | None = Field(None, alias="Note")
    count: int = 3


class OtherAdapter(SandboxAdapter):
    """Adapter with the capabilities that the sandbox lacks."""

    settings_model: type[BaseModel] = OtherSettings
    capabilities = Capabilities(
        methods={
            Role.AmazonPay: MethodCapability(capture=True),
            Role.Betalingsservice: MethodCapability(
                external_mandate_reference_size=35, unconfirmed_ledger_for_refund=True
            ),
            Role.Autogiro: MethodCapability(cancel=True),
            Role.iDEAL: MethodCapability(),
        },
        refunds=False,
        invoice_data=True,
        idempotency=IdempotencySemantics(window_seconds=60, consistent_lookup=False),
    )


OTHER = OtherAdapter()


def to_json(model: BaseModel) -> dict[str, object]:
    wire = json.loads(model.model_dump_json(by_alias=True, exclude_none=True))
    return cast(dict[str, object], wire)


def test_integration_info_of_the_sandbox() -> None:
    info = to_json(build_integration_info(ADAPTER))
    info["creditCardMethodInfo"] = {
        **cast(dict[str, object], info["creditCardMethodInfo"]),
        "defaultPreauthAmount": "read below",
    }
    assert build_integration_info(ADAPTER).credit_card_method_info is not None
    assert info == {
        "creditCardMethodInfo": {
            "useCapturePreauth": True,
            "useCancelPreauth": True,
            "defaultPreauthAmount": "read below",
            "hasSupportInitialBearer": False,
        },
        "debitMethodInfo": {
            "useCapturePreauth": False,
            "useCancelPreauth": False,
            "hasSupportInitialBearer": True,
            "supportBackendPayments": True,
            "unconfirmedLedgerForRefund": False,
            "unconfirmedLedger": True,
            "supportExternalMandateReference": False,
            "supportedExternalMandateReferenceSize": 0,
            "supportLowerCaseMandateReference": False,
        },
        "usePaymentDataConfirmationFlow": False,
        "usePaymentDataConfirmationFlowForPreauth": False,
        "supportRefunds": True,
        "supportEscalations": True,
        "preventRecurringBeforeCapture": False,
        "usesScheduledPayment": False,
        "supportMultipleTransactionOverpayments": False,
        "requiresReturnUrl": True,
        "merchantSettings": [
            {
                "displayName": "API key",
                "keyName": "ApiKey",
                "required": True,
                "placeHolder": "sk_sandbox_...",
            },
            {"displayName": "Webhook secret", "keyName": "WebhookSecret", "required": True},
        ],
        "hasSupportInitialBearer": True,
        "hasSupportOrderDataInPreauth": True,
        "hasSupportInvoiceData": False,
    }


def test_a_default_preauth_amount_of_zero_is_kept() -> None:
    card = build_integration_info(ADAPTER).credit_card_method_info
    assert card is not None
    assert card.default_preauth_amount == Decimal(0)


def test_integration_info_of_other_roles() -> None:
    info = build_integration_info(OTHER)
    assert info.credit_card_method_info is None
    assert info.debit_method_info is None
    assert info.black_label_method_info is not None
    assert info.black_label_method_info.use_capture_preauth
    assert info.autogiro_method_info is not None
    assert info.autogiro_method_info.use_cancel_preauth
    betalingsservice = info.betalingsservice_method_info
    assert betalingsservice is not None
    assert betalingsservice.support_external_mandate_reference
    assert betalingsservice.supported_external_mandate_reference_size == 35
    assert betalingsservice.unconfirmed_ledger_for_refund
    assert not info.requires_return_url
    assert not info.has_support_initial_bearer
    assert not info.support_refunds
    assert info.has_support_invoice_data
    settings = info.merchant_settings
    assert settings is not None
    assert [(s.key_name, s.display_name, s.required) for s in settings] == [
        ("MerchantId", "Merchant", True),
        ("Mode", "Mode", True),
        ("Note", "Note", False),
        ("count", "count", False),
    ]
    assert settings[1].predefined_values == {"live": "Live", "test": "Test"}


def test_setting_keys_keep_the_order_of_the_form() -> None:
    assert setting_keys(ADAPTER) == ["ApiKey", "WebhookSecret"]


def test_parse_settings_trims_values_and_ignores_unknown_keys() -> None:
    parsed = parse_settings(ADAPTER, {**SETTINGS, "ApiKey": "  sk_1\n", "Extra": "x"})
    assert isinstance(parsed, SandboxSettings)
    assert parsed.api_key.get_secret_value() == "sk_1"
    assert "sk_1" not in repr(parsed)


def test_optional_settings_may_stay_blank() -> None:
    parsed = parse_settings(OTHER, {"MerchantId": "m", "Mode": "test", "Note": " ", "count": ""})
    assert isinstance(parsed, OtherSettings)
    assert (parsed.note, parsed.count) == (None, 3)


@pytest.mark.parametrize(
    ("adapter", "values", "message"),
    [
        (ADAPTER, {}, "Setting 'ApiKey' is required."),
        (ADAPTER, {"ApiKey": "s", "WebhookSecret": " "}, "Setting 'WebhookSecret' is required."),
        (ADAPTER, {"apikey": "s", "WebhookSecret": "w"}, "Setting 'ApiKey' is required."),
        (ADAPTER, {"ApiKey": "ge heim", "WebhookSecret": "w"}, "Setting 'ApiKey' is not valid."),
        (ADAPTER, {"ApiKey": "geheim€", "WebhookSecret": "w"}, "Setting 'ApiKey' is not valid."),
        (OTHER, {"MerchantId": "geheim-lang", "Mode": "test"}, "'MerchantId' is not valid."),
        (OTHER, {"MerchantId": "m", "Mode": "geheim"}, "'Mode' must be one of: live, test."),
        (OTHER, {"MerchantId": "m", "Mode": "live", "count": "geheim"}, "'count' is not valid."),
    ],
)
def test_invalid_settings_name_the_key_and_no_value(
    adapter: Adapter, values: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        parse_settings(adapter, values)
    assert message in str(refusal.value)
    assert "geheim" not in str(refusal.value)
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


@pytest.mark.parametrize(
    ("roles", "flags"),
    [
        ((), set()),
        ((Role.CreditCard, Role.Debit), {"isCreditCardValid", "isDebitValid"}),
        ((Role.MobilePay,), {"isBlackLabelValid"}),
        ((Role.OnAccount, Role.iDEAL), {"isOnAccountValid"}),
        ((Role.Autogiro, Role.Avtalegiro), {"isAutogiroValid", "isAvtalegiroValid"}),
        ((Role.Betalingsservice,), {"isBetalingsserviceValid"}),
    ],
)
def test_settings_response(roles: tuple[Role, ...], flags: set[str]) -> None:
    body = to_json(build_settings_response(SettingsCheck(roles=frozenset(roles))))
    assert len(body) == 7
    assert {name for name, valid in body.items() if valid} == flags


def test_the_registry_returns_the_sandbox() -> None:
    assert registry.get_adapter("sandbox") is ADAPTER
    assert "sandbox" in registry.adapter_names()
    with pytest.raises(LookupError):
        registry.get_adapter("unknown")
