"""Serialization of responses and webhooks."""

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from integrator.contract import (
    ChangeNotification,
    IntegrationInfoResponse,
    IntegrationSettingsResponse,
    MerchantSettingDescription,
    MerchantSettingValue,
    PaymentChargebackItem,
    PaymentError,
    PaymentErrorCode,
    PaymentItem,
    PaymentResponse,
    PaymentTransactionStatus,
    PreauthResponse,
    RefundResponse,
    ThirdPartyMerchantPspSettings,
    WebhookForm,
    WebhookType,
    encode_webhook,
    json_codec,
)

NOW = datetime(2026, 1, 15, 9, 0, 1, 234567, tzinfo=UTC)
COMMON: dict[str, Any] = {
    "transaction_id": "t1",
    "external_transaction_id": "x1",
    "currency": "EUR",
    "requested_amount": Decimal("25.00"),
    "status": PaymentTransactionStatus.Initiated,
    "last_updated": NOW,
}
COMMON_TEXT = (
    '"transactionId":"t1","externalTransactionId":"x1","currency":"EUR","requestedAmount":25.00,'
    '"status":"Initiated","lastUpdated":"2026-01-15T09:00:01.2345670Z"'
)


def text_of(model: Any) -> str:
    return json_codec.encode(model).decode()


def test_preauth_writes_zero_and_omits_what_is_absent() -> None:
    nothing: list[dict[str, Any]] = [{}, {"bearer": {}, "redirect_data": {}, "expires_at": None}]
    for empty in nothing:
        response = PreauthResponse(**COMMON, **empty)
        assert text_of(response) == f'{{{COMMON_TEXT},"authorizedAmount":0}}'


def test_payment_writes_empty_arrays_zero_amounts_and_its_bearer() -> None:
    assert text_of(PaymentResponse(**COMMON)) == (
        f'{{{COMMON_TEXT},"payments":[],"chargebacks":[],"refundedAmount":0,'
        '"refundableAmount":0,"bearer":{}}'
    )


def test_payment_items() -> None:
    item = PaymentItem(amount=Decimal("1.00"), booking_date=date(2026, 1, 2))
    chargeback = PaymentChargebackItem(amount=Decimal("1.00"), booking_date=date(2026, 1, 3))
    assert text_of(item) == '{"amount":1.00,"bookingDate":"2026-01-02"}'
    assert text_of(chargeback) == (
        '{"amount":1.00,"bookingDate":"2026-01-03","feeAmount":0,"reason":"Unknown"}'
    )


def test_refund() -> None:
    response = RefundResponse(**COMMON, booking_date=date(2026, 1, 2))
    assert text_of(response).endswith('"refundedAmount":0,"bookingDate":"2026-01-02"}')


def test_error_writes_its_defaults() -> None:
    assert text_of(PaymentError(received_at=NOW)) == (
        '{"errorCode":"UnmappedError","receivedAt":"2026-01-15T09:00:01.2345670Z",'
        '"status":"Failed"}'
    )


@pytest.mark.parametrize("status", PaymentTransactionStatus)
def test_an_error_requires_a_final_status(status: PaymentTransactionStatus) -> None:
    if status.name in ("Failed", "Cancelled", "Expired"):
        assert PaymentError(received_at=NOW, status=status).status is status
    else:
        with pytest.raises(ValidationError):
            PaymentError(received_at=NOW, status=status)


def test_settings_response_writes_false() -> None:
    assert text_of(IntegrationSettingsResponse(is_debit_valid=True)) == (
        '{"isCreditCardValid":false,"isDebitValid":true,"isOnAccountValid":false,'
        '"isBlackLabelValid":false,"isAutogiroValid":false,"isAvtalegiroValid":false,'
        '"isBetalingsserviceValid":false}'
    )


def test_integration_info_writes_flags_and_no_absent_method() -> None:
    written = json_codec.decode(json_codec.encode(IntegrationInfoResponse()))
    assert "creditCardMethodInfo" not in written
    assert "supportEscalations" not in written
    assert "merchantSettings" not in written
    assert set(written.values()) == {False}
    with_null = IntegrationInfoResponse(support_escalations=False)
    assert '"supportEscalations":false' in text_of(with_null)


def test_predefined_values_are_sorted_and_verbatim() -> None:
    setting = MerchantSettingDescription(
        display_name="Mode",
        key_name="Mode",
        required=False,
        predefined_values={"test": "Test", "Live": "Live"},
        place_holder="…",
    )
    assert text_of(setting) == (
        '{"displayName":"Mode","keyName":"Mode","required":false,'
        '"predefinedValues":{"Live":"Live","test":"Test"},"placeHolder":"…"}'
    )


def test_settings_before_anything_is_stored() -> None:
    values = (MerchantSettingValue(key_name="ApiKey"), MerchantSettingValue(key_name="Empty"))
    settings = ThirdPartyMerchantPspSettings(merchant_settings=values)
    assert text_of(settings) == '{"merchantSettings":[{"keyName":"ApiKey"},{"keyName":"Empty"}]}'
    empty = MerchantSettingValue(key_name="ApiKey", key_value="")
    assert text_of(empty) == '{"keyName":"ApiKey","keyValue":""}'


def test_text_is_not_escaped() -> None:
    text = "Zürich <&+'> 東京 😀"
    error = PaymentError(received_at=NOW, error_message=text)
    assert f'"errorMessage":"{text}"' in text_of(error)


@pytest.mark.parametrize(
    ("amount", "literal"),
    [
        ("0", "0"),
        ("0.00", "0.00"),
        ("-0.00", "0.00"),
        ("25", "25"),
        ("25.00", "25.00"),
        ("1E+3", "1000"),
        ("0E-2", "0.00"),
        ("0E-10", "0.0000000000"),
        ("1E-7", "0.0000001"),
        ("-3.50", "-3.50"),
        ("123456789012345678.1234567891", "123456789012345678.1234567891"),
    ],
)
def test_decimals_keep_their_scale_and_have_no_exponent(amount: str, literal: str) -> None:
    response = PreauthResponse(**COMMON, authorized_amount=Decimal(amount))
    assert f'"authorizedAmount":{literal}}}' in text_of(response)


def test_exponents_are_written_without_notation() -> None:
    response = PreauthResponse(**COMMON).model_copy(update={"authorized_amount": Decimal("1E+3")})
    assert '"authorizedAmount":1000}' in text_of(response)


@pytest.mark.parametrize("bad", [1.5, float("nan"), object(), {1}, b"x"])
def test_unsupported_values_are_not_written(bad: object) -> None:
    response = PreauthResponse(**COMMON).model_copy(update={"authorized_amount": bad})
    with pytest.raises(TypeError):
        json_codec.encode(response)


@pytest.mark.parametrize("bad", [1.5, Decimal("NaN"), Decimal("Infinity"), None, True])
def test_our_own_code_cannot_build_bad_amounts(bad: Any) -> None:
    with pytest.raises(ValidationError):
        PaymentItem(amount=bad, booking_date=date(2026, 1, 2))


def test_errors_of_our_own_code_do_not_show_the_input() -> None:
    with pytest.raises(ValidationError) as caught:
        PreauthResponse(**COMMON | {"currency": 1}, bearer={"IBAN": "DE893704"})
    assert "DE893704" not in str(caught.value)


@pytest.mark.parametrize(
    ("timestamp", "literal"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.0000000Z"),
        (datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC), "2026-01-02T03:04:05.0000060Z"),
        (datetime(1, 1, 1, tzinfo=UTC), "0001-01-01T00:00:00.0000000Z"),
        (datetime.max.replace(tzinfo=UTC), "9999-12-31T23:59:59.9999999Z"),
        (
            datetime(9999, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC),
            "9999-12-31T23:59:59.9999980Z",
        ),
        (
            datetime(2026, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))),
            "2026-01-01T23:00:00.0000000Z",
        ),
    ],
)
def test_times_have_seven_digits_and_are_utc(timestamp: datetime, literal: str) -> None:
    response = PreauthResponse(**COMMON, expires_at=timestamp)
    assert f'"expiresAt":"{literal}"' in text_of(response)
    assert json_codec.format_time(timestamp) == literal
    again = json_codec.parse(PreauthResponse, json_codec.encode(response))
    assert again == response


def test_times_without_a_time_zone_are_refused() -> None:
    naive = datetime(2026, 1, 2)  # noqa: DTZ001
    with pytest.raises(ValidationError):
        PreauthResponse(**COMMON, expires_at=naive)
    with pytest.raises(TypeError, match="zone"):
        json_codec.format_time(naive)


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_are_read_as_written(timestamp: datetime) -> None:
    response = PreauthResponse(**COMMON, expires_at=timestamp)
    assert json_codec.parse(PreauthResponse, json_codec.encode(response)).expires_at == timestamp
    assert PreauthResponse.model_validate_json(response.model_dump_json()) == response


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=0, max_value=10**15),
    st.dictionaries(st.text(max_size=5), st.text(st.characters(codec="utf-8"), max_size=5)),
)
def test_responses_are_read_as_written(amount: Decimal, bearer: dict[str, str]) -> None:
    readable = {k: v for k, v in bearer.items() if "\x00" not in k + v}
    response = PaymentResponse(**COMMON, refunded_amount=amount, bearer=readable)
    again = json_codec.parse(PaymentResponse, json_codec.encode(response))
    assert again == response
    assert str(again.refunded_amount) == format(amount.copy_abs(), "f")


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (None, '{"TransactionId":"t1","AgreementId":null,"Type":2}'),
        (WebhookForm.PASCAL, '{"TransactionId":"t1","AgreementId":null,"Type":2}'),
        (WebhookForm.CAMEL, '{"transactionId":"t1","type":"Payment"}'),
    ],
)
def test_webhook_forms(form: WebhookForm | None, text: str) -> None:
    notification = ChangeNotification(transaction_id="t1", type=WebhookType.Payment)
    body = encode_webhook(notification) if form is None else encode_webhook(notification, form)
    assert body.decode() == text
    assert json_codec.parse(ChangeNotification, body) == notification


def test_error_code_is_kept_by_plain_pydantic_json_as_a_name() -> None:
    error = PaymentError(received_at=NOW, error_code=PaymentErrorCode.InvalidIBAN)
    assert '"errorCode":"InvalidIBAN"' in error.model_dump_json(by_alias=True)
    assert error.model_dump()["error_code"] is PaymentErrorCode.InvalidIBAN
