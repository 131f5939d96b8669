"""JSON schemas of the OpenAPI document."""

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


def list_examples() -> list[tuple[type[WireModel], dict[str, Any]]]:
    return [(model, example_body) for model in MODELS for example_body in model.schema_examples]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_schema_is_valid_and_described(model: type[WireModel]) -> None:
    schema = schema_of(model)
    jsonschema_rs.validator_for(schema)
    assert schema["description"]
    json.dumps(schema)


@pytest.mark.parametrize(("model", "example_body"), list_examples())
def test_examples_fit_their_schema(model: type[WireModel], example_body: dict[str, Any]) -> None:
    jsonschema_rs.validate(schema_of(model), example_body)


def test_examples_are_those_of_the_contract(example: Callable[[str], bytes]) -> None:
    example_body = contract.PreauthRequest.schema_examples[0]
    assert example_body == json.loads(example("e04_request"))
    assert contract.PaymentResponse.schema_examples[2] == json.loads(example("e14_response"))


def test_every_body_has_examples() -> None:
    assert {model.__name__ for model, _ in list_examples()} == {
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
