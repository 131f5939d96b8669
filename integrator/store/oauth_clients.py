"""OAuth 2.0 clients of the merchants: only the hashes of their secrets are kept."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import and_, bindparam, or_, select, update

from integrator.store.errors import NotFound
from integrator.store.merchants import Merchants, merchant_of
from integrator.store.models import Merchant, OAuthClient
from integrator.store.session import shielded_write
from integrator.store.tables import merchants, oauth_clients

CLIENT_ID = re.compile(r"[0-9a-f]{24}")

VALID_CLIENT = and_(oauth_clients.c.id == bindparam("client"), oauth_clients.c.revoked_at.is_(None))
"""The client that the parameter names, if it is valid."""
_WITH_SECRET = (
    select(merchants, oauth_clients.c.secret_sha256).join(oauth_clients).where(VALID_CLIENT)
)


class OAuthClients(Merchants):
    """A merchant may have several clients, so that one can replace another in peace."""

    @shielded_write
    async def add_client(self, merchant_id: str, label: str) -> tuple[str, str]:
        """A new client's id and secret; the secret cannot be had again. Raises `NotFound`."""
        if await self.merchant(merchant_id) is None:
            raise NotFound(f"no merchant {merchant_id}")
        client_id, secret = secrets.token_hex(12), f"ics_{secrets.token_urlsafe(32)}"
        row = {
            "id": client_id,
            "merchant_id": merchant_id,
            "secret_sha256": _digest(secret),
            "label": label,
            "created_at": _now(),
        }
        async with self._writing() as connection:
            await connection.execute(self._insert(oauth_clients).values(row))
        return client_id, secret

    async def authenticate_client(self, client_id: str, secret: str) -> Merchant | None:
        """The merchant of a client; None when it is unknown or revoked, or the secret is wrong."""
        found = await self._valid_client(client_id)
        # Compared in any case, so that a wrong secret takes as long as a client that is not there.
        merchant, kept = found if found is not None else (None, _digest(""))
        return merchant if hmac.compare_digest(kept, _digest(secret)) else None

    async def clients(self, merchant_id: str) -> list[OAuthClient]:
        """The merchant's clients, revoked ones included, oldest first."""
        statement = (
            select(oauth_clients)
            .where(oauth_clients.c.merchant_id == merchant_id)
            .order_by(oauth_clients.c.created_at, oauth_clients.c.id)
        )
        async with self._reading() as connection:
            found = (await connection.execute(statement)).mappings()
            return [
                OAuthClient(**{key: row[key] for key in row if key != "secret_sha256"})
                for row in found
            ]

    @shielded_write
    async def revoke_client(self, merchant_id: str, client_id: str) -> bool:
        """End a client's validity; False when there is no such valid client of the merchant."""
        statement = (
            update(oauth_clients)
            .where(
                oauth_clients.c.id == client_id,
                oauth_clients.c.merchant_id == merchant_id,
                oauth_clients.c.revoked_at.is_(None),
            )
            .values(revoked_at=_now())
        )
        async with self._writing() as connection:
            return (await connection.execute(statement)).rowcount == 1

    @shielded_write
    async def record_client_use(self, last_used: Mapping[str, datetime]) -> None:
        """Keep when each of these clients (by id) was last used; an older time changes nothing."""
        used = oauth_clients.c.last_used_at
        async with self._writing() as connection:
            for id, at in last_used.items():
                statement = update(oauth_clients).where(
                    oauth_clients.c.id == id, or_(used.is_(None), used < at)
                )
                await connection.execute(statement.values(last_used_at=at))

    async def _valid_client(self, client_id: str) -> tuple[Merchant, str] | None:
        """The merchant of a client that is not revoked, and the hash of the client's secret."""
        if not CLIENT_ID.fullmatch(client_id):
            return None
        async with self._reading() as connection:
            found = await connection.execute(_WITH_SECRET, {"client": client_id})
            row = found.mappings().one_or_none()
        return (merchant_of(row), row["secret_sha256"]) if row is not None else None


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
