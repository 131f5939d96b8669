"""Merchants and their API credentials."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Merchant:
    """Merchant; `id` is the slug used in workflow ids, `psp` the name of the adapter.

    `webhook_hosts`: hosts its change webhooks may be sent to; empty: the hosts allowed for all.
    """

    id: str
    psp: str
    psp_settings_id: str
    created_at: datetime
    webhook_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiToken:
    """Metadata of a bearer token; the token itself is not stored."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class OAuthClient:
    """Metadata of an OAuth 2.0 client; its secret is not stored."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
