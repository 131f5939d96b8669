"""Who is paid, and what their systems prove themselves with."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Merchant:
    """`id` is the slug used in workflow ids; `psp` names the adapter.

    `webhook_hosts`: where its change webhooks may go; empty: wherever those of all may.
    """

    id: str
    psp: str
    psp_settings_id: str
    created_at: datetime
    webhook_hosts: tuple[str, ...] = ()


@dataclass(frozen=True)
class ApiToken:
    """What is known of a bearer token; the token itself is not kept."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True)
class OAuthClient:
    """What is known of an OAuth 2.0 client; its secret is not kept."""

    id: str
    merchant_id: str
    label: str
    created_at: datetime
    revoked_at: datetime | None
    last_used_at: datetime | None
