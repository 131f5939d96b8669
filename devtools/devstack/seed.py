"""The merchant `demo`, with an account at the sandbox PSP, the same in every run."""

import secrets
from dataclasses import asdict, dataclass, field

import httpx

from devtools.devstack.address import Addresses
from devtools.devstack.data_dir import Layout
from devtools.devstack.emulated_psps import emulated_psp
from devtools.devstack.errors import DevStackError
from devtools.devstack.files import read_json, write_private
from devtools.devstack.runfile import MerchantAccess
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import AlreadyExists, Merchant, Store

MERCHANT = "demo"


@dataclass(frozen=True)
class DemoSecrets:
    """Made once and kept in the data folder: the database has the token's hash only."""

    token: str = field(repr=False)
    api_key: str = field(repr=False)
    webhook_secret: str = field(repr=False)


def demo_secrets(layout: Layout) -> DemoSecrets:
    """The secrets of the data folder, made at first use."""
    kept = read_json(layout.demo_file)
    if kept is not None:
        try:
            return DemoSecrets(**kept)
        except TypeError:
            raise DevStackError(f"{layout.demo_file} is not readable; delete it.") from None
    made = DemoSecrets(
        token=f"itk_{secrets.token_urlsafe(32)}",
        api_key=f"sk_sandbox_{secrets.token_urlsafe(24)}",
        webhook_secret=f"whsec_{secrets.token_urlsafe(24)}",
    )
    write_private(layout.demo_file, asdict(made))
    return made


async def seed_merchant(settings: Settings, keys: KeyRing, demo: DemoSecrets) -> MerchantAccess:
    """Make sure that the merchant and its token are in the database."""
    async with Store(settings.resolved_database_url, keys) as store:
        merchant = await _merchant(store, settings.demo_psp)
        try:
            await store.issue_token(MERCHANT, "local run", token=demo.token)
        except AlreadyExists:
            raise DevStackError(
                f"The demo token was revoked; delete {settings.data_dir / 'demo.json'} for a new "
                "one."
            ) from None
    return MerchantAccess(demo.token, merchant.psp, merchant.psp_settings_id)


async def seed_psp(
    http: httpx.AsyncClient, addresses: Addresses, access: MerchantAccess, demo: DemoSecrets
) -> None:
    """Open the account at the sandbox PSP and enter it in the merchant's settings.

    Settings that were saved already are left as they are.
    """
    target = f"{addresses.api}/api/notifications/{access.psp}/{access.psp_settings_id}"
    played = emulated_psp(access.psp)
    account = {
        "api_key": demo.api_key,
        "webhook_secret": demo.webhook_secret,
        "webhook_url": target,
        "dialect": played.dialect,
    }
    opened = await http.put(f"{addresses.sandbox_psp}/_control/accounts", json=account)
    _require_success(opened, "The sandbox PSP refused the demo account")
    headers = {"Authorization": f"Bearer {access.token}"}
    url = f"{addresses.api}/api/Settings"
    current = await http.get(url, headers=headers)
    _require_success(current, "The API refused to show the settings of the merchant `demo`")
    if any(entry.get("keyValue") for entry in current.json()["merchantSettings"]):
        return
    wanted = played.filled(demo.api_key, demo.webhook_secret)
    body = {"merchantSettings": [{"keyName": k, "keyValue": v} for k, v in wanted.items()]}
    saved = await http.put(url, headers=headers, json=body)
    _require_success(saved, "The API refused the settings of the merchant `demo`")


async def _merchant(store: Store, psp: str) -> Merchant:
    merchant = await store.merchant(MERCHANT)
    if merchant is None:
        return await store.add_merchant(MERCHANT, psp)
    if merchant.psp != psp:
        raise DevStackError(
            f"The merchant {MERCHANT!r} of this data folder uses the PSP {merchant.psp!r}; "
            f"set INTEGRATOR_DEMO_PSP={merchant.psp} or another INTEGRATOR_DATA_DIR."
        )
    return merchant


def _require_success(response: httpx.Response, complaint: str) -> None:
    if not response.is_success:
        # The answer may repeat what was sent, so only its status is shown.
        raise DevStackError(f"{complaint} (HTTP {response.status_code}); see the logs.")
