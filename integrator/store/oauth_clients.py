"""OAuth 2.0 clients of the merchants; only the hashes of their secrets are stored."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, or_, select, update

from integrator.store.errors import NotFound
from integrator.store.merchants import Merchants, merchant_from_row
from integrator.store.models import Merchant, OAuthClient
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import merchants, oauth_clients

CLIENT_ID = re.compile(r"[0-9a-f]{24}")

VALID_CLIENT = and_(oauth_clients.c.id == bindparam("client"), oauth_clients.c.revoked_at.is_(None))
"""Matches one valid client by the parameter `client`."""
_SELECT_WITH_SECRET = (
    select(merchants, oauth_clients.c.secret_sha256).join(oauth_clients).where(VALID_CLIENT)
)


class OAuthClients(Repository):
    """A merchant may have several clients, so that one can be replaced without downtime."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._merchants = Merchants(session)

    @shielded_write
    async def add(self, merchant_id: str, label: str) -> tuple[str, str]:
        """Create a client and return its id and secret, which is not stored. Raises `NotFound`."""
        if await self._merchants.get(merchant_id) is None:
            raise NotFound(f"no merchant {merchant_id}")
        client_id, secret = secrets.token_hex(12), f"ics_{secrets.token_urlsafe(32)}"
        row = {
            "id": client_id,
            "merchant_id": merchant_id,
            "secret_sha256": _digest(secret),
            "label": label,
            "created_at": _now(),
        }
        async with self._session.write_transaction() as connection:
            await connection.execute(self._session.insert(oauth_clients).values(row))
        return client_id, secret

    async def authenticate(self, client_id: str, secret: str) -> Merchant | None:
        """Return the merchant of a client; None when unknown or revoked, or the secret is wrong."""
        client = await self._valid_client(client_id)
        # Compared in any case, so that a wrong secret takes as long as an unknown client.
        merchant, stored_hash = client if client is not None else (None, _digest(""))
        return merchant if hmac.compare_digest(stored_hash, _digest(secret)) else None

    async def list_by_merchant(self, merchant_id: str) -> list[OAuthClient]:
        """List the merchant's clients, including revoked ones, oldest first."""
        statement = (
            select(oauth_clients)
            .where(oauth_clients.c.merchant_id == merchant_id)
            .order_by(oauth_clients.c.created_at, oauth_clients.c.id)
        )
        async with self._session.read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [
                OAuthClient(**{key: row[key] for key in row if key != "secret_sha256"})
                for row in rows
            ]

    @shielded_write
    async def revoke(self, merchant_id: str, client_id: str) -> bool:
        """Revoke a client; return False when the merchant has no such valid client."""
        statement = (
            update(oauth_clients)
            .where(
                oauth_clients.c.id == client_id,
                oauth_clients.c.merchant_id == merchant_id,
                oauth_clients.c.revoked_at.is_(None),
            )
            .values(revoked_at=_now())
        )
        async with self._session.write_transaction() as connection:
            return (await connection.execute(statement)).rowcount == 1

    @shielded_write
    async def record_use(self, last_used: Mapping[str, datetime]) -> None:
        """Record when each client (by id) was last used; an older time changes nothing."""
        last_used_at = oauth_clients.c.last_used_at
        async with self._session.write_transaction() as connection:
            for id, at in last_used.items():
                statement = update(oauth_clients).where(
                    oauth_clients.c.id == id, or_(last_used_at.is_(None), last_used_at < at)
                )
                await connection.execute(statement.values(last_used_at=at))

    async def _valid_client(self, client_id: str) -> tuple[Merchant, str] | None:
        """Return the merchant of a valid client, and the hash of the client's secret."""
        if not CLIENT_ID.fullmatch(client_id):
            return None
        async with self._session.read_connection() as connection:
            result = await connection.execute(_SELECT_WITH_SECRET, {"client": client_id})
            row = result.mappings().one_or_none()
        return (merchant_from_row(row), row["secret_sha256"]) if row is not None else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
