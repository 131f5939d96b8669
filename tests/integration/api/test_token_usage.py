"""The last use of a token is stored without a write per request."""

from collections.abc import Mapping
from datetime import datetime

import httpx

from api.auth.token_usage import LastUses
from api.context import Context
from integrator.store import Store, StoreUnavailable
from tests.integration.api.builders import MERCHANT


async def test_uses_are_collected_and_written_together(
    client: httpx.AsyncClient, context: Context, store: Store
) -> None:
    for _ in range(3):
        assert (await client.get("/api/IntegrationInfo")).status_code == 200
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    assert token.last_used_at is None
    await context.token_usage.write()
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    assert token.last_used_at is not None


async def test_a_refused_token_does_not_count_as_used(
    client: httpx.AsyncClient, context: Context, store: Store
) -> None:
    headers = {"Authorization": "Bearer wrong"}
    assert (await client.get("/api/IntegrationInfo", headers=headers)).status_code == 401
    await context.token_usage.write()
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    assert token.last_used_at is None


async def test_uses_that_could_not_be_written_are_written_later(store: Store) -> None:
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    outages = [StoreUnavailable("locked")]

    async def write(uses: Mapping[str, datetime]) -> None:
        if outages:
            raise outages.pop()
        await store.api_tokens.record_use(uses)

    use = LastUses(write)
    use.record(token.id)
    await use.write()
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    assert token.last_used_at is None
    await use.write()
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    assert token.last_used_at is not None
