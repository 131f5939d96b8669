"""Ids of all keys that a process ever had in its key ring."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.errors import KeyMismatch
from integrator.store.keys import Keys
from integrator.store.models import KnownKey
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import key_ids

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)

CLOCK_TOLERANCE = timedelta(seconds=5)
"""By how much the clocks of processes, database and Temporal server may differ."""


class KnownKeys(Repository):
    """Key ids and since when each is known: a time that never changes once it is stored.

    A message in Temporal that was handled before its key was known has been dropped. So a new key
    is known only a little after its registration, and encrypts only a little after that.
    """

    def __init__(self, session: Session, keys: Keys) -> None:
        super().__init__(session)
        self._keys = keys

    async def list_all(self) -> list[KnownKey]:
        """Return all known keys, sorted by id."""
        statement = select(*key_ids.c).order_by(key_ids.c.key_id)
        async with self._session.read_connection() as connection:
            return [KnownKey(*row) for row in await connection.execute(statement)]

    async def known_since(self, key_id: str) -> datetime | None:
        """Return since when a key is known; None if no process ever had it."""
        statement = select(key_ids.c.known_since).where(key_ids.c.key_id == key_id)
        async with self._session.read_connection() as connection:
            since: datetime | None = await connection.scalar(statement)
            return since

    async def register(self, fingerprints: Mapping[str, str]) -> dict[str, datetime]:
        """Store the keys of a ring, by id, and return since when each is known.

        The first registration enters them, and all keys in use in the store, as known for ever.
        Raises `KeyMismatch` if another key has one of the ids.
        """
        known = {key.key_id: key for key in await self.list_all()}
        if not known:
            used = [key_id for usage in await self._keys.list_usage() for key_id in usage.by_key]
            await self._insert(dict.fromkeys(used) | dict(fingerprints), ALWAYS)
        elif any(_is_incomplete(known.get(key_id)) for key_id in fingerprints):
            await self._insert(fingerprints, datetime.now(UTC) + CLOCK_TOLERANCE)
        known = {key.key_id: key for key in await self.list_all()}
        for key_id, fingerprint in fingerprints.items():
            if known[key_id].fingerprint != fingerprint:
                raise KeyMismatch(key_id)
        return {key_id: known[key_id].known_since for key_id in fingerprints}

    async def find_missing(self) -> list[str]:
        """Return the ids of known keys that this process lacks and the store's values need.

        A key that no value needs is marked, so that the next start does not search for it again.
        """
        lacking = [
            key.key_id
            for key in await self.list_all()
            if key.key_id not in self._session.key_ids and key.unused_since is None
        ]
        missing = [key_id for key_id in lacking if await self._keys.is_used(key_id)]
        for key_id in set(lacking) - set(missing):
            await self._mark_unused(key_id)
        return missing

    @shielded_write
    async def _insert(self, fingerprints: Mapping[str, str | None], since: datetime) -> None:
        async with self._session.write_transaction() as connection:
            for key_id, fingerprint in fingerprints.items():
                row = {"key_id": key_id, "fingerprint": fingerprint, "known_since": since}
                insert = self._session.insert(key_ids).values(row)
                await connection.execute(insert.on_conflict_do_nothing())
                if fingerprint is not None:
                    await _complete(connection, key_id, fingerprint)

    @shielded_write
    async def _mark_unused(self, key_id: str) -> None:
        statement = update(key_ids).where(key_ids.c.key_id == key_id)
        async with self._session.write_transaction() as connection:
            await connection.execute(statement.values(unused_since=datetime.now(UTC)))


def _is_incomplete(known: KnownKey | None) -> bool:
    """Return whether a key has to be written: new, without fingerprint, or marked as unused."""
    return known is None or known.fingerprint is None or known.unused_since is not None


async def _complete(connection: AsyncConnection, key_id: str, fingerprint: str) -> None:
    """Add the fingerprint where there is none, and note that the key is in a ring again."""
    is_key = key_ids.c.key_id == key_id
    await connection.execute(update(key_ids).where(is_key).values(unused_since=None))
    lacks = is_key & key_ids.c.fingerprint.is_(None)
    await connection.execute(update(key_ids).where(lacks).values(fingerprint=fingerprint))
