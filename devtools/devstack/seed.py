"""Seed the merchant `demo` and its account at the sandbox PSP, the same in every run."""

import secrets
from dataclasses import asdict, dataclass, field

import httpx

from devtools.devstack.address import Addresses
from devtools.devstack.data_dir import Layout
from devtools.devstack.emulated_psps import get_emulated_psp
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import read_json, write_private
from devtools.devstack.runfile import MerchantAccess
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import AlreadyExists, Merchant, Store

MERCHANT = "demo"


@dataclass(frozen=True)
class DemoSecrets:
    """Secrets stored in the data folder, because the database has the token's hash only."""

    token: str = field(repr=False)
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def demo_secrets(layout: Layout) -> DemoSecrets:
    """Return the secrets of the data folder; generate them at first use."""
    stored = read_json(layout.demo_file)
    if stored is not None:
        try:
            return DemoSecrets(**stored)
        except TypeError:
            raise DevStackError(f"{layout.demo_file} is not readable; delete it.") from None
    new = DemoSecrets(
        token=f"itk_{secrets.token_urlsafe(32)}",
        api_key=f"sk_sandbox_{secrets.token_urlsafe(24)}",
        webhook_secret=f"whsec_{secrets.token_urlsafe(24)}",
    )
    write_private(layout.demo_file, asdict(new))
    return new


async def seed_merchant(settings: Settings, keys: KeyRing, demo: DemoSecrets) -> MerchantAccess:
    """Ensure that the merchant and its token are in the database."""
    async with Store(settings.resolved_database_url, keys) as store:
        merchant = await _get_or_add_merchant(store, settings.demo_psp)
        try:
            await store.api_tokens.issue(MERCHANT, "local run", token=demo.token)
        except AlreadyExists:
            raise DevStackError(
                f"The demo token was revoked; delete {settings.data_dir / 'demo.json'} for a new "
                "one."
            ) from None
    return MerchantAccess(demo.token, merchant.psp, merchant.psp_settings_id)


async def seed_psp(
    http: httpx.AsyncClient, addresses: Addresses, access: MerchantAccess, demo: DemoSecrets
) -> None:
    """Create the account at the sandbox PSP and save its credentials in the merchant's settings.

    Settings that were saved already are left unchanged.
    """
    webhook_url = f"{addresses.api}/api/notifications/{access.psp}/{access.psp_settings_id}"
    psp = get_emulated_psp(access.psp)
    account = {
        "api_key": demo.api_key,
        "webhook_secret": demo.webhook_secret,
        "webhook_url": webhook_url,
        "dialect": psp.emulator,
    }
    account_response = await http.put(f"{addresses.sandbox_psp}/_control/accounts", json=account)
    _require_success(account_response, "The sandbox PSP rejected the demo account")
    headers = {"Authorization": f"Bearer {access.token}"}
    url = f"{addresses.api}/api/Settings"
    current = await http.get(url, headers=headers)
    _require_success(current, "The API rejected reading the settings of the merchant `demo`")
    if any(entry.get("keyValue") for entry in current.json()["merchantSettings"]):
        return
    form = psp.settings_form(demo.api_key, demo.webhook_secret)
    body = {"merchantSettings": [{"keyName": k, "keyValue": v} for k, v in form.items()]}
    settings_response = await http.put(url, headers=headers, json=body)
    _require_success(settings_response, "The API rejected the settings of the merchant `demo`")


async def _get_or_add_merchant(store: Store, psp: str) -> Merchant:
    merchant = await store.merchants.get(MERCHANT)
    if merchant is None:
        return await store.merchants.add(MERCHANT, psp)
    if merchant.psp != psp:
        raise DevStackError(
            f"The merchant {MERCHANT!r} of this data folder uses the PSP {merchant.psp!r}; "
            f"set INTEGRATOR_DEMO_PSP={merchant.psp} or another INTEGRATOR_DATA_DIR."
        )
    return merchant


def _require_success(response: httpx.Response, message: str) -> None:
    if not response.is_success:
        # The response may repeat what was sent, so only its status is printed.
        raise DevStackError(f"{message} (HTTP {response.status_code}); see the logs.")
