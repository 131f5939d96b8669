"""Check that the configured keys decrypt the data in the database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from integrator.crypto.data_keys import is_encrypted_by_data_key
from integrator.crypto.keys import DecryptionError
from integrator.store.column_encryption import ERASED
from integrator.store.data_keys import DataKeys
from integrator.store.models import KeyCheck
from integrator.store.rotation import ENCRYPTED_COLUMNS


class KeyVerification(DataKeys):
    """Decrypts a sample of every encrypted column and discards the result."""

    async def verify_keys(self, per_column: int = 5) -> list[KeyCheck]:
        """Decrypt a sample of each column that is not empty; `unreadable` counts the failures."""
        checks = []
        for column in ENCRYPTED_COLUMNS:
            statement = (
                select(*column.identity, column.column)
                .where(column.column.is_not(None), column.column != ERASED)
                .limit(per_column)
            )
            async with self._read_connection() as connection:
                rows = (await connection.execute(statement)).all()
            unreadable = [
                row for row in rows if not self._can_decrypt(column.context(row[:-1]), row)
            ]
            if rows:
                checks.append(KeyCheck(column.name, len(rows), len(unreadable)))
        return checks

    def _can_decrypt(self, context: tuple[str | int, ...], row: Sequence[Any]) -> bool:
        blob: bytes = row[-1]
        if is_encrypted_by_data_key(blob):
            # Its key is a blob of `data_keys.wrapped`, which is sampled, too.
            return True
        try:
            self._cipher.decrypt(blob, *context)
        except DecryptionError:
            return False
        return True
