"""Seeding of the merchant `demo`."""

import json

import httpx
import pytest

from devtools.devstack.address import Addresses
from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.runfile import MerchantAccess
from devtools.devstack.seed import DemoSecrets, demo_secrets, seed_merchant, seed_psp
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import Store
from integrator.store.migrate import upgrade

ADDRESSES = Addresses("http://api", "http://psp", "temporal:1", None, "http://codec")
ACCESS = MerchantAccess("token", "sandbox", "5e77")
DEMO = DemoSecrets("token", "key", "secret")
KEYS = KeyRing({"k": bytes(32)})


class Servers:
    """Fake API and sandbox PSP that record the calls they receive."""

    def __init__(self, stored: str | None, rejecting: str | None = None) -> None:
        self.stored = stored
        self.rejecting = rejecting
        self.calls: list[tuple[str, str, object]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.calls.append((request.method, str(request.url), body))
        if self.rejecting is not None and str(request.url).startswith(self.rejecting):
            return httpx.Response(422)
        entry = {"keyName": "ApiKey", "keyValue": self.stored}
        return httpx.Response(200, json={"merchantSettings": [entry]})


async def seed(servers: Servers) -> None:
    async with httpx.AsyncClient(transport=httpx.MockTransport(servers)) as http:
        await seed_psp(http, ADDRESSES, ACCESS, DEMO)


ACCOUNT = (
    "PUT",
    "http://psp/_control/accounts",
    {
        "api_key": "key",
        "webhook_secret": "secret",
        "webhook_url": "http://api/api/notifications/sandbox/5e77",
        "dialect": "sandbox",
    },
)


async def test_account_and_settings_are_created() -> None:
    servers = Servers(stored=None)
    await seed(servers)
    values = [
        {"keyName": "ApiKey", "keyValue": "key"},
        {"keyName": "WebhookSecret", "keyValue": "secret"},
    ]
    assert servers.calls == [
        ACCOUNT,
        ("GET", "http://api/api/Settings", None),
        ("PUT", "http://api/api/Settings", {"merchantSettings": values}),
    ]


async def test_stored_settings_are_not_overwritten() -> None:
    servers = Servers(stored="other")
    await seed(servers)
    assert servers.calls == [ACCOUNT, ("GET", "http://api/api/Settings", None)]


@pytest.mark.parametrize("server", ["http://psp", "http://api"])
async def test_a_rejection_names_the_server_and_no_secret(server: str) -> None:
    with pytest.raises(DevStackError, match=r"rejected .*HTTP 422") as caught:
        await seed(Servers(stored=None, rejecting=server))
    assert "key" not in str(caught.value).split()


def test_secrets_are_generated_once(layout: Layout) -> None:
    first = demo_secrets(layout)
    assert demo_secrets(layout) == first
    assert len({first.token, first.api_key, first.webhook_secret}) == 3
    assert first.token not in repr(first)


def test_a_broken_file_is_not_overwritten(layout: Layout) -> None:
    layout.demo_file.write_text('{"token": "t"}')
    with pytest.raises(DevStackError, match=r"demo\.json"):
        demo_secrets(layout)


async def test_the_merchant_is_created_once(layout: Layout) -> None:
    settings = Settings(data_dir=layout.root, database_url=None)
    await upgrade(settings.resolved_database_url)
    first = await seed_merchant(settings, KEYS, DEMO)
    assert await seed_merchant(settings, KEYS, DEMO) == first
    async with Store(settings.resolved_database_url, KEYS) as store:
        merchant = await store.api_tokens.find_merchant("token")
        assert merchant is not None
        assert (merchant.id, merchant.psp_settings_id) == ("demo", first.psp_settings_id)
        assert len(await store.api_tokens.list_by_merchant("demo")) == 1
        (token,) = await store.api_tokens.list_by_merchant("demo")
        await store.api_tokens.revoke("demo", token.id)
    with pytest.raises(DevStackError, match="revoked"):
        await seed_merchant(settings, KEYS, DEMO)


async def test_the_psp_of_a_data_folder_cannot_change(layout: Layout) -> None:
    settings = Settings(data_dir=layout.root, database_url=None)
    await upgrade(settings.resolved_database_url)
    await seed_merchant(settings, KEYS, DEMO)
    other = settings.model_copy(update={"demo_psp": "stripe"})
    with pytest.raises(DevStackError, match="INTEGRATOR_DEMO_PSP=sandbox"):
        await seed_merchant(other, KEYS, DEMO)
