"""Parsing of requests: rules, limits, and the error of each invalid body."""

import copy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import simplejson
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract import (
    FinalizePreauthRequest,
    InvalidField,
    PaymentCancellationRequest,
    PaymentErrorCode,
    PaymentRequest,
    PreauthRequest,
    PublicPaymentProviderRole,
    RefundRequest,
    ThirdPartyMerchantPspSettings,
    WireError,
    json_codec,
)
from integrator.contract.base import WireModel
from integrator.contract.fields import is_absolute_http_url

Body = dict[str, Any]
EXAMPLES = Path(__file__).parent / "examples"
ID = "20260115-65a7f1c2c2d3e4f506172a01"
ABSENT = object()
KINDS = (PreauthRequest, PaymentRequest, RefundRequest)


class Literal(simplejson.RawJSON):
    """JSON text that is inserted into a body unchanged."""


def body_with(body: Body, path: str, value: object) -> bytes:
    """Return `body` as JSON text, with the member at `path` set to `value` or removed."""
    changed = copy.deepcopy(body)
    *parents, last = (int(step) if step.isdigit() else step for step in path.split("."))
    owner: Any = changed
    for step in parents:
        owner = owner[step]
    if value is ABSENT:
        del owner[last]
    else:
        owner[last] = value
    return simplejson.dumps(changed, use_decimal=True).encode()


def read_preauth(body: Body, path: str, value: object) -> PreauthRequest:
    return json_codec.parse(PreauthRequest, body_with(body, path, value))


def parse_refused(model: type[WireModel], body: bytes) -> InvalidField:
    with pytest.raises(InvalidField) as caught:
        json_codec.parse(model, body)
    return caught.value


def parse_malformed(model: type[WireModel], body: bytes) -> str:
    with pytest.raises(WireError) as caught:
        json_codec.parse(model, body)
    return caught.value.message


# --- members ---------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase, str.capitalize])
def test_member_names_are_read_in_any_case(change: Any, preauth: Body) -> None:
    def rename(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {
            change(name): inner if name == "initialBearer" else rename(inner)
            for name, inner in value.items()
        }

    body = simplejson.dumps(rename(preauth), use_decimal=True).encode()
    request = json_codec.parse(PreauthRequest, body)
    assert request == json_codec.validate(PreauthRequest, preauth)
    assert request.payment_means_reference.initial_bearer is not None
    assert list(request.payment_means_reference.initial_bearer) == ["Holder", "IBAN"]


def test_python_names_are_not_members(preauth: Body) -> None:
    preauth["transaction_id"] = preauth.pop("transactionId")
    with pytest.raises(InvalidField, match="transactionId is required"):
        json_codec.validate(PreauthRequest, preauth)


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        ('"currency": "USD", "Currency": "EUR"', "EUR"),
        ('"Currency": "EUR", "currency": "USD"', "USD"),
        ('"currency": "USD", "CURRENCY": "EUR", "currency": "SEK"', "SEK"),
    ],
)
def test_the_last_member_wins_in_any_case(text: str, currency: str, refund: Body) -> None:
    del refund["currency"]
    rest = simplejson.dumps(refund, use_decimal=True)[1:]
    assert json_codec.parse(RefundRequest, f"{{{text}, {rest}".encode()).currency == currency


def test_unknown_members_are_ignored(preauth: Body) -> None:
    text = '{"future": {"deep": [1e5, null, true]}, "1e5": 1E400,'
    body = text + simplejson.dumps(preauth, use_decimal=True)[1:]
    assert json_codec.parse(PreauthRequest, body.encode()) == json_codec.validate(
        PreauthRequest, preauth
    )


@pytest.mark.parametrize(
    "path",
    [
        "pspSettingsId",
        "requestedAmount",
        "transactionInvoiceReferenceText",
        "orderData",
        "orderData.feePeriod.unit",
        "orderData.feePeriod.quantity",
        "orderData.recurringFee",
        "orderData.nextPaymentDate",
        "payerData.address",
        "payerData.address.postalCode",
        "paymentMeansReference.initialBearer",
        "paymentMeansReference.successReturnUrl",
        "isInitial",
        "migrationToken",
    ],
)
def test_null_is_absent(path: str, preauth: Body) -> None:
    null = read_preauth(preauth, path, None)
    owner: Any = preauth
    *parents, last = path.split(".")
    for step in parents:
        owner = owner[step]
    owner.pop(last, None)
    assert null == json_codec.validate(PreauthRequest, preauth)


def test_defaults_of_a_preauth(preauth: Body) -> None:
    del preauth["requestedAmount"], preauth["isInitial"], preauth["pspSettingsId"]
    request = json_codec.validate(PreauthRequest, preauth)
    assert request.requested_amount == 0
    assert request.is_initial is False
    assert request.psp_settings_id is None


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_blank_preauth_id_means_no_capture(blank: str | None, payment: Body) -> None:
    request = json_codec.validate(PaymentRequest, payment | {"preauthTransactionId": blank})
    assert request.preauth_transaction_id is None
    assert not request.is_capture


def test_sparse_objects_are_tolerated(preauth: Body, payment: Body) -> None:
    address = {"address": {"city": "Hamburg"}}
    request = read_preauth(preauth, "payerData", address)
    assert request.payer_data.address is not None
    assert request.payer_data.address.city == "Hamburg"
    assert read_preauth(preauth, "payerData", {}).payer_data.address is None
    assert read_preauth(preauth, "orderData", {"planName": "Basic"}).order_data is not None
    payment["invoiceData"] = {"lineItems": [{"description": "Summary", "totalGross": 1}]}
    assert json_codec.validate(PaymentRequest, payment).invoice_data is not None


# --- missing and invalid ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (
            PreauthRequest,
            "transactionId currency webhookTarget paymentMeansReference "
            "paymentMeansReference.role transactionReferenceText payerData agreementId",
        ),
        (
            PaymentRequest,
            "transactionId requestedAmount currency webhookTarget paymentMeansReference "
            "paymentMeansReference.role transactionReferenceText payerData agreementId "
            "plannedExecutionDate",
        ),
        (
            RefundRequest,
            "transactionId requestedAmount currency webhookTarget paymentTransactionId",
        ),
    ],
)
@pytest.mark.parametrize("absent", [ABSENT, None])
def test_missing_members(
    kind: type[WireModel],
    names: str,
    absent: object,
    preauth: Body,
    payment: Body,
    refund: Body,
) -> None:
    body = {PreauthRequest: preauth, PaymentRequest: payment, RefundRequest: refund}[kind]
    for name in names.split():
        error = parse_refused(kind, body_with(body, name, absent))
        assert error.code is PaymentErrorCode.InvalidData
        assert error.message.startswith(f"{name} is required")


@pytest.mark.parametrize(
    "value", ["", "x", ID[:-1], ID + "0", ID + "\n", f" {ID}", f"2026011-{ID[9:]}", "٢" * 24]
)
@pytest.mark.parametrize("name", ["transactionId", "paymentTransactionId"])
def test_malformed_transaction_ids(value: str, name: str, refund: Body) -> None:
    error = parse_refused(RefundRequest, body_with(refund, name, value))
    assert (error.code, error.message.split()[0]) == (PaymentErrorCode.InvalidData, name)


def test_malformed_preauth_id(payment: Body) -> None:
    error = parse_refused(PaymentRequest, body_with(payment, "preauthTransactionId", "x"))
    assert error.code is PaymentErrorCode.InvalidData


@pytest.mark.parametrize("value", [ID, ID[9:], ID.upper()])
def test_transaction_ids(value: str, refund: Body) -> None:
    request = json_codec.parse(RefundRequest, body_with(refund, "transactionId", value))
    assert request.transaction_id == value


@pytest.mark.parametrize(
    "code", ["", "eur", "Eur", "EU", "EURO", "ABC", "XXX", "XAU", "EUR ", " EUR", "978"]
)
def test_unknown_currencies(code: str, preauth: Body) -> None:
    error = parse_refused(PreauthRequest, body_with(preauth, "currency", code))
    assert error.code is PaymentErrorCode.InvalidCurrency
    assert error.message.startswith("currency ")


@pytest.mark.parametrize("value", ["", " ", "\t", "a\u0007b", "x" * 256])
def test_bad_agreement_ids(value: str, preauth: Body) -> None:
    error = parse_refused(PreauthRequest, body_with(preauth, "agreementId", value))
    assert error.code is PaymentErrorCode.InvalidData


def test_statement_text_may_be_blank_on_a_preauth_only(preauth: Body, payment: Body) -> None:
    assert read_preauth(preauth, "transactionReferenceText", "").transaction_reference_text == ""
    error = parse_refused(PaymentRequest, body_with(payment, "transactionReferenceText", " "))
    assert error.message == "transactionReferenceText must not be blank."


BAD_URLS = [
    "",
    "x",
    "/relative",
    "//shop.example/ok",
    "ftp://shop.example",
    "javascript:alert(1)",
    "https://",
    "https:///path",
    "https://:443/",
    "https:shop.example",
    "https://shop.example:99999/",
    "https://shop.example:port/",
    "https://[::1/",
    "https://shop.example/a b",
    "https://shop.example\\@evil.example",
    " https://shop.example",
    "https://shop.example/\n",
    "https://sh\top.example/",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_bad_webhook_targets(url: str, preauth: Body) -> None:
    error = parse_refused(PreauthRequest, body_with(preauth, "webhookTarget", url))
    assert error.code is PaymentErrorCode.InvalidData
    assert error.message == "webhookTarget must be an absolute http or https URL."


@pytest.mark.parametrize("url", BAD_URLS[1:])
@pytest.mark.parametrize("name", ["successReturnUrl", "errorReturnUrl", "abortReturnUrl"])
def test_bad_return_urls(url: str, name: str, preauth: Body) -> None:
    error = parse_refused(PreauthRequest, body_with(preauth, f"paymentMeansReference.{name}", url))
    assert error.code is PaymentErrorCode.InvalidData
    assert error.message.startswith(f"paymentMeansReference.{name} ")


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example",
        "http://127.0.0.1:8090/hook?x=1#y",
        "HTTPS://Shop.Example/Ok",
        "https://[::1]:8443/",
        "https://müller.example/zurück",
    ],
)
def test_good_urls_are_kept_as_they_are(url: str, preauth: Body) -> None:
    assert is_absolute_http_url(url)
    assert read_preauth(preauth, "webhookTarget", url).webhook_target == url


def test_blank_return_url_is_absent(preauth: Body) -> None:
    request = read_preauth(preauth, "paymentMeansReference.abortReturnUrl", "")
    assert request.payment_means_reference.abort_return_url is None


def test_direct_debit_needs_a_date_unless_it_is_a_capture(payment: Body) -> None:
    del payment["plannedExecutionDate"]
    capture = payment | {"preauthTransactionId": ID}
    assert json_codec.validate(PaymentRequest, capture).is_capture
    payment["paymentMeansReference"]["role"] = "CreditCard"
    assert json_codec.validate(PaymentRequest, payment).planned_execution_date is None


# --- wrong types -----------------------------------------------------------------------------

NOT_TEXT = [1, Decimal("1.5"), True, {}, [], Literal("1e5")]


@pytest.mark.parametrize("value", NOT_TEXT)
@pytest.mark.parametrize(
    "path",
    [
        "transactionId",
        "currency",
        "webhookTarget",
        "agreementId",
        "transactionReferenceText",
        "paymentMeansReference.successReturnUrl",
        "paymentMeansReference.hostUrl",
        "payerData.firstName",
        "payerData.address.city",
        "orderData.planName",
    ],
)
def test_text_must_be_text(path: str, value: object, preauth: Body) -> None:
    message = parse_malformed(PreauthRequest, body_with(preauth, path, value))
    assert message == f"{path} must be text."


@pytest.mark.parametrize(
    ("path", "values", "message"),
    [
        ("isInitial", ["true", "false", 0, 1, "", {}], "true or false"),
        ("paymentMeansReference", ["x", 1, [], True], "an object"),
        ("payerData", ["x", 1, []], "an object"),
        ("payerData.address", ["x", [1]], "an object"),
        ("orderData", ["x", [{}]], "an object"),
        ("orderData.feePeriod", ["Month", 3], "an object"),
        ("paymentMeansReference.initialBearer", ["x", 1, [], ["IBAN"]], "an object"),
        ("paymentMeansReference.initialBearer", [{"IBAN": 1}, {"IBAN": {}}], "text values only"),
        ("paymentMeansReference.role", [True, {}, []], "an enumeration value"),
        ("requestedAmount", ["", "ten", " 1", "1 ", "1,00", "٣", "0x1", "+1"], "a number"),
        ("requestedAmount", ["NaN", "Infinity", ".5", "1.", "01", True, {}, []], "a number"),
        ("orderData.recurringFee", ["x", False], "a number"),
        ("orderData.feePeriod.quantity", ["x", "1.0", True, {}], "an integer"),
        ("orderData.nextPaymentDate", ["x", "", 1, {}, "2026-02-30T00:00:00Z"], "ISO 8601"),
    ],
)
def test_wrong_types(path: str, values: list[object], message: str, preauth: Body) -> None:
    for value in values:
        text = parse_malformed(PreauthRequest, body_with(preauth, path, value))
        assert text.startswith(f"{path} must ")
        assert message in text


@pytest.mark.parametrize(
    "value", ["", "2026-2-15", "15.02.2026", "2026-02-30", "2026-02-15T00:00:00Z", 20260215, {}]
)
def test_bad_dates(value: object, payment: Body) -> None:
    for path in ("plannedExecutionDate", "invoiceData.dueDate"):
        text = parse_malformed(PaymentRequest, body_with(payment, path, value))
        assert text == f"{path} must be a date of the form yyyy-MM-dd."


def test_arrays_must_be_arrays(payment: Body) -> None:
    text = parse_malformed(PaymentRequest, body_with(payment, "invoiceData.lineItems", {}))
    assert text == "invoiceData.lineItems must be an array."
    text = parse_malformed(PaymentRequest, body_with(payment, "invoiceData.lineItems", [{}, "x"]))
    assert text == "invoiceData.lineItems[1] must be an object."
    text = parse_malformed(
        PaymentRequest, body_with(payment, "invoiceData.lineItems.0.totalNet", "x")
    )
    assert text == "invoiceData.lineItems[0].totalNet must be a number."


@pytest.mark.parametrize("body", [b"[]", b"null", b"1", b'"x"', b"true", b"1e5"])
@pytest.mark.parametrize("kind", KINDS)
def test_body_must_be_an_object(body: bytes, kind: type[WireModel]) -> None:
    assert parse_malformed(kind, body) == "The body must be a JSON object."


def test_wrong_type_outranks_invalid_value(preauth: Body) -> None:
    del preauth["transactionId"]
    assert parse_malformed(PreauthRequest, body_with(preauth, "payerData", 1)).startswith(
        "payerData"
    )


def test_no_error_contains_the_input(preauth: Body) -> None:
    secret = "DE89370400440532013000"
    for path in ("paymentMeansReference.role", "currency", "transactionId", "webhookTarget"):
        error = parse_refused(PreauthRequest, body_with(preauth, path, secret))
        assert secret not in repr(error)
    bearer: dict[str, object] = {secret: 1}
    message = parse_malformed(
        PreauthRequest, body_with(preauth, "paymentMeansReference.initialBearer", bearer)
    )
    assert secret not in message


def test_payment_data_is_not_in_repr(preauth: Body) -> None:
    request = json_codec.validate(PreauthRequest, preauth | {"migrationToken": "tok_secret"})
    for secret in ("DE89370400440532013000", "Mia", "tok_secret"):
        assert secret not in repr(request)


# --- amounts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("literal", "currency", "value"),
    [
        ("10", "EUR", "10"),
        ("10.5", "EUR", "10.5"),
        ("10.50", "EUR", "10.50"),
        ('"119.00"', "EUR", "119.00"),
        ('"7"', "JPY", "7"),
        ("100", "JPY", "100"),
        ("1.234", "KWD", "1.234"),
        ("0.0001", "UYW", "0.0001"),
        ("999999999999.99", "EUR", "999999999999.99"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_amounts(
    kind: type[WireModel],
    literal: str,
    currency: str,
    value: str,
    preauth: Body,
    payment: Body,
    refund: Body,
) -> None:
    body = {PreauthRequest: preauth, PaymentRequest: payment, RefundRequest: refund}[kind]
    changed = body_with(body | {"currency": currency}, "requestedAmount", Literal(literal))
    request = json_codec.parse(kind, changed)
    amount = getattr(request, "requested_amount")  # noqa: B009
    assert isinstance(amount, Decimal)
    assert str(amount) == value
    assert f'"requestedAmount":{value},'.encode() in json_codec.encode(request)


@pytest.mark.parametrize(
    ("literal", "currency"),
    [
        ("1e-400000000", "EUR"),
        ("1e400000000", "EUR"),
        ('"1e-3"', "EUR"),
        ("10.001", "EUR"),
        ("1.5", "JPY"),
        ("1.50", "JPY"),
        ("1.2345", "KWD"),
        ("-1", "EUR"),
        ("-0.01", "EUR"),
        ("1000000000000", "EUR"),
        ("1000000000000.00", "EUR"),
        ("9" * 40, "EUR"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_bad_amounts(
    kind: type[WireModel],
    literal: str,
    currency: str,
    preauth: Body,
    payment: Body,
    refund: Body,
) -> None:
    body = {PreauthRequest: preauth, PaymentRequest: payment, RefundRequest: refund}[kind]
    changed = body_with(body | {"currency": currency}, "requestedAmount", Literal(literal))
    error = parse_refused(kind, changed)
    assert error.code is PaymentErrorCode.InvalidAmount
    assert error.message.startswith("requestedAmount ")


@pytest.mark.parametrize("zero", ["0", "0.00", "-0", "-0.00", '"0"', "0." + "0" * 40, "0e99"])
def test_zero_is_for_preauths_only(zero: str, preauth: Body, payment: Body, refund: Body) -> None:
    request = read_preauth(preauth, "requestedAmount", Literal(zero))
    assert request.requested_amount == 0
    assert not request.requested_amount.is_signed()
    for kind, body in ((PaymentRequest, payment), (RefundRequest, refund)):
        error = parse_refused(kind, body_with(body, "requestedAmount", Literal(zero)))
        assert error.code is PaymentErrorCode.InvalidAmount


@given(st.decimals(0, 10**12, places=2).filter(lambda amount: 0 < amount < 10**12), st.booleans())
def test_amounts_are_written_as_read(amount: Decimal, quoted: bool) -> None:
    literal = f'"{amount}"' if quoted else f"{amount}"
    body = (
        f'{{"requestedAmount":{literal},"currency":"EUR","transactionId":"{ID}",'
        f'"webhookTarget":"https://t.example","paymentTransactionId":"{ID}"}}'
    )
    request = json_codec.parse(RefundRequest, body.encode())
    assert request.requested_amount == amount
    assert json_codec.encode(request).decode() == body.replace(literal, str(amount))


# --- nested numbers, enumerations, times -----------------------------------------------------


@pytest.mark.parametrize(
    ("path", "literal"),
    [
        ("invoiceData.lineItems.0.vatPercentage", "1e99"),
        ("invoiceData.lineItems.0.quantity", '"1e-99"'),
        ("invoiceData.lineItems.0.taxCategory", '"Vat"'),
        ("invoiceData.lineItems.0.taxCategory", "6"),
    ],
)
def test_bad_values_in_an_invoice(path: str, literal: str, payment: Body) -> None:
    error = parse_refused(PaymentRequest, body_with(payment, path, Literal(literal)))
    assert error.code is PaymentErrorCode.InvalidData
    assert error.message.startswith(path.replace(".0.", "[0].") + " ")


def test_invoice_numbers_are_not_bound_to_the_currency(payment: Body) -> None:
    line = payment["invoiceData"]["lineItems"][0]
    line |= {"pricePerUnit": Literal("0.0000001"), "totalGross": Literal("-49.900")}
    request = json_codec.parse(PaymentRequest, simplejson.dumps(payment, use_decimal=True).encode())
    written = json_codec.encode(request)
    assert b'"pricePerUnit":0.0000001,' in written
    assert b'"totalGross":-49.900,' in written
    assert PaymentRequest.model_validate_json(request.model_dump_json()) == request


@pytest.mark.parametrize("literal", ["1.0", "1e0", "2147483648", '"9999999999"'])
def test_bad_integers(literal: str, preauth: Body) -> None:
    error = parse_refused(
        PreauthRequest, body_with(preauth, "orderData.feePeriod.quantity", Literal(literal))
    )
    assert error.code is PaymentErrorCode.InvalidData


def test_quoted_integer(preauth: Body) -> None:
    request = read_preauth(preauth, "orderData.feePeriod.quantity", "3")
    assert request.order_data is not None
    assert request.order_data.fee_period is not None
    assert request.order_data.fee_period.quantity == 3


@pytest.mark.parametrize("literal", ['"Cash"', "0", "11", '"0"', '""', "1.0", "1e0", "99999999999"])
def test_unknown_roles(literal: str, preauth: Body) -> None:
    error = parse_refused(
        PreauthRequest, body_with(preauth, "paymentMeansReference.role", Literal(literal))
    )
    assert error.code is PaymentErrorCode.InvalidData
    assert "Default, CreditCard, Debit" in error.message


@given(st.sampled_from(list(PublicPaymentProviderRole)), st.data())
def test_role_forms(role: PublicPaymentProviderRole, data: st.DataObject) -> None:
    name = "".join(data.draw(st.sampled_from([c.lower(), c.upper()])) for c in role.name)
    for form in (name, role.value, str(role.value)):
        assert PublicPaymentProviderRole.parse(form) is role


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-15T00:00:00.0000000Z", datetime(2026, 2, 15, tzinfo=UTC)),
        ("2026-02-15T10:20:30Z", datetime(2026, 2, 15, 10, 20, 30, tzinfo=UTC)),
        ("2026-02-15T10:20:30", datetime(2026, 2, 15, 10, 20, 30, tzinfo=UTC)),
        ("2026-02-15T10:20:30.5", datetime(2026, 2, 15, 10, 20, 30, 500_000, tzinfo=UTC)),
        ("2026-02-15T10:20:30.1234567Z", datetime(2026, 2, 15, 10, 20, 30, 123_456, tzinfo=UTC)),
        ("2026-02-15T10:20:30+02:00", datetime(2026, 2, 15, 8, 20, 30, tzinfo=UTC)),
        ("2026-02-15T10:20:30.25-01:30", datetime(2026, 2, 15, 11, 50, 30, 250_000, tzinfo=UTC)),
        ("2026-02-15T10:20", datetime(2026, 2, 15, 10, 20, tzinfo=UTC)),
        ("2026-02-15", datetime(2026, 2, 15, tzinfo=UTC)),
        ("0001-01-01T00:00:00", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999Z", datetime.max.replace(tzinfo=UTC)),
        ("9999-12-31T23:59:59.9999999", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_times(text: str, expected: datetime, preauth: Body) -> None:
    request = read_preauth(preauth, "orderData.nextPaymentDate", text)
    assert request.order_data is not None
    moment = request.order_data.next_payment_date
    assert moment == expected
    assert moment.tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "2026-02-15 10:20:30",
        "2026-02-15T24:00:00Z",
        "2026-02-15T10:20:60Z",
        "2026-02-15T10:20:30.12345678Z",
        "2026-02-15T10:20:30.Z",
        "2026-02-15T10:20:30+2",
        "2026-02-15T10:20:30+24:00",
        "2026-02-15T10:20:30+01:60",
        "2026-02-15T10:20:30 Z",
        "2026-02-15Z",
        "20260215T102030Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59-01:00",
        "0001-01-01T00:00:00+01:00",
        "２026-02-15",
        "now",
        "1771113600",
    ],
)
def test_bad_times(text: str, preauth: Body) -> None:
    message = parse_malformed(PreauthRequest, body_with(preauth, "orderData.nextPaymentDate", text))
    assert message.startswith("orderData.nextPaymentDate must be ")


# --- maps, and the small requests ------------------------------------------------------------


def test_map_keys_are_verbatim(preauth: Body) -> None:
    bearer = {"IBAN": "a", "iban": "b", "Iban ": "", "ключ": "ü", "absent": None}
    request = read_preauth(preauth, "paymentMeansReference.initialBearer", bearer)
    del bearer["absent"]
    assert request.payment_means_reference.initial_bearer == bearer


def test_finalize_request() -> None:
    body = f'{{"TRANSACTIONID": "{ID}", "finalizationData": {{"Invoice": "x"}}}}'.encode()
    request = json_codec.parse(FinalizePreauthRequest, body)
    assert request.finalization_data == {"Invoice": "x"}
    bare = json_codec.parse(FinalizePreauthRequest, f'{{"transactionId": "{ID}"}}'.encode())
    assert bare.finalization_data == {}


def test_cancellation_request_may_be_empty() -> None:
    assert json_codec.parse(PaymentCancellationRequest, b"{}").psp_settings_id is None


@pytest.mark.parametrize(
    "text",
    [
        '{"merchantSettings": [{"keyName": "ApiKey", "keyValue": "k"}]}',
        '{"MerchantPspSettings": {"MERCHANTSETTINGS": [{"KeyName": "ApiKey", "keyvalue": "k"}]}}',
        '{"merchantPspSettings": {"merchantSettings": []}, '
        '"merchantSettings": [{"keyName": "ApiKey", "keyValue": "k"}]}',
    ],
)
def test_settings_with_and_without_wrapper(text: str) -> None:
    settings = json_codec.parse(ThirdPartyMerchantPspSettings, text.encode())
    assert [(s.key_name, s.key_value) for s in settings.merchant_settings] == [("ApiKey", "k")]
    assert "'k'" not in repr(settings)


def test_bad_settings() -> None:
    assert (
        parse_refused(ThirdPartyMerchantPspSettings, b"{}").message
        == "merchantSettings is required."
    )
    body = b'{"merchantSettings": [{"keyValue": "k"}]}'
    message = parse_refused(ThirdPartyMerchantPspSettings, body).message
    assert message == "merchantSettings[0].keyName is required."
    assert "array" in parse_malformed(ThirdPartyMerchantPspSettings, b'{"merchantSettings": {}}')
    assert "object" in parse_malformed(
        ThirdPartyMerchantPspSettings, b'{"merchantPspSettings": []}'
    )


# --- arbitrary values ---------------------------------------------------------------------------

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False, places=3)
    | st.text(st.characters(codec="utf-8"), max_size=20)
    | st.sampled_from(["1e5", "3", "Debit", "2026-02-15", "https://x.example", ID, "EUR"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def member_paths(value: Any, path: str = "") -> list[str]:
    """Return the paths of all members in `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    paths = []
    for step, inner in items:
        paths.append(f"{path}{step}")
        if isinstance(inner, dict | list):
            paths += member_paths(inner, f"{path}{step}.")
    return paths


@pytest.mark.parametrize("name", ["e04_request", "e10_request", "e13_request"])
@given(data=st.data())
def test_any_value_anywhere_is_read_or_refused(name: str, data: st.DataObject) -> None:
    text = (EXAMPLES / f"{name}.json").read_bytes()
    kinds: dict[str, type[WireModel]] = {
        "e04_request": PreauthRequest,
        "e10_request": PaymentRequest,
        "e13_request": RefundRequest,
    }
    kind = kinds[name]
    body = json_codec.decode(text)
    path = data.draw(st.sampled_from(member_paths(body)))
    changed = body_with(body, path, data.draw(json_values))
    try:
        request = json_codec.parse(kind, changed)
    except (WireError, InvalidField):
        return
    written = json_codec.encode(request)
    assert json_codec.encode(json_codec.parse(kind, written)) == written
    assert kind.model_validate_json(request.model_dump_json()) == request


# --- use by our own code --------------------------------------------------------


def test_requests_are_frozen(preauth: Body) -> None:
    request = json_codec.validate(PreauthRequest, preauth)
    with pytest.raises(ValueError, match="frozen"):
        request.currency = "USD"  # type: ignore[misc]


def test_stored_requests_stay_readable_when_a_currency_is_withdrawn(refund: Body) -> None:
    request = json_codec.validate(RefundRequest, refund).model_copy(update={"currency": "BGN"})
    assert RefundRequest.model_validate_json(request.model_dump_json()) == request
