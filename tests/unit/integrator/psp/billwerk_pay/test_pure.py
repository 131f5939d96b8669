"""Amounts, locales, texts and settings of the adapter, without a PSP."""

from decimal import Decimal

import pytest

from integrator.contract.currencies import CURRENT
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import exponent
from integrator.psp.billwerk_pay import ADAPTER, error_codes, money
from integrator.psp.billwerk_pay.config import BillwerkPayConfig
from integrator.psp.errors import ProtocolError
from integrator.psp.integration_info import SettingsRefused, parse_settings, setting_keys
from integrator.psp.toolkit.money import UnsupportedAmountError
from integrator.psp.toolkit.redaction import extract_reference
from tests.integration.integrator.psp.billwerk_pay.builders import SETTINGS, settings


@pytest.mark.parametrize(
    ("amount", "currency", "units"),
    [
        ("49.90", "EUR", 4990),
        ("49.900", "EUR", 4990),
        ("0.01", "DKK", 1),
        ("4990", "JPY", 499000),
        ("1", "ISK", 100),
        ("49.905", "BHD", 49905),
        ("10", "VND", 10000),
        ("1.230", "JOD", 123),
    ],
)
def test_units(amount: str, currency: str, units: int) -> None:
    assert money.to_minor(Decimal(amount), currency) == units
    assert money.to_major(units, currency) == Decimal(amount)


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("49.905", "EUR", Code.InvalidAmount),
        ("1.5", "JPY", Code.InvalidAmount),
        ("1.234", "JOD", Code.InvalidAmount),
        ("1", "ZZZ", Code.InvalidCurrency),
    ],
)
def test_unsupported_amounts_are_refused(amount: str, currency: str, code: Code) -> None:
    with pytest.raises(UnsupportedAmountError) as caught:
        money.to_minor(Decimal(amount), currency)
    assert caught.value.code is code


@pytest.mark.parametrize(("units", "currency"), [(150, "JPY"), (1, "VND"), (1, "ZZZ")])
def test_unreadable_amounts_are_a_protocol_error(units: int, currency: str) -> None:
    """If the PSP used other units than assumed, these amounts would reveal it."""
    with pytest.raises(ProtocolError):
        money.to_major(units, currency)


def test_a_negative_amount_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        money.to_major(-1900, "EUR")


@pytest.mark.parametrize("currency", sorted(CURRENT))
def test_only_units_on_which_the_sources_agree_are_certain(currency: str) -> None:
    """Billwerk's sample and the PSP's plugin for WooCommerce both count hundredths, as ISO does."""
    sample = 3 if currency in {"BHD", "IQD", "KWD", "LYD", "OMR", "TND", "VND"} else 2
    plugin = 0 if currency == "ISK" else 2
    agree = exponent(currency) == sample == plugin
    assert money.is_unit_certain(currency) is agree


@pytest.mark.parametrize("currency", ["ISK", "JPY", "KRW", "KWD", "JOD", "VND", "CLF"])
def test_other_units_are_refused_with_the_reason(currency: str) -> None:
    error = money.uncertain_unit_error(currency)
    assert (error.code, currency in str(error)) == (Code.InvalidCurrency, True)


@pytest.mark.parametrize(
    ("language", "locale"),
    [("de", "de_DE"), ("DE", "de_DE"), ("nb", "nb_NO"), ("xx", "en_US"), (None, "en_US")],
)
def test_locales(language: str | None, locale: str) -> None:
    assert error_codes.locale(language) == locale


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("Pro plan [20260115-a]", "20260115-a"),
        ("Plan [big] [20260115-a]", "20260115-a"),
        ("[20260115-a]", "20260115-a"),
        ("Pro plan", None),
        ("[20260115-a] and more", None),
        (None, None),
    ],
)
def test_references_in_texts(text: str | None, reference: str | None) -> None:
    assert extract_reference(text) == reference


@pytest.mark.parametrize(
    ("entered", "methods"),
    [
        ("Visa,Mastercard", ["visa", "mc"]),
        ("visa , UNIONPAY, Dankort", ["visa", "china_union_pay", "dankort"]),
        ("Bancaire", ["card"]),
        ("Bancaire, Amex", ["amex"]),
    ],
)
def test_card_types(entered: str, methods: list[str]) -> None:
    assert settings(CardTypes=entered).payment_methods == methods


def test_all_cards_unless_some_are_named() -> None:
    assert settings().payment_methods == ["card"]


def test_settings_form() -> None:
    assert setting_keys(ADAPTER) == ["PrivateKey", "WebhookSecret", "CardTypes"]
    with pytest.raises(SettingsRefused, match="CardTypes") as caught:
        parse_settings(ADAPTER, {**SETTINGS, "CardTypes": "Visa, Chequebook"})
    assert "Chequebook" not in str(caught.value)
    with pytest.raises(SettingsRefused, match="PrivateKey"):
        parse_settings(ADAPTER, {"WebhookSecret": "x"})


def test_secrets_are_not_shown_by_repr() -> None:
    assert SETTINGS["PrivateKey"] not in repr(settings())
    assert SETTINGS["WebhookSecret"] not in repr(settings())


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert BillwerkPayConfig().addresses == (
        "https://api.reepay.com/",
        "https://checkout-api.reepay.com/",
    )
    monkeypatch.setenv("INTEGRATOR_BILLWERK_PAY_URL", "http://127.0.0.1:8090/billwerk_pay")
    monkeypatch.setenv("INTEGRATOR_BILLWERK_PAY_CHECKOUT_URL", "http://127.0.0.1:8090/checkout")
    assert BillwerkPayConfig().addresses == (
        "http://127.0.0.1:8090/billwerk_pay",
        "http://127.0.0.1:8090/checkout",
    )
