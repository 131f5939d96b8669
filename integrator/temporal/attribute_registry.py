"""Registering the workflows' search attributes with the Temporal namespace, and checking for them.

Temporal refuses to start a workflow with an attribute that its namespace does not know.
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

NOT_FOR_US = frozenset({RPCStatusCode.PERMISSION_DENIED, RPCStatusCode.UNIMPLEMENTED})
"""Temporal Cloud, and servers that keep the operator's part to themselves."""

PATIENCE = timedelta(seconds=10)
"""A server on its way up, and one that has just learned a name, needs some seconds."""

_LOOK_EVERY = timedelta(milliseconds=500)


class AttributesError(Exception):
    """The namespace does not have the search attributes; the message says what to do."""


def command_line() -> list[str]:
    """What tells the development server to know the attributes."""
    return [part for key in KEYS for part in ("--search-attribute", _declared(key))]


async def register(client: Client) -> list[str]:
    """Have the namespace know all attributes, ready for use; returns the names that were added.

    Raises `AttributesError`, where they are another's, may not be added or are not taken up in
    time, and `RPCError`.
    """
    try:
        lacking = await _lacking(client)
        if lacking:
            wanted = {key.name: _type(key) for key in lacking}
            await client.operator_service.add_search_attributes(
                AddSearchAttributesRequest(namespace=client.namespace, search_attributes=wanted)
            )
            await _until_usable(client, lacking)
    except RPCError as error:
        if error.status not in NOT_FOR_US:
            raise
        raise AttributesError(_by_hand(client.namespace)) from error
    return [key.name for key in lacking]


async def require(client: Client, patience: timedelta = PATIENCE) -> None:
    """Return when the namespace knows all attributes; raises `AttributesError`, and `RPCError`.

    Where they cannot be listed, they are taken to be there.
    """
    deadline = asyncio.get_running_loop().time() + patience.total_seconds()
    try:
        while lacking := await _lacking(client):
            if asyncio.get_running_loop().time() >= deadline:
                names = ", ".join(key.name for key in lacking)
                raise AttributesError(
                    f"The Temporal namespace {client.namespace!r} does not know the search "
                    f"attributes {names}. Run `integrator migrate`."
                )
            await asyncio.sleep(_LOOK_EVERY.total_seconds())
    except RPCError as error:
        if error.status not in NOT_FOR_US:
            raise
        log.warning("search attributes cannot be checked on this Temporal server: %s", error)


async def _until_usable(client: Client, added: list[SearchAttributeKey[Any]]) -> None:
    """Servers read what they know of a namespace again every few seconds."""
    query = " OR ".join(f"{key.name} IS NOT NULL" for key in added)
    deadline = asyncio.get_running_loop().time() + PATIENCE.total_seconds()
    while True:
        try:
            await client.count_workflows(query)
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise
            if asyncio.get_running_loop().time() >= deadline:
                raise AttributesError(
                    "Search attributes were added, but the Temporal server does not use them yet: "
                    f"{error.message}"
                ) from error
        else:
            return
        await asyncio.sleep(_LOOK_EVERY.total_seconds())


async def _lacking(client: Client) -> list[SearchAttributeKey[Any]]:
    answer = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace), retry=True
    )
    known = answer.custom_attributes
    other = [key for key in KEYS if key.name in known and known[key.name] != _type(key)]
    if other:
        found = ", ".join(f"{key.name} ({_name(known[key.name])})" for key in other)
        raise AttributesError(
            f"The Temporal namespace {client.namespace!r} has search attributes of these names and "
            f"of other types: {found}. Remove or rename them, or use another namespace."
        )
    return [key for key in KEYS if key.name not in known]


def _by_hand(namespace: str) -> str:
    options = " ".join(f'--search-attribute "{_declared(key)}"' for key in KEYS)
    return (
        "This Temporal server does not let search attributes be added this way. On Temporal Cloud "
        f"run `tcld namespace search-attributes add --namespace {namespace} {options}`, or add "
        "them in the namespace's settings in the Cloud UI; then use `--no-temporal` here."
    )


def _type(key: SearchAttributeKey[Any]) -> IndexedValueType.ValueType:
    return IndexedValueType.ValueType(int(key.indexed_value_type))


def _declared(key: SearchAttributeKey[Any]) -> str:
    return f"{key.name}={_name(_type(key))}"


def _name(value_type: IndexedValueType.ValueType) -> str:
    return IndexedValueType.Name(value_type).removeprefix("INDEXED_VALUE_TYPE_").capitalize()
