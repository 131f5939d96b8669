"""Count the encryption keys used by payloads in Temporal's histories and schedules.

Nothing is decrypted: every payload starts with the id of its key.
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

_CONCURRENCY = 8


@dataclass
class HistoryKeyUsage:
    """Counts by key id: `workflows` and `payloads` of histories, `schedules` payloads of schedules.

    `total` is how many workflow runs Temporal keeps, `read` how many were read.
    """

    total: int
    read: int = 0
    workflows: Counter[str] = field(default_factory=Counter)
    payloads: Counter[str] = field(default_factory=Counter)
    schedules: Counter[str] = field(default_factory=Counter)

    @property
    def complete(self) -> bool:
        """Whether all runs were read, so that a key without a count is unused."""
        return self.read >= self.total


async def read_histories(
    client: Client, limit: int | None, progress: Callable[[int, int], None]
) -> HistoryKeyUsage:
    """Read the schedules and the newest `limit` histories, open and retained, None for all.

    `progress` gets how many were read and how many will be. Raises `RPCError`.
    """
    usage = HistoryKeyUsage(total=(await client.count_workflows()).count)
    usage.schedules = await _count_schedule_keys(client)
    to_read = usage.total if limit is None else min(limit, usage.total)
    if to_read == 0:
        return usage
    runs = [run async for run in client.list_workflows(limit=limit)]
    for start in range(0, len(runs), _CONCURRENCY):
        batch = runs[start : start + _CONCURRENCY]
        for keys in await asyncio.gather(*(_count_run_keys(client, run) for run in batch)):
            usage.payloads += keys
            usage.workflows += Counter(keys.keys())
        usage.read += len(batch)
        progress(usage.read, max(to_read, len(runs)))
    return usage


def count_keys(message: Message) -> Counter[str]:
    """Count the encrypted payloads anywhere in a message by key id."""
    ids = (
        blob_key_id(payload.data) or "?"
        for payload in _payloads(message)
        if payload.metadata.get("encoding") == ENCODING
    )
    return Counter(ids)


async def _count_run_keys(client: Client, run: WorkflowExecution) -> Counter[str]:
    keys: Counter[str] = Counter()
    handle = client.get_workflow_handle(run.id, run_id=run.run_id)
    try:
        async for event in handle.fetch_history_events():
            keys += count_keys(event)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:  # its retention has passed meanwhile
            raise
        return Counter()
    return keys


async def _count_schedule_keys(client: Client) -> Counter[str]:
    """Count by key id: schedules keep the arguments of the workflows they start."""
    keys: Counter[str] = Counter()
    async for schedule in await client.list_schedules():
        request = DescribeScheduleRequest(namespace=client.namespace, schedule_id=schedule.id)
        keys += count_keys(await client.workflow_service.describe_schedule(request))
    return keys


def _payloads(message: Message) -> Iterator[Payload]:
    if isinstance(message, Payload):
        yield message
        return
    for field_descriptor, value in message.ListFields():
        if field_descriptor.message_type is not None:
            for part in _messages_in(field_descriptor.message_type, value):
                yield from _payloads(part)


def _messages_in(kind: Descriptor, value: Any) -> Iterator[Message]:
    """Yield the messages in a field: itself, the items of a list, the values of a map."""
    if isinstance(value, Message):
        yield value
    elif kind.GetOptions().map_entry:
        yield from (part for part in value.values() if isinstance(part, Message))
    else:
        yield from list(value)
