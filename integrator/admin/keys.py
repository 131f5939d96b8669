"""Operator commands for encryption keys and for erasing personal data."""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.admin.history_keys import HistoryKeyUsage, read_histories
from integrator.admin.store_access import open_store
from integrator.crypto.keys import KeyRing, generate_key
from integrator.settings import Settings
from integrator.store import ErasureScope, KeyUsage, StoreUnavailable
from integrator.temporal.client import connect

Progress = Callable[[int, int], None]
"""Called with how much is done and the total."""


@dataclass(frozen=True)
class KeyUsageReport:
    """Where each key is used; `histories` is None while Temporal is unreachable."""

    ids: tuple[str, ...]
    store: list[KeyUsage]
    histories: HistoryKeyUsage | None

    @property
    def active(self) -> str:
        """The id of the key that encrypts."""
        return self.ids[0]

    @property
    def others(self) -> tuple[str, ...]:
        """The ids of all other keys, including used ones that are not in the ring."""
        key_ids = dict.fromkeys(self.ids)
        for column in self.store:
            key_ids |= dict.fromkeys(column.by_key)
        if self.histories is not None:
            key_ids |= dict.fromkeys(self.histories.payloads + self.histories.schedules)
        return tuple(key_ids)[1:]

    def count_in_store(self, key_id: str) -> int:
        """Count the store's values encrypted with a key."""
        return sum(column.by_key.get(key_id, 0) for column in self.store)


@dataclass(frozen=True)
class RotationResult:
    """How many values were re-encrypted, and how many still use another than the active key."""

    active: str
    reencrypted: int
    left: int


def generate_entry() -> str:
    """Generate a key as an entry of the key ring, `id:base64`."""
    return f"k{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}:{generate_key()}"


async def find_merchant(settings: Settings, agreement: str) -> str:
    """Return the only merchant with the agreement; raises `OperatorError` for none or several."""
    async with open_store(settings) as store:
        merchant_ids = [merchant.id for merchant in await store.merchants.list_all()]
        matches = [
            id for id in merchant_ids if await store.erasure.get_scope(id, agreement) is not None
        ]
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise OperatorError(f"No merchant has an agreement {agreement!r}.")
    raise OperatorError(f"Several merchants have it: name one with --merchant {'|'.join(matches)}.")


async def erasure_scope(settings: Settings, merchant: str, agreement: str) -> ErasureScope:
    """Return what is stored for an agreement; raises `OperatorError` if missing."""
    async with open_store(settings) as store:
        scope = await store.erasure.get_scope(merchant, agreement)
    if scope is None:
        raise OperatorError(f"Merchant {merchant!r} has no agreement {agreement!r}.")
    return scope


async def erase(settings: Settings, merchant: str, agreement: str) -> bool:
    """Erase an agreement's personal data.

    Returns False if the database's file may still contain traces readable with the keys.
    """
    async with open_store(settings) as store:
        await store.erasure.erase_agreement(merchant, agreement)
        try:
            return await store.erasure.compact()
        except StoreUnavailable:  # other processes keep writing
            return False


async def rotate(settings: Settings, progress: Progress) -> RotationResult:
    """Re-encrypt with the active key what other keys of the ring have encrypted in the store."""
    keys = KeyRing.from_settings(settings)
    async with open_store(settings) as store:
        total, done = await store.keys.count_stale_blobs(), 0
        progress(done, total)
        async for batch in store.keys.reencrypt():
            done += batch.reencrypted
            progress(done, max(total, done))
        return RotationResult(keys.ids[0], done, await store.keys.count_stale_blobs())


async def usage(settings: Settings, limit: int | None, progress: Progress) -> KeyUsageReport:
    """Count keys in all columns and in the newest `limit` histories; raises `OperatorError`."""
    keys = KeyRing.from_settings(settings)
    async with open_store(settings) as store:
        columns = await store.keys.list_usage()
    return KeyUsageReport(keys.ids, columns, await _read_histories(settings, limit, progress))


def describe_inactive_keys(usage: KeyUsageReport) -> Iterator[str]:
    """Describe for every inactive key whether it is still needed."""
    for key_id in usage.others:
        reasons = list(_reasons_needed(usage, key_id))
        if reasons:
            yield f"{key_id}: still needed: {'; '.join(reasons)}."
        elif usage.histories is None or not usage.histories.complete:
            yield f"{key_id}: not used in the store; not all histories were read, so keep it."
        else:
            yield f"{key_id}: not used any more; it can be removed from the key ring."


def _reasons_needed(usage: KeyUsageReport, key_id: str) -> Iterator[str]:
    if blobs := usage.count_in_store(key_id):
        yield f"{blobs} in the store (`integrator keys rotate`)"
    if usage.histories is None:
        return
    if runs := usage.histories.workflows[key_id]:
        yield f"{runs} in histories (until those are past their retention)"
    if usage.histories.schedules[key_id]:
        yield "in schedules (the worker's next start rewrites them)"


async def _read_histories(
    settings: Settings, limit: int | None, progress: Progress
) -> HistoryKeyUsage | None:
    try:
        client = await connect(settings, lazy=False)
    except RuntimeError:
        return None
    try:
        return await read_histories(client, limit, progress)
    except RPCError as error:
        raise OperatorError(
            f"Reading Temporal's histories failed ({error.status.name})."
        ) from error
