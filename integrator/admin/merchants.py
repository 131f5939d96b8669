"""Operator commands for merchants and their API tokens, on the configured database."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from integrator.admin.errors import OperatorError
from integrator.admin.store_access import open_store
from integrator.psp import registry
from integrator.psp.integration_info import setting_keys
from integrator.settings import Settings
from integrator.store import AlreadyExists, ApiToken, Merchant, NotFound

_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


@dataclass(frozen=True)
class SettingState:
    """A key of a merchant's settings form and whether it has a value."""

    key: str
    is_set: bool


async def add(settings: Settings, name: str, psp: str) -> Merchant:
    """Create a merchant; raises `OperatorError`."""
    try:
        registry.get_adapter(psp)
        async with open_store(settings) as store:
            return await store.merchants.add(name, psp)
    except registry.UnknownPsp as error:
        raise OperatorError(str(error)) from None
    except AlreadyExists:
        raise OperatorError(f"Merchant {name!r} already exists.") from None
    except ValueError:
        raise OperatorError(
            f"Invalid merchant name {name!r}: use 1 to 63 lower-case letters, digits, '-' or '_'."
        ) from None


async def list_all(settings: Settings) -> list[Merchant]:
    """Return all merchants by name."""
    async with open_store(settings) as store:
        return await store.merchants.list_all()


async def issue_token(
    settings: Settings, name: str, label: str, valid_for: timedelta | None
) -> str:
    """Issue a bearer token of the merchant; raises `OperatorError`."""
    expires_at = datetime.now(UTC) + valid_for if valid_for is not None else None
    try:
        async with open_store(settings) as store:
            return await store.api_tokens.issue(name, label, expires_at=expires_at)
    except NotFound:
        raise _unknown_merchant(name) from None


async def tokens(settings: Settings, name: str) -> list[ApiToken]:
    """Return the merchant's tokens, oldest first; raises `OperatorError`."""
    async with open_store(settings) as store:
        if await store.merchants.get(name) is None:
            raise _unknown_merchant(name)
        return await store.api_tokens.list_by_merchant(name)


async def revoke_token(settings: Settings, name: str, token_id: str) -> None:
    """Revoke a token; raises `OperatorError`."""
    async with open_store(settings) as store:
        if not await store.api_tokens.revoke(name, token_id):
            raise OperatorError(
                f"Merchant {name!r} has no valid token {token_id!r}; "
                f"`integrator token list {name}` shows all."
            )


async def allow_webhook_hosts(settings: Settings, name: str, hosts: list[str]) -> None:
    """Replace the hosts of the merchant's change webhooks; raises `OperatorError`."""
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise OperatorError(f"Invalid host name {host!r}: use one such as `hooks.example.com`.")
    try:
        async with open_store(settings) as store:
            await store.merchants.set_webhook_hosts(name, [host.lower() for host in hosts])
    except NotFound:
        raise _unknown_merchant(name) from None


async def setting_states(settings: Settings, name: str) -> list[SettingState]:
    """Return the keys of the merchant's settings form; raises `OperatorError`."""
    async with open_store(settings) as store:
        merchant = await store.merchants.get(name)
        if merchant is None:
            raise _unknown_merchant(name)
        values = await store.merchants.get_settings(name) or {}
    try:
        keys = setting_keys(registry.get_adapter(merchant.psp))
    except registry.UnknownPsp as error:
        raise OperatorError(str(error)) from None
    return [SettingState(key, bool(values.get(key))) for key in keys]


def _unknown_merchant(name: str) -> OperatorError:
    return OperatorError(f"Merchant {name!r} does not exist; `integrator merchant list` shows all.")
