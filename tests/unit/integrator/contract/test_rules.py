"""Enumerations, HTTP statuses, money and fingerprints."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from integrator.contract import (
    PaymentCancellationStatus,
    PaymentErrorCode,
    PaymentRequest,
    PaymentTransactionStatus,
    PreauthRequest,
    PublicPaymentProviderRole,
    RefundRequest,
    WebhookType,
    enums,
    http_status,
    json_codec,
    money,
)
from integrator.contract.enums import WireEnum
from integrator.contract.ids import is_transaction_id

Body = dict[str, Any]

ENUMS = {
    "PaymentTransactionStatus": "Initiated Pending Succeeded Failed Cancelled Expired",
    "PublicPaymentProviderRole": "Default CreditCard Debit OnAccount Betalingsservice iDEAL "
    "Autogiro Avtalegiro MobilePay AmazonPay",
    "WebhookType": "Preauth Payment Refund Agreement Mandate",
    "PaymentChargebackReason": "Unknown UserInitiated InsufficientBalance BearerInvalid Canceled "
    "Rejected",
    "TimePeriod": "Day Week Month Year Hour Minute Second",
    "InvoiceDataLineTaxCategory": "VatStandard TaxFreeExport ReverseCharge ExemptFromTax "
    "IntraEuSupply",
}
STATUSES = {
    "LoginError": 401,
    "BearerInvalid": 422,
    "BearerExpired": 422,
    "InvalidData": 422,
    "InvalidAmount": 422,
    "InvalidCountry": 422,
    "InvalidCurrency": 422,
    "InvalidBic": 422,
    "InvalidIBAN": 422,
    "InvalidNationalIdNumber": 422,
    "InsufficientBalance": 422,
    "Rejected": 422,
    "Canceled": 422,
    "FailedCustomerUpdate": 422,
    "LimitExceeded": 429,
    "UnmappedError": 500,
    "AlreadyExecuted": 500,
    "RateLimit": 500,
    "InvalidPreconditions": 500,
    "InternalError": 500,
    "InvalidConfiguration": 500,
    "PermissionDenied": 500,
    "PSPConnectionTimeout": 500,
    "InternalProviderError": 500,
    "PSPConnectionProblem": 500,
}


@pytest.mark.parametrize("name", ENUMS)
def test_enumerations_count_from_one(name: str) -> None:
    members = getattr(enums, name)
    assert [(m.name, m.value) for m in members] == [
        (member, number) for number, member in enumerate(ENUMS[name].split(), start=1)
    ]


def test_cancellation_status() -> None:
    assert {m.name: m.value for m in PaymentCancellationStatus} == {
        "NotCancelled": -1,
        "Initiated": 1,
        "Pending": 2,
        "Succeeded": 3,
        "Failed": 4,
    }
    assert PaymentCancellationStatus.parse("-1") is PaymentCancellationStatus.NotCancelled


def test_error_codes() -> None:
    numbers = {m.name: m.value for m in PaymentErrorCode}
    assert sorted(numbers.values()) == list(range(25))
    samples = ("UnmappedError", "LoginError", "InvalidData", "PermissionDenied", "InvalidIBAN")
    assert [numbers[name] for name in samples] == [0, 7, 8, 16, 21]
    assert numbers["FailedCustomerUpdate"] == 24


@pytest.mark.parametrize("code", PaymentErrorCode)
def test_http_status(code: PaymentErrorCode) -> None:
    assert http_status(code) == STATUSES[code.name]


def test_enumerations_are_formatted_by_name() -> None:
    assert str(PublicPaymentProviderRole.iDEAL) == "iDEAL"
    assert f"{WebhookType.Payment:>8}|{WebhookType.Payment}" == " Payment|Payment"


@pytest.mark.parametrize("value", ["succeeded", "SUCCEEDED", 3, "3"])
def test_enumerations_are_read_in_every_form(value: object) -> None:
    adapter = TypeAdapter(PaymentTransactionStatus)
    assert adapter.validate_python(value) is PaymentTransactionStatus.Succeeded
    assert adapter.dump_json(PaymentTransactionStatus.Succeeded) == b'"Succeeded"'


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        {},
        [],
        3.0,
        Decimal(3),
        0,
        "0",
        "Done",
        " 3",
        "+3",
        "9" * 5000,
        WebhookType.Refund,
    ],
)
def test_enumerations_refuse_everything_else(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(PaymentTransactionStatus).validate_python(value)


def test_all_enumerations_share_the_rules() -> None:
    enumerations = {
        m for m in vars(enums).values() if isinstance(m, type) and issubclass(m, WireEnum)
    }
    assert len(enumerations - {WireEnum}) == 8


# --- money and ids ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("currency", "exponent"),
    [("EUR", 2), ("USD", 2), ("JPY", 0), ("ISK", 0), ("KWD", 3), ("UYW", 4)],
)
def test_exponents(currency: str, exponent: int) -> None:
    assert money.exponent(currency) == exponent


@pytest.mark.parametrize("currency", ["", "eur", "XXX", "XAU", "XTS", "ABC"])
def test_not_a_currency(currency: str) -> None:
    assert not money.is_known(currency)
    assert not money.is_current(currency)
    with pytest.raises(money.UnknownCurrencyError):
        money.exponent(currency)


@pytest.mark.parametrize(
    ("amount", "currency", "result"),
    [
        ("10", "EUR", "10.00"),
        ("10.5", "EUR", "10.50"),
        ("10.500", "EUR", "10.50"),
        ("5.00", "JPY", "5"),
        ("1E+3", "EUR", "1000.00"),
        ("0", "KWD", "0.000"),
        ("99999999999999999999999999999.99", "EUR", "99999999999999999999999999999.99"),
    ],
)
def test_quantize(amount: str, currency: str, result: str) -> None:
    assert str(money.quantize(Decimal(amount), currency)) == result


@pytest.mark.parametrize(
    ("amount", "currency"), [("0.001", "EUR"), ("5.5", "JPY"), ("NaN", "EUR"), ("Infinity", "EUR")]
)
def test_quantize_never_rounds(amount: str, currency: str) -> None:
    with pytest.raises(money.InexactAmountError):
        money.quantize(Decimal(amount), currency)


@given(st.decimals(-(10**12), 10**12, places=2))
def test_quantize_keeps_the_value(amount: Decimal) -> None:
    result = money.quantize(amount, "EUR")
    assert result == amount
    assert money.scale(result) == 2
    assert money.fits_currency(result, "EUR")


def test_scale() -> None:
    scales = [money.scale(Decimal(text)) for text in ("1", "1.0", "1E+3", "1E-3")]
    assert scales == [0, 1, 0, 3]
    with pytest.raises(ValueError, match="finite"):
        money.scale(Decimal("NaN"))


def test_transaction_ids() -> None:
    assert is_transaction_id("65a7f1c2c2d3e4f506172a01")
    assert is_transaction_id("20260115-65a7f1c2c2d3e4f506172a01")
    assert not is_transaction_id("20260115-65a7f1c2c2d3e4f506172a01\n")
    assert not is_transaction_id("x-65a7f1c2c2d3e4f506172a01")


# --- fingerprints ----------------------------------------------------------------------------


def test_fingerprints_never_change(preauth: Body, payment: Body, refund: Body) -> None:
    fingerprints = [
        json_codec.fingerprint(json_codec.validate(PreauthRequest, preauth)),
        json_codec.fingerprint(json_codec.validate(PaymentRequest, payment)),
        json_codec.fingerprint(json_codec.validate(RefundRequest, refund)),
    ]
    assert fingerprints == [
        "d3c0d58c31137449a08304739a4b4288a781d82348b9522077ecbe47cb9f605a",
        "e90ba5776c06d6a3df36aafe8ee1afa35bb8a4d079b654ebbca840af2e8262d4",
        "74d873716d4fdf57e1f87433038049aa90a7d276695c88d3a81027b36ff3524c",
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"requestedAmount": Decimal("49.9")},
        {"requestedAmount": "49.90"},
        {"transactionReferenceText": "other"},
        {"webhookTarget": "https://other.example"},
        {"payerData": {"companyName": "Other"}},
        {"orderData": None},
        {"pspSettingsId": None},
        {"migrationToken": "m"},
    ],
)
def test_same_request(change: Body, preauth: Body) -> None:
    original = json_codec.validate(PreauthRequest, preauth)
    changed = json_codec.validate(PreauthRequest, preauth | change)
    assert json_codec.fingerprint(changed) == json_codec.fingerprint(original)


@pytest.mark.parametrize(
    "change",
    [
        {"requestedAmount": Decimal("49.91")},
        {"currency": "USD"},
        {"agreementId": "other"},
        {"preauthTransactionId": "65a7f1c2c2d3e4f506172a01"},
        {"paymentMeansReference": {"role": "CreditCard"}},
    ],
)
def test_other_payment(change: Body, payment: Body) -> None:
    original = json_codec.validate(PaymentRequest, payment)
    changed = json_codec.validate(PaymentRequest, payment | change)
    assert json_codec.fingerprint(changed) != json_codec.fingerprint(original)


def test_other_preauth_and_refund(preauth: Body, payment: Body, refund: Body) -> None:
    initial = json_codec.validate(PreauthRequest, preauth)
    upgrade = json_codec.validate(PreauthRequest, preauth | {"isInitial": False})
    charge = json_codec.validate(PaymentRequest, payment)
    back = json_codec.validate(RefundRequest, refund)
    other = refund | {"paymentTransactionId": "65a7f1c2c2d3e4f506172a01"}
    other_back = json_codec.validate(RefundRequest, other)
    requests = (initial, upgrade, charge, back, other_back)
    assert len({json_codec.fingerprint(request) for request in requests}) == 5


@pytest.mark.parametrize(("one", "two"), [("10", "10.00"), ("100", "100.0"), ("0", "0.00")])
def test_amount_is_compared_by_value(one: str, two: str, preauth: Body) -> None:
    prints = {
        json_codec.fingerprint(
            json_codec.validate(PreauthRequest, preauth | {"requestedAmount": text})
        )
        for text in (one, two)
    }
    assert len(prints) == 1
