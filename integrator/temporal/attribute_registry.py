"""Register and check the search attributes of workflows in the Temporal namespace.

Temporal rejects the start of a workflow with an attribute that is not registered.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Any

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import (
    AddSearchAttributesRequest,
    ListSearchAttributesRequest,
)
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

from workflows.search_attributes import KEYS

log = logging.getLogger(__name__)

NOT_PERMITTED = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})
"""Status of Temporal Cloud, and of servers that do not expose the operator service."""

TIMEOUT = timedelta(seconds=10)
"""A starting server, and one with newly added attributes, needs some seconds."""

_POLL_INTERVAL = timedelta(milliseconds=500)


class SearchAttributesError(Exception):
    """The namespace lacks search attributes; the message contains the remedy."""


def dev_server_options() -> list[str]:
    """Return the options that register the attributes with the development server."""
    return [part for key in KEYS for part in ("--search-attribute", _declaration(key))]


async def register(client: Client) -> list[str]:
    """Register missing attributes and wait until they are usable; returns the added names.

    Raises `SearchAttributesError` when an attribute exists with another type, cannot be added, or
    is not usable in time, and `RPCError`.
    """
    try:
        missing = await _missing_attributes(client)
        if missing:
            attributes = {key.name: _value_type(key) for key in missing}
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=attributes)
            )
            await _wait_until_usable(client, missing)
    except RPCError as error:
        if error.status not in NOT_PERMITTED:
            raise
        raise SearchAttributesError(_manual_instructions(client.namespace)) from error
    return [key.name for key in missing]


async def require(client: Client, timeout: timedelta = TIMEOUT) -> None:
    """Wait until the namespace has all attributes; raises `SearchAttributesError` and `RPCError`.

    Where they cannot be listed, they are assumed to exist.
    """
    deadline = asyncio.get_running_loop().time() + timeout.total_seconds()
    try:
        while missing := await _missing_attributes(client):
            if asyncio.get_running_loop().time() >= deadline:
                names = ", ".join(key.name for key in missing)
                raise SearchAttributesError(
                    f"The Temporal namespace {client.namespace!r} lacks the search attributes "
                    f"{names}. Run `integrator migrate`."
                )
            await asyncio.sleep(_POLL_INTERVAL.total_seconds())
    except RPCError as error:
        if error.status not in NOT_PERMITTED:
            raise
        log.warning("search attributes cannot be checked on this Temporal server: %s", error)


async def _wait_until_usable(client: Client, added: list[SearchAttributeKey[Any]]) -> None:
    """Wait until queries accept the attributes; servers refresh their cache every few seconds."""
    query = " OR ".join(f"{key.name} IS NOT NULL" for key in added)
    deadline = asyncio.get_running_loop().time() + TIMEOUT.total_seconds()
    while True:
        try:
            await client.count_workflows(query)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            if asyncio.get_running_loop().time() >= deadline:
                raise SearchAttributesError(
                    "Search attributes were added but are not usable on the Temporal server yet: "
                    f"{error.message}"
                ) from error
        else:
            return
        await asyncio.sleep(_POLL_INTERVAL.total_seconds())


async def _missing_attributes(client: Client) -> list[SearchAttributeKey[Any]]:
    response = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), retry=True
    )
    existing = response.custom_attributes
    conflicting = [
        key for key in KEYS if key.name in existing and existing[key.name] != _value_type(key)
    ]
    if conflicting:
        conflicts = ", ".join(
            f"{key.name} ({_type_name(existing[key.name])})" for key in conflicting
        )
        raise SearchAttributesError(
            f"The Temporal namespace {client.namespace!r} has search attributes with these names "
            f"and other types: {conflicts}. Remove or rename them, or use another namespace."
        )
    return [key for key in KEYS if key.name not in existing]


def _manual_instructions(namespace: str) -> str:
    options = " ".join(f'--search-attribute "{_declaration(key)}"' for key in KEYS)
    return (
        "This Temporal server does not allow adding search attributes this way. On Temporal Cloud "
        f"run `tcld namespace search-attributes add --namespace {namespace} {options}`, or add "
        "them in the namespace's settings in the Cloud UI; then use `--no-temporal` here."
    )


def _value_type(key: SearchAttributeKey[Any]) -> IndexedValueType.ValueType:
    return IndexedValueType.ValueType(int(key.indexed_value_type))


def _declaration(key: SearchAttributeKey[Any]) -> str:
    return f"{key.name}={_type_name(_value_type(key))}"


def _type_name(value_type: IndexedValueType.ValueType) -> str:
    return IndexedValueType.Name(value_type).removeprefix("INDEXED_VALUE_TYPE_").capitalize()
