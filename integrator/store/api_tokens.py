"""Bearer tokens of the API; only their hashes are stored."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update

from integrator.store.errors import AlreadyExists, NotFound
from integrator.store.merchants import Merchants, merchant_from_row
from integrator.store.models import ApiToken, Merchant
from integrator.store.repository import Repository, shielded_write
from integrator.store.session import Session
from integrator.store.tables import api_tokens, merchants

VALID_TOKEN = and_(
    api_tokens.c.token_sha256 == bindparam("digest"),
    api_tokens.c.revoked_at.is_(None),
    or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > bindparam("now")),
)
"""Matches one valid token; `token_parameters` returns the parameters."""
_MERCHANT_BY_TOKEN = (
    select(merchants, api_tokens.c.token_sha256).join(api_tokens).where(VALID_TOKEN)
)


class ApiTokens(Repository):
    """A merchant may have several valid tokens, so that one can be replaced without downtime."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._merchants = Merchants(session)

    async def find_merchant(self, token: str) -> Merchant | None:
        """Return the merchant of a bearer token; None when it is unknown, revoked or expired."""
        async with self._session.read_connection() as connection:
            result = await connection.execute(_MERCHANT_BY_TOKEN, token_parameters(token))
            row = result.mappings().one_or_none()
        if row is None or not matches_hash(row["token_sha256"], token):
            return None
        return merchant_from_row(row)

    @shielded_write
    async def issue(
        self,
        merchant_id: str,
        label: str,
        *,
        token: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Create a bearer token, or store the given one, and return it; only its hash is stored.

        Storing the merchant's own valid token again changes nothing. Raises `AlreadyExists` when
        the token was revoked or belongs to another merchant, `NotFound` for an unknown merchant.
        """
        token = token if token is not None else f"itk_{secrets.token_urlsafe(32)}"
        if not token:
            raise ValueError("the token is empty")
        row = {
            "id": secrets.token_hex(12),
            "merchant_id": merchant_id,
            "token_sha256": _digest(token),
            "label": label,
            "created_at": _now(),
            "expires_at": expires_at,
        }
        if await self._merchants.get(merchant_id) is None:
            raise NotFound(f"no merchant {merchant_id}")
        async with self._session.write_transaction() as connection:
            statement = self._session.insert(api_tokens).values(row).on_conflict_do_nothing()
            created = (await connection.execute(statement)).rowcount == 1
        if not created:
            existing = await self.find_merchant(token)
            if existing is None or existing.id != merchant_id:
                raise AlreadyExists("the token is revoked or belongs to another merchant")
        return token

    @shielded_write
    async def revoke(self, merchant_id: str, token_id: str) -> bool:
        """Revoke a token; return False when the merchant has no such valid token."""
        statement = (
            update(api_tokens)
            .where(
                api_tokens.c.id == token_id,
                api_tokens.c.merchant_id == merchant_id,
                api_tokens.c.revoked_at.is_(None),
            )
            .values(revoked_at=_now())
        )
        async with self._session.write_transaction() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def list_by_merchant(self, merchant_id: str) -> list[ApiToken]:
        """List the merchant's tokens, including revoked ones, oldest first."""
        statement = (
            select(api_tokens)
            .where(api_tokens.c.merchant_id == merchant_id)
            .order_by(api_tokens.c.created_at, api_tokens.c.id)
        )
        async with self._session.read_connection() as connection:
            rows = (await connection.execute(statement)).mappings()
            return [
                ApiToken(**{key: row[key] for key in row if key != "token_sha256"}) for row in rows
            ]

    @shielded_write
    async def record_use(self, last_used: Mapping[str, datetime]) -> None:
        """Record when each token (by id) was last used; an older time changes nothing."""
        async with self._session.write_transaction() as connection:
            for id, at in last_used.items():
                older = or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < at)
                statement = update(api_tokens).where(api_tokens.c.id == id, older)
                await connection.execute(statement.values(last_used_at=at))


def token_parameters(token: str) -> dict[str, Any]:
    """Return the parameters of `VALID_TOKEN`."""
    return {"digest": _digest(token), "now": _now()}


def matches_hash(stored_hash: str, token: str) -> bool:
    """Return whether the stored hash is the token's; compared in constant time."""
    return hmac.compare_digest(stored_hash, _digest(token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
