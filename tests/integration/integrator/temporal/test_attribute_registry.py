"""Search attributes on a Temporal server where they are not registered yet."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal

import pytest
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    RemoveSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment

from devtools.devstack import temporal
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.temporal import attribute_registry
from integrator.temporal.attribute_registry import SearchAttributesError
from integrator.transactions.transaction_client import AttributesUnknown, TransactionClient
from tests.support.temporal import temporal_binary
from workflows.messages import AnyInput, PaymentInput, workflow_id
from workflows.search_attributes import KEYS, MERCHANT
from workflows.state import TransactionKind

NOW = timedelta(0)
NAMES = [key.name for key in KEYS]
START = PaymentInput(
    merchant_id="m",
    psp="fake",
    psp_settings_id="s",
    transaction_id="t1",
    external_id="e",
    role=PublicPaymentProviderRole.CreditCard,
    currency="EUR",
    requested_amount=Decimal("49.90"),
    key_window_seconds=60,
    agreement_id="a1",
)


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=temporal_binary(),
        dev_server_extra_args=temporal.dynamic_config_arguments(),
    ) as environment:
        yield environment.client


def transaction_client(client: Client) -> TransactionClient:
    async def refresh(start: AnyInput) -> AnyInput:
        return start

    return TransactionClient(client, "queue", refresh)


async def test_registering_adds_missing_attributes_and_lets_workflows_start(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(
        SearchAttributesError, match=r"Merchant.*NeedsAttention.*integrator migrate"
    ):
        await attribute_registry.require(client, NOW)
    for start in (transaction_client(client).ensure_started, transaction_client(client).create):
        with pytest.raises(AttributesUnknown):
            await start(START)
    assert "integrator migrate" in caplog.text

    assert await attribute_registry.register(client) == NAMES
    assert await attribute_registry.register(client) == []
    await attribute_registry.require(client, NOW)
    assert await transaction_client(client).ensure_started(START)
    description = await client.get_workflow_handle(
        workflow_id("m", TransactionKind.PAYMENT, "t1")
    ).describe()
    assert description.typed_search_attributes[MERCHANT] == "m"

    await client.operator_service.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace="default", search_attributes=["Currency"])
    )
    assert await attribute_registry.register(client) == ["Currency"]


async def test_an_attribute_of_another_type_is_an_error(client: Client) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace="default",
            search_attributes={"Merchant": IndexedValueType.INDEXED_VALUE_TYPE_INT},
        )
    )
    for operation in (attribute_registry.register(client), attribute_registry.require(client, NOW)):
        with pytest.raises(SearchAttributesError, match=r"Merchant \(Int\)"):
            await operation


async def test_without_permission_the_error_names_the_remedy(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def deny(_request: object, *, retry: bool) -> None:
        raise RPCError("not here", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(client.operator_service, "list_search_attributes", deny)
    with pytest.raises(SearchAttributesError, match=r'tcld.*"AmountMinor=Int"'):
        await attribute_registry.register(client)
    await attribute_registry.require(client, NOW)  # cannot be checked, assumed to exist
