"""What an operator does with encryption keys and with a person's data."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.admin.history_keys import Histories, read_histories
from integrator.crypto.keys import KeyRing, generate_key
from integrator.settings import Settings
from integrator.store import ErasureScope, KeyUsage, Store, StoreUnavailable
from integrator.temporal.client import connect

Progress = Callable[[int, int], None]
"""Is told how much is done and how much there is to do."""


@dataclass(frozen=True)
class Usage:
    """Where which key is in use; `histories` is None while Temporal cannot be reached."""

    ids: tuple[str, ...]
    store: list[KeyUsage]
    histories: Histories | None

    @property
    def active(self) -> str:
        """The id of the key that encrypts."""
        return self.ids[0]

    @property
    def others(self) -> tuple[str, ...]:
        """The ids of all other keys, those that are in use and not in the ring included."""
        found = dict.fromkeys(self.ids)
        for column in self.store:
            found |= dict.fromkeys(column.by_key)
        if self.histories is not None:
            found |= dict.fromkeys(self.histories.payloads + self.histories.schedules)
        return tuple(found)[1:]

    def in_store(self, key_id: str) -> int:
        """How many blobs of the store a key has sealed."""
        return sum(column.by_key.get(key_id, 0) for column in self.store)


@dataclass(frozen=True)
class Rotated:
    """How many blobs were sealed anew, and how many are still not the active key's."""

    active: str
    resealed: int
    left: int


def new_entry() -> str:
    """A new key as an entry of the key ring, `id:base64`."""
    return f"k{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}:{generate_key()}"


async def merchant_of(settings: Settings, agreement: str) -> str:
    """The one merchant that has the agreement; raises `OperatorError` if none or several have."""
    async with _store(settings) as store:
        known = [merchant.id for merchant in await store.merchants()]
        owners = [id for id in known if await store.holdings(id, agreement) is not None]
    if len(owners) == 1:
        return owners[0]
    if not owners:
        raise OperatorError(f"No merchant has an agreement {agreement!r}.")
    raise OperatorError(f"Several merchants have one: name it with --merchant {'|'.join(owners)}.")


async def holdings(settings: Settings, merchant: str, agreement: str) -> ErasureScope:
    """What is kept of an agreement; raises `OperatorError` when there is none such."""
    async with _store(settings) as store:
        found = await store.holdings(merchant, agreement)
    if found is None:
        raise OperatorError(f"Merchant {merchant!r} has no agreement {agreement!r}.")
    return found


async def erase(settings: Settings, merchant: str, agreement: str) -> bool:
    """Erase what is personal of an agreement.

    False when the database's file may still show traces of it to whoever has the keys.
    """
    async with _store(settings) as store:
        await store.erase_agreement(merchant, agreement)
        try:
            return await store.compact()
        except StoreUnavailable:  # somebody writes all the time
            return False


async def rotate(settings: Settings, progress: Progress) -> Rotated:
    """Seal everything in the store with the active key that another key of the ring has sealed."""
    keys = KeyRing.from_settings(settings)
    async with Store(settings.resolved_database_url, keys) as store:
        total, done = await store.stale_blobs(), 0
        progress(done, total)
        async for batch in store.reseal():
            done += batch.resealed
            progress(done, max(total, done))
        return Rotated(keys.ids[0], done, await store.stale_blobs())


async def usage(settings: Settings, limit: int | None, progress: Progress) -> Usage:
    """Look into every column and into the newest `limit` histories; raises `OperatorError`."""
    keys = KeyRing.from_settings(settings)
    async with Store(settings.resolved_database_url, keys) as store:
        columns = await store.key_usage()
    return Usage(keys.ids, columns, await _histories(settings, limit, progress))


def verdicts(usage: Usage) -> Iterator[str]:
    """What an operator wants to know of every key that is not the active one."""
    for key_id in usage.others:
        wanted = list(_needed(usage, key_id))
        if wanted:
            yield f"{key_id}: still needed: {'; '.join(wanted)}."
        elif usage.histories is None or not usage.histories.complete:
            yield f"{key_id}: not used in the store; not all histories were read, so keep it."
        else:
            yield f"{key_id}: not used any more; it can be taken out of the key ring."


def _needed(usage: Usage, key_id: str) -> Iterator[str]:
    if blobs := usage.in_store(key_id):
        yield f"{blobs} in the store (`integrator keys rotate`)"
    if usage.histories is None:
        return
    if runs := usage.histories.workflows[key_id]:
        yield f"{runs} in histories (until those are past their retention)"
    if usage.histories.schedules[key_id]:
        yield "in schedules (the worker's next start writes them anew)"


async def _histories(settings: Settings, limit: int | None, progress: Progress) -> Histories | None:
    try:
        client = await connect(settings, lazy=False)
    except RuntimeError:
        return None
    try:
        return await read_histories(client, limit, progress)
    except RPCError as error:
        raise OperatorError(f"Temporal does not answer ({error.status.name}).") from error


def _store(settings: Settings) -> Store:
    return Store(settings.resolved_database_url, KeyRing.from_settings(settings))
