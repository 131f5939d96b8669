"""Round trip of the worked examples of the contract."""

import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from integrator import contract
from integrator.contract import json_codec
from integrator.contract.base import WireModel

Read = Callable[[str], bytes]

MODELS: dict[str, type[WireModel]] = {
    "e01_response": contract.IntegrationInfoResponse,
    "e02_request": contract.ThirdPartyMerchantPspSettings,
    "e02_response": contract.IntegrationSettingsResponse,
    "e02_error": contract.PaymentError,
    "e03_response": contract.ThirdPartyMerchantPspSettings,
    "e04_request": contract.PreauthRequest,
    "e04_response": contract.PreauthResponse,
    "e05_request": contract.PreauthRequest,
    "e05_response": contract.PreauthResponse,
    "e06_request": contract.FinalizePreauthRequest,
    "e06_response": contract.PreauthResponse,
    "e07_request": contract.PreauthRequest,
    "e07_response": contract.PreauthResponse,
    "e08_request": contract.PaymentCancellationRequest,
    "e08_response": contract.PaymentCancellationResponse,
    "e09_request": contract.PaymentRequest,
    "e09_response": contract.PaymentResponse,
    "e10_request": contract.PaymentRequest,
    "e10_response": contract.PaymentResponse,
    "e11_response": contract.PaymentResponse,
    "e12_request": contract.PaymentRequest,
    "e12_error": contract.PaymentError,
    "e13_request": contract.RefundRequest,
    "e13_response": contract.RefundResponse,
    "e13_error": contract.PaymentError,
    "e14_response": contract.PaymentResponse,
    "e16_error": contract.PaymentError,
}
WRITTEN_THOUGH_ABSENT = {"e07_request": {"isInitial": False}}


def literal(body: bytes) -> Any:
    """Return the JSON value with numbers as text, so that 25.00 differs from 25."""

    def number_text(text: str) -> tuple[str, str]:
        return ("number", text)

    return json.loads(body, parse_float=number_text, parse_int=number_text)


@pytest.mark.parametrize("name", MODELS)
def test_an_example_is_written_as_it_was_read(name: str, example: Read) -> None:
    body = example(name)
    written = json_codec.encode(json_codec.parse(MODELS[name], body))
    assert literal(written) == literal(body) | WRITTEN_THOUGH_ABSENT.get(name, {})


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("by_alias", [True, False])
def test_an_example_survives_pydantic_json(name: str, by_alias: bool, example: Read) -> None:
    model = json_codec.parse(MODELS[name], example(name))
    again = type(model).model_validate_json(model.model_dump_json(by_alias=by_alias))
    assert again == model
    assert json_codec.encode(again) == json_codec.encode(model)


@pytest.mark.parametrize("name", ["e11_webhook", "e14_webhook"])
def test_webhook(name: str, example: Read) -> None:
    body = example(name)
    notification = json_codec.parse(contract.ChangeNotification, body)
    assert notification.type is contract.WebhookType.Payment
    assert json.loads(contract.encode_webhook(notification)) == json.loads(body)


def test_values_have_python_types(example: Read) -> None:
    request = json_codec.parse(contract.PaymentRequest, example("e10_request"))
    assert request.requested_amount == Decimal("49.90")
    assert str(request.requested_amount) == "49.90"
    assert request.planned_execution_date == date(2026, 2, 19)
    assert request.payment_means_reference.role is contract.PublicPaymentProviderRole.Debit
    assert not request.is_capture
    assert request.invoice_data is not None
    line = request.invoice_data.line_items[0]
    assert line.period_start == datetime(2026, 2, 15, tzinfo=UTC)
    assert line.tax_category is contract.InvoiceDataLineTaxCategory.VatStandard
    assert line.vat_percentage == 19


def test_psp_notifications_are_plain_json(example: Read) -> None:
    assert json_codec.decode(example("e11_psp_notification")) == {
        "TransactionId": "dd_301",
        "Type": 2,
        "Status": 1,
    }


def test_the_reepay_signature_is_a_valid_test_vector(example: Read) -> None:
    body = json_codec.decode(example("e15_notification"))
    signed = (body["timestamp"] + body["id"]).encode()
    expected = hmac.new(b"webhook_secret_demo", signed, hashlib.sha256).hexdigest()
    assert hmac.compare_digest(body["signature"], expected)
