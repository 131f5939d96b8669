"""Which encryption keys the payloads that Temporal keeps were sealed with.

Nothing is decrypted: the id of its key stands in front of every payload.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload
from temporalio.api.workflowservice.v1 import DescribeScheduleRequest
from temporalio.client import Client, WorkflowExecution
from temporalio.service import RPCError, RPCStatusCode

from integrator.crypto.keys import blob_key_id
from integrator.temporal.payload_codec import ENCODING

_AT_ONCE = 8


@dataclass
class Histories:
    """What was found: `workflows` and `payloads` count by key id, `schedules` payloads of those.

    `total` is how many runs of workflows Temporal keeps, `read` how many were looked at.
    """

    total: int
    read: int = 0
    workflows: Counter[str] = field(default_factory=Counter)
    payloads: Counter[str] = field(default_factory=Counter)
    schedules: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether all were looked at, so that a key that was not found is nowhere."""
        return self.read >= self.total


async def read_histories(
    client: Client, limit: int | None, progress: Callable[[int, int], None]
) -> Histories:
    """Read the schedules and the newest `limit` histories, open and retained, None for all.

    `progress` is told how many were read and how many will be. Raises `RPCError`.
    """
    found = Histories(total=(await client.count_workflows()).count)
    found.schedules = await _schedules(client)
    wanted = found.total if limit is None else min(limit, found.total)
    if wanted == 0:
        return found
    listed = [run async for run in client.list_workflows(limit=limit)]
    for start in range(0, len(listed), _AT_ONCE):
        some = listed[start : start + _AT_ONCE]
        for keys in await asyncio.gather(*(_keys_of(client, run) for run in some)):
            found.payloads += keys
            found.workflows += Counter(keys.keys())
        found.read += len(some)
        progress(found.read, max(wanted, len(listed)))
    return found


def keys_in(message: Message) -> Counter[str]:
    """How many payloads anywhere in a message each key has sealed."""
    ids = (
        blob_key_id(payload.data) or "?"
        for payload in _payloads(message)
        if payload.metadata.get("encoding") == ENCODING
    )
    return Counter(ids)


async def _keys_of(client: Client, run: WorkflowExecution) -> Counter[str]:
    keys: Counter[str] = Counter()
    handle = client.get_workflow_handle(run.id, run_id=run.run_id)
    try:
        async for event in handle.fetch_history_events():
            keys += keys_in(event)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # past its retention by now
            raise
        return Counter()
    return keys


async def _schedules(client: Client) -> Counter[str]:
    """Schedules keep the arguments of the workflows they will start."""
    keys: Counter[str] = Counter()
    async for schedule in await client.list_schedules():
        request = DescribeScheduleRequest(namespace=client.namespace, schedule_id=schedule.id)
        keys += keys_in(await client.workflow_service.describe_schedule(request))
    return keys


def _payloads(message: Message) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for kind, value in message.ListFields():
        if kind.message_type is not None:
            for part in _parts(kind.message_type, value):
                yield from _payloads(part)


def _parts(kind: Descriptor, value: Any) -> Iterator[Message]:
    """The messages in a field: itself, the items of a list, the values of a map."""
    if isinstance(value, Message):
        yield value
    elif kind.GetOptions().map_entry:
        yield from (part for part in value.values() if isinstance(part, Message))
    else:
        yield from list(value)
