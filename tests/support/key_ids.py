"""Key ids of a test, in place of the store's."""

from datetime import UTC, datetime

ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


class FakeKeyIds:
    """Known keys by id, with the time since when each is known."""

    def __init__(self, **known: datetime) -> None:
        self.known = known
        self.registrations = 0

    async def require_registered(self) -> None:
        self.registrations += 1

    async def known_since(self, key_id: str) -> datetime | None:
        return self.known.get(key_id)
