"""Search attributes on a Temporal server that does not know them yet."""

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
from integrator.temporal.attribute_registry import AttributesError
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
        dev_server_extra_args=temporal.dynamic_configuration(),
    ) as environment:
        yield environment.client


def gateway(client: Client) -> TransactionClient:
    async def refresh(start: AnyInput) -> AnyInput:
        return start

    return TransactionClient(client, "nobody", refresh)


async def test_registering_is_done_once_and_lets_workflows_start(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AttributesError, match=r"Merchant.*NeedsAttention.*integrator migrate"):
        await attribute_registry.require(client, NOW)
    for start in (gateway(client).ensure_started, gateway(client).create):
        with pytest.raises(AttributesUnknown):
            await start(START)
    assert "integrator migrate" in caplog.text

    assert await attribute_registry.register(client) == NAMES
    assert await attribute_registry.register(client) == []
    await attribute_registry.require(client, NOW)
    assert await gateway(client).ensure_started(START)
    shown = await client.get_workflow_handle(
        workflow_id("m", TransactionKind.PAYMENT, "t1")
    ).describe()
    assert shown.typed_search_attributes[MERCHANT] == "m"

    await client.operator_service.remove_search_attributes(
        RemoveSearchAttributesRequest(namespace="default", search_attributes=["Currency"])
    )
    assert await attribute_registry.register(client) == ["Currency"]


async def test_a_name_of_another_type_is_not_ours_to_change(client: Client) -> None:
    await client.operator_service.add_search_attributes(
        AddSearchAttributesRequest(
            namespace="default",
            search_attributes={"Merchant": IndexedValueType.INDEXED_VALUE_TYPE_INT},
        )
    )
    for act in (attribute_registry.register(client), attribute_registry.require(client, NOW)):
        with pytest.raises(AttributesError, match=r"Merchant \(Int\)"):
            await act


async def test_where_they_cannot_be_added_the_way_is_named(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_request: object, *, retry: bool) -> None:
        raise RPCError("not here", RPCStatusCode.PERMISSION_DENIED, b"")

    monkeypatch.setattr(client.operator_service, "list_search_attributes", refuse)
    with pytest.raises(AttributesError, match=r'tcld.*"AmountMinor=Int"'):
        await attribute_registry.register(client)
    await attribute_registry.require(client, NOW)  # cannot be checked: taken to be there
