"""Registration of a process's key ring in the store, before its first key is used."""

import asyncio
import logging
from datetime import UTC, datetime

from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.store.database import Store
from integrator.store.errors import KeyMismatch
from integrator.store.known_keys import CLOCK_TOLERANCE

log = logging.getLogger(__name__)


class KeyRegistry:
    """Ids of all keys in the store, as `integrator.temporal.payload_codec` needs them."""

    def __init__(self, store: Store, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys
        self._known: dict[str, datetime] = {}
        self._usable_at: datetime | None = None
        self._lock = asyncio.Lock()

    async def require_registered(self) -> None:
        """Register the ring if that has not been done, and wait until its active key is usable.

        A new active key may be used a few seconds after its registration: then every process can
        find its id. Raises `StoreError` and `KeyConfigurationError`.
        """
        if self._usable_at is None:
            await self._register()
        if self._usable_at is not None and self._usable_at > (now := datetime.now(UTC)):
            wait = self._usable_at - now
            log.info("The active key %r is new: it is used in %s.", self._keys.ids[0], wait)
            await asyncio.sleep(wait.total_seconds())

    async def require_complete(self) -> None:
        """Register the ring, and check that it contains every key that values of the store need.

        Raises `StoreError` and `KeyConfigurationError`.
        """
        await self.require_registered()
        if missing := await self._store.known_keys.find_missing():
            raise KeyConfigurationError(
                f"the key ring lacks keys that encrypt values in the store: {', '.join(missing)}; "
                "add them to INTEGRATOR_KEYS behind the first one"
            )

    async def known_since(self, key_id: str) -> datetime | None:
        """Return since when a key is known; None if no process ever had it."""
        if key_id not in self._known:
            since = await self._store.known_keys.known_since(key_id)
            if since is None:
                return None  # not remembered: another process may register it at any time
            self._known[key_id] = since
        return self._known[key_id]

    async def _register(self) -> None:
        async with self._lock:
            if self._usable_at is not None:
                return
            try:
                known = await self._store.known_keys.register(self._keys.fingerprints())
            except KeyMismatch as error:
                raise KeyConfigurationError(str(error)) from error
            self._known |= known
            self._usable_at = known[self._keys.ids[0]] + CLOCK_TOLERANCE
