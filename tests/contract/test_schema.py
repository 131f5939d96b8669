"""The JSON schemas the OpenAPI document is made of."""

import json
from collections.abc import Callable
from typing import Any

import jsonschema_rs
import pytest

from integrator import contract
from integrator.contract.base import WireModel

MODELS = [
    model
    for model in vars(contract).values()
    if isinstance(model, type) and issubclass(model, WireModel)
]


def schema_of(model: type[WireModel]) -> dict[str, Any]:
    return model.model_json_schema(by_alias=True)


def enough_examples() -> list[tuple[type[WireModel], dict[str, Any]]]:
    return [(model, shown) for model in MODELS for shown in model.schema_examples]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schema_is_valid_and_described(model: type[WireModel]) -> None:
    schema = schema_of(model)
    jsonschema_rs.validator_for(schema)
    assert schema["description"]
    json.dumps(schema)


@pytest.mark.parametrize(("model", "shown"), enough_examples())
def test_examples_fit_their_schema(model: type[WireModel], shown: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema_of(model), shown)


def test_examples_are_those_of_the_contract(example: Callable[[str], bytes]) -> None:
    shown = contract.PreauthRequest.schema_examples[0]
    assert shown == json.loads(example("e04_request"))
    assert contract.PaymentResponse.schema_examples[2] == json.loads(example("e14_response"))


def test_there_are_examples_for_every_body() -> None:
    assert {model.__name__ for model, _ in enough_examples()} == {
        "FinalizePreauthRequest",
        "IntegrationInfoResponse",
        "IntegrationSettingsResponse",
        "PaymentCancellationRequest",
        "PaymentCancellationResponse",
        "PaymentError",
        "PaymentRequest",
        "PaymentResponse",
        "PreauthRequest",
        "PreauthResponse",
        "RefundRequest",
        "RefundResponse",
        "ThirdPartyMerchantPspSettings",
    }


def test_request_members() -> None:
    schema = schema_of(contract.PaymentRequest)
    members = schema["properties"]
    assert members["requestedAmount"]["type"] == "number"
    assert members["requestedAmount"]["exclusiveMinimum"] == 0
    assert members["requestedAmount"]["description"]
    assert members["plannedExecutionDate"]["anyOf"][0] == {"type": "string", "format": "date"}
    role = schema["$defs"]["PaymentMeansReference"]["properties"]["role"]
    assert role["type"] == "string"
    assert "iDEAL" in role["enum"]
    assert set(schema["required"]) == {
        "transactionId",
        "requestedAmount",
        "currency",
        "webhookTarget",
        "paymentMeansReference",
        "transactionReferenceText",
        "payerData",
        "agreementId",
    }


def test_preauth_amount_has_a_numeric_default() -> None:
    amount = schema_of(contract.PreauthRequest)["properties"]["requestedAmount"]
    assert amount["default"] == 0
    assert "requestedAmount" not in schema_of(contract.PreauthRequest)["required"]


def test_response_members_that_are_always_written_are_required_and_never_null() -> None:
    schema = schema_of(contract.PaymentResponse)
    assert {"payments", "chargebacks", "refundedAmount", "bearer"} <= set(schema["required"])
    assert "dueDate" not in schema["required"]
    assert schema["properties"]["dueDate"]["format"] == "date-time"
    assert "null" not in json.dumps(schema)
    serialized = contract.PaymentResponse.model_json_schema(by_alias=True, mode="serialization")
    assert serialized["properties"]["refundedAmount"]["type"] == "number"
