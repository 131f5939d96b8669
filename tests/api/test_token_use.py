"""The last use of a token reaches the store without a write per request."""

import httpx
import pytest

from api.context import Context
from api.token_use import TokenUse
from store import Store, StoreUnavailable
from tests.api.builders import MERCHANT


async def test_uses_are_noted_and_written_together(
    client: httpx.AsyncClient, context: Context, store: Store
) -> None:
    for _ in range(3):
        assert (await client.get("/api/IntegrationInfo")).status_code == 200
    [token] = await store.tokens(MERCHANT)
    assert token.last_used_at is None
    await context.token_use.write()
    [token] = await store.tokens(MERCHANT)
    assert token.last_used_at is not None


async def test_a_token_that_is_refused_is_not_used(
    client: httpx.AsyncClient, context: Context, store: Store
) -> None:
    headers = {"Authorization": "Bearer wrong"}
    assert (await client.get("/api/IntegrationInfo", headers=headers)).status_code == 401
    await context.token_use.write()
    [token] = await store.tokens(MERCHANT)
    assert token.last_used_at is None


async def test_what_could_not_be_written_is_written_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    [token] = await store.tokens(MERCHANT)
    use = TokenUse(store)
    use.note(token.id)

    async def away(_: object) -> None:
        raise StoreUnavailable("locked")

    with monkeypatch.context() as broken:
        broken.setattr(store, "record_token_use", away)
        await use.write()
    await use.write()
    [token] = await store.tokens(MERCHANT)
    assert token.last_used_at is not None
