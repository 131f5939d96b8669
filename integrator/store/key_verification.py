"""Whether the keys at hand open what the database holds."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from integrator.crypto.data_keys import is_sealed_by_data_key
from integrator.crypto.keys import DecryptionError
from integrator.store.column_encryption import ERASED
from integrator.store.data_keys import DataKeys
from integrator.store.models import KeyCheck
from integrator.store.rotation import SEALED


class KeyVerification(DataKeys):
    """Opens a little of every encrypted column and shows nothing of it."""

    async def opened(self, per_column: int = 5) -> list[KeyCheck]:
        """A sample of each column that holds anything; `unreadable` ones did not open."""
        found = []
        for sealed in SEALED:
            statement = (
                select(*sealed.identity, sealed.column)
                .where(sealed.column.is_not(None), sealed.column != ERASED)
                .limit(per_column)
            )
            async with self._reading() as connection:
                rows = (await connection.execute(statement)).all()
            unreadable = [row for row in rows if not self._opens(sealed.place(row[:-1]), row)]
            if rows:
                found.append(KeyCheck(sealed.name, len(rows), len(unreadable)))
        return found

    def _opens(self, place: tuple[str | int, ...], row: Sequence[Any]) -> bool:
        blob: bytes = row[-1]
        if is_sealed_by_data_key(blob):
            # Its key is a blob of `data_keys.wrapped`, of which there is a sample, too.
            return True
        try:
            self._vault.open(blob, *place)
        except DecryptionError:
            return False
        return True
