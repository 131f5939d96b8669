"""Amounts, payment data, codes and redaction of the sandbox adapter, without a PSP."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract.enums import PaymentChargebackReason as Reason
from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import BearerRefused, ProtocolError
from integrator.psp.sandbox import ADAPTER
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.sandbox.error_codes import chargeback_reason, error_code
from integrator.psp.toolkit.money import UnsupportedAmountError, to_major, to_minor
from integrator.psp.toolkit.redaction import redact
from tests.integration.integrator.psp.builders import GOOD_IBAN


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("49.90", "EUR", 4990),
        ("49.9", "EUR", 4990),
        ("0", "EUR", 0),
        ("500", "JPY", 500),
        ("1.234", "KWD", 1234),
        ("10.000", "EUR", 1000),
    ],
)
def test_minor_units(amount: str, currency: str, minor: int) -> None:
    assert to_minor(Decimal(amount), currency) == minor
    assert to_major(minor, currency) == Decimal(amount)


@given(st.integers(0, 10**15), st.sampled_from(["EUR", "JPY", "KWD", "CLF", "USD"]))
def test_minor_units_round_trip(minor: int, currency: str) -> None:
    assert to_minor(to_major(minor, currency), currency) == minor


def test_major_units_have_the_scale_of_their_currency() -> None:
    assert str(to_major(4990, "EUR")) == "49.90"
    assert str(to_major(500, "JPY")) == "500"


@pytest.mark.parametrize(
    ("amount", "currency", "code"),
    [
        ("0.001", "EUR", Code.InvalidAmount),
        ("0.5", "JPY", Code.InvalidAmount),
        ("1", "XAU", Code.InvalidCurrency),
        ("1", "eur", Code.InvalidCurrency),
    ],
)
def test_amounts_are_never_rounded(amount: str, currency: str, code: Code) -> None:
    with pytest.raises(UnsupportedAmountError) as refusal:
        to_minor(Decimal(amount), currency)
    assert refusal.value.code is code


def test_an_unknown_currency_of_the_psp_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolError):
        to_major(1, "???")


@pytest.mark.parametrize(
    ("bearer", "code"),
    [
        (None, Code.BearerInvalid),
        ({}, Code.BearerInvalid),
        ({"Holder": " ", "IBAN": GOOD_IBAN}, Code.BearerInvalid),
        ({"Holder": "Mia Kern", "IBAN": ""}, Code.BearerInvalid),
        ({"holder": "Mia Kern", "iban": GOOD_IBAN}, Code.BearerInvalid),
        ({"Holder": "Mia Kern", "IBAN": "DE89370400440532013001"}, Code.InvalidIBAN),
        ({"Holder": "Mia Kern", "IBAN": "DE8937"}, Code.InvalidIBAN),
        ({"Holder": "Mia Kern", "IBAN": "ZZ89370400440532013000"}, Code.InvalidIBAN),
    ],
)
def test_invalid_debit_bearers_are_refused(bearer: dict[str, str] | None, code: Code) -> None:
    with pytest.raises(BearerRefused) as refusal:
        ADAPTER.check_initial_bearer(Role.Debit, bearer)
    assert refusal.value.code is code
    assert "DE89" not in str(refusal.value)


@pytest.mark.parametrize(
    "iban", [GOOD_IBAN, "de89 3704 0044 0532 0130 00", " GB82WEST12345698765432"]
)
def test_valid_debit_bearers_are_accepted(iban: str) -> None:
    ADAPTER.check_initial_bearer(Role.Debit, {"Holder": "Mia Kern", "IBAN": iban})


@given(st.text(max_size=40))
def test_any_text_is_either_an_iban_or_refused(text: str) -> None:
    with contextlib.suppress(BearerRefused):
        ADAPTER.check_initial_bearer(Role.Debit, {"Holder": "Mia Kern", "IBAN": text})


def test_a_bearer_for_a_redirecting_role_is_ignored() -> None:
    ADAPTER.check_initial_bearer(Role.CreditCard, {"anything": "at all"})
    ADAPTER.check_initial_bearer(Role.CreditCard, None)


@pytest.mark.parametrize(
    ("psp_code", "code"),
    [
        ("insufficient_funds", Code.InsufficientBalance),
        ("card_expired", Code.BearerExpired),
        ("card_declined", Code.Rejected),
        ("authentication_failed", Code.Rejected),
        ("card_not_supported", Code.BearerInvalid),
        ("invalid_iban", Code.InvalidIBAN),
        ("amount_too_large", Code.InvalidAmount),
        ("invalid_state", Code.InvalidPreconditions),
        ("currency_mismatch", Code.InvalidCurrency),
        ("never_heard_of", Code.UnmappedError),
    ],
)
def test_error_codes(psp_code: str, code: Code) -> None:
    assert error_code(psp_code, default=Code.UnmappedError) is code


@pytest.mark.parametrize(
    ("psp_code", "reason"),
    [
        ("AM04", Reason.InsufficientBalance),
        ("AC04", Reason.BearerInvalid),
        ("MD06", Reason.UserInitiated),
        ("MD01", Reason.Canceled),
        ("MS03", Reason.Rejected),
        ("10.4", Reason.UserInitiated),
        ("13.1", Reason.UserInitiated),
        ("ZZ99", Reason.Unknown),
        (None, Reason.Unknown),
    ],
)
def test_chargeback_reasons(psp_code: str | None, reason: Reason) -> None:
    assert chargeback_reason(psp_code) is reason


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("The card has expired.", "The card has expired."),
        ("AM04 ACCOUNT NOT COVERED", "AM04 ACCOUNT NOT COVERED"),
        ("No such payment_method: pm_a1B2", "No such payment_method: …"),
        ("Bad IBAN DE89370400440532013000!", "Bad IBAN …!"),
        ("Bad IBAN GB82 WEST 1234 5698 7654 32!", "Bad IBAN …!"),
        ("Card 4242 4242 4242 4242 lost", "Card … lost"),
        ("mail mia@example.org", "mail …"),
        ("x" * 300, "x" * 200),
        ("", None),
        (None, None),
    ],
)
def test_payment_data_is_redacted(text: str | None, redacted: str | None) -> None:
    assert redact(text) == redacted


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, "http://127.0.0.1:8090"),
        ({"INTEGRATOR_SANDBOX_PORT": "9001"}, "http://127.0.0.1:9001"),
        ({"INTEGRATOR_SANDBOX_URL": "https://psp.example/"}, "https://psp.example"),
        ({"INTEGRATOR_SANDBOX_URL": "", "INTEGRATOR_SANDBOX_PORT": "9"}, "http://127.0.0.1:9"),
    ],
)
def test_base_url_from_the_environment(
    environment: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("INTEGRATOR_SANDBOX_PORT", "INTEGRATOR_SANDBOX_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert SandboxConfig().base_url == url
