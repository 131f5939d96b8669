"""What somebody who holds the database and the key ring can make of it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import LargeBinary, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import DataKey, is_sealed_by_data_key
from integrator.crypto.keys import DecryptionError, KeyRing, blob_header
from integrator.store.column_encryption import ColumnCipher
from integrator.store.engine import open_engine
from integrator.store.rotation import SEALED
from integrator.store.tables import agreements, data_keys, decisions, notifications, transactions

Place = tuple[str | int, ...]


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = open_engine(url)
    async with engine.execution_options(writes=True).begin() as connection:
        yield connection
    await engine.dispose()


async def all_blobs(url: str) -> dict[Place, bytes]:
    """Every blob in the database that is not empty, by its place."""
    found: dict[Place, bytes] = {}
    async with connected(url) as connection:
        for sealed in SEALED:
            rows = await connection.execute(select(*sealed.identity, sealed.column))
            for *identity, blob in rows:
                if blob:
                    found[sealed.place(identity)] = blob
    return found


def blob_columns() -> set[tuple[str, str]]:
    """Every column of blobs that there is, by table and name."""
    return {
        (table.name, column.name)
        for table in agreements.metadata.tables.values()
        for column in table.c
        if isinstance(column.type, LargeBinary)
    }


def opened(blobs: dict[Place, bytes], ring: KeyRing) -> dict[Place, bytes]:
    """The plaintexts of all blobs that the ring opens, or a data key that it unwraps."""
    keys = [
        plain
        for place, blob in blobs.items()
        if place[0] == "data_keys" and (plain := _tried(ColumnCipher(ring), blob, place))
    ]
    found = {}
    for place, blob in blobs.items():
        vaults = [ColumnCipher(ring), *(ColumnCipher(DataKey(key)) for key in keys)]
        plains = (_tried(vault, blob, place) for vault in vaults)
        plain = next((plain for plain in plains if plain is not None), None)
        if plain is not None:
            found[place] = plain
    return found


def carved(content: bytes, sizes: dict[Place, int], ring: KeyRing) -> dict[Place, bytes]:
    """What the ring opens of whatever lies anywhere in a file, live or deleted.

    `sizes` are the lengths of the blobs that are looked for. Data keys found are tried as well.
    """
    found = dict(_carved(content, sizes, ColumnCipher(ring), [blob_header(id) for id in ring.ids]))
    for place, key in list(found.items()):
        if place[0] == "data_keys":
            found |= dict(_carved(content, sizes, ColumnCipher(DataKey(key)), [b"\x02"]))
    return found


def _carved(
    content: bytes, sizes: dict[Place, int], vault: ColumnCipher, headers: list[bytes]
) -> Iterator[tuple[Place, bytes]]:
    for header in headers:
        start = content.find(header)
        while start >= 0:
            for place, size in sizes.items():
                blob = content[start : start + size]
                plain = _tried(vault, blob, place)
                if plain is not None:
                    yield place, plain
            start = content.find(header, start + 1)


def _tried(vault: ColumnCipher, blob: bytes, place: Place) -> bytes | None:
    try:
        return vault.open(blob, *place)
    except DecryptionError:
        return None


async def as_before_data_keys(url: str, ring: KeyRing) -> None:
    """Turn all rows into those of a version that knew no data keys: the ring has sealed them."""
    plain = opened(await all_blobs(url), ring)
    async with connected(url) as connection:
        for sealed in SEALED:
            if sealed.table is data_keys:
                continue
            rows = (await connection.execute(select(*sealed.identity, sealed.column))).all()
            for *identity, blob in rows:
                if blob:
                    place = sealed.place(identity)
                    values: dict[str, Any] = {
                        sealed.column.name: ColumnCipher(ring).seal(plain[place], *place)
                    }
                    await connection.execute(
                        update(sealed.table)
                        .where(*(c == v for c, v in zip(sealed.identity, identity, strict=True)))
                        .values(values)
                    )
        await connection.execute(delete(data_keys))
        await connection.execute(update(transactions).values(webhook_target=None))
        await connection.execute(update(notifications).values(agreement_id=None))
        await connection.execute(update(decisions).values(agreement_id=None))


def by_data_key(blobs: dict[Place, bytes]) -> set[tuple[str | int, ...]]:
    """Table and column of those that a data key has sealed."""
    return {place[:2] for place, blob in blobs.items() if is_sealed_by_data_key(blob)}
