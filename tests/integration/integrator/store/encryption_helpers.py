"""Helpers to decrypt everything that a database and the key ring allow to decrypt."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import LargeBinary, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.crypto.data_keys import DataKey, is_encrypted_by_data_key
from integrator.crypto.keys import DecryptionError, KeyRing, blob_header
from integrator.store.column_encryption import ColumnCipher
from integrator.store.engine import open_engine
from integrator.store.keys import ENCRYPTED_COLUMNS
from integrator.store.tables import agreements, data_keys, decisions, notifications, transactions

BlobContext = tuple[str | int, ...]


@asynccontextmanager
async def write_connection(url: str) -> AsyncIterator[AsyncConnection]:
    engine = open_engine(url)
    async with engine.execution_options(writes=True).begin() as connection:
        yield connection
    await engine.dispose()


async def read_blobs(url: str) -> dict[BlobContext, bytes]:
    """Return all blobs in the database that are not empty, by context."""
    blobs: dict[BlobContext, bytes] = {}
    async with write_connection(url) as connection:
        for column in ENCRYPTED_COLUMNS:
            rows = await connection.execute(select(*column.identity, column.column))
            for *identity, blob in rows:
                if blob:
                    blobs[column.context(identity)] = blob
    return blobs


def blob_columns() -> set[tuple[str, str]]:
    """Return all blob columns of the schema, by table and name."""
    return {
        (table.name, column.name)
        for table in agreements.metadata.tables.values()
        for column in table.c
        if isinstance(column.type, LargeBinary)
    }


def decrypt_blobs(blobs: dict[BlobContext, bytes], ring: KeyRing) -> dict[BlobContext, bytes]:
    """Decrypt all blobs that the ring, or a data key that it unwraps, can decrypt."""
    keys = [
        key
        for context, blob in blobs.items()
        if context[0] == "data_keys" and (key := _try_decrypt(ColumnCipher(ring), blob, context))
    ]
    plaintexts = {}
    for context, blob in blobs.items():
        ciphers = [ColumnCipher(ring), *(ColumnCipher(DataKey(key)) for key in keys)]
        results = (_try_decrypt(cipher, blob, context) for cipher in ciphers)
        plaintext = next((result for result in results if result is not None), None)
        if plaintext is not None:
            plaintexts[context] = plaintext
    return plaintexts


def recover_blobs(
    content: bytes, sizes: dict[BlobContext, int], ring: KeyRing
) -> dict[BlobContext, bytes]:
    """Search a file for blobs that the ring can decrypt, live or deleted.

    `sizes` are the lengths of the blobs to search for. Recovered data keys are tried as well.
    """
    plaintexts = dict(
        _recover_with(content, sizes, ColumnCipher(ring), [blob_header(id) for id in ring.ids])
    )
    for context, key in list(plaintexts.items()):
        if context[0] == "data_keys":
            plaintexts |= dict(_recover_with(content, sizes, ColumnCipher(DataKey(key)), [b"\x02"]))
    return plaintexts


def _recover_with(
    content: bytes, sizes: dict[BlobContext, int], cipher: ColumnCipher, headers: list[bytes]
) -> Iterator[tuple[BlobContext, bytes]]:
    for header in headers:
        start = content.find(header)
        while start >= 0:
            for context, size in sizes.items():
                blob = content[start : start + size]
                plaintext = _try_decrypt(cipher, blob, context)
                if plaintext is not None:
                    yield context, plaintext
            start = content.find(header, start + 1)


def _try_decrypt(cipher: ColumnCipher, blob: bytes, context: BlobContext) -> bytes | None:
    try:
        return cipher.decrypt(blob, *context)
    except DecryptionError:
        return None


async def remove_data_keys(url: str, ring: KeyRing) -> None:
    """Convert all rows to those of a version without data keys, encrypted with the ring."""
    plaintexts = decrypt_blobs(await read_blobs(url), ring)
    async with write_connection(url) as connection:
        for column in ENCRYPTED_COLUMNS:
            if column.table is data_keys:
                continue
            rows = (await connection.execute(select(*column.identity, column.column))).all()
            for *identity, blob in rows:
                if blob:
                    context = column.context(identity)
                    values: dict[str, Any] = {
                        column.column.name: ColumnCipher(ring).encrypt(
                            plaintexts[context], *context
                        )
                    }
                    await connection.execute(
                        update(column.table)
                        .where(*(c == v for c, v in zip(column.identity, identity, strict=True)))
                        .values(values)
                    )
        await connection.execute(delete(data_keys))
        await connection.execute(update(transactions).values(webhook_target=None))
        await connection.execute(update(notifications).values(agreement_id=None))
        await connection.execute(update(decisions).values(agreement_id=None))


def columns_of_data_keys(blobs: dict[BlobContext, bytes]) -> set[tuple[str | int, ...]]:
    """Return table and column of the blobs that a data key has encrypted."""
    return {context[:2] for context, blob in blobs.items() if is_encrypted_by_data_key(blob)}
