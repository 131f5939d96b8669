"""Bearer tokens of the API: only their hashes are kept."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, bindparam, or_, select, update

from integrator.store.errors import AlreadyExists, NotFound
from integrator.store.merchants import Merchants, merchant_of
from integrator.store.models import ApiToken, Merchant
from integrator.store.session import shielded_write
from integrator.store.tables import api_tokens, merchants

VALID_TOKEN = and_(
    api_tokens.c.token_sha256 == bindparam("digest"),
    api_tokens.c.revoked_at.is_(None),
    or_(api_tokens.c.expires_at.is_(None), api_tokens.c.expires_at > bindparam("now")),
)
"""The token that the parameters name, if it is valid; `named_token` makes them."""
_OWNER = select(merchants, api_tokens.c.token_sha256).join(api_tokens).where(VALID_TOKEN)


class ApiTokens(Merchants):
    """A merchant may have several valid tokens, so that one can replace another in peace."""

    async def merchant_by_token(self, token: str) -> Merchant | None:
        """The merchant a bearer token belongs to; None when it is unknown, revoked or expired."""
        async with self._reading() as connection:
            found = await connection.execute(_OWNER, named_token(token))
            row = found.mappings().one_or_none()
        if row is None or not is_hash_of(row["token_sha256"], token):
            return None
        return merchant_of(row)

    @shielded_write
    async def issue_token(
        self,
        merchant_id: str,
        label: str,
        *,
        token: str | None = None,
        expires_at: datetime | None = None,
    ) -> str:
        """Create a bearer token, or store the given one, and return it; only its hash is kept.

        Giving the merchant's own valid token again changes nothing. Raises `AlreadyExists` when
        the token was revoked or belongs to another merchant, `NotFound` for an unknown merchant.
        """
        token = token if token is not None else f"itk_{secrets.token_urlsafe(32)}"
        if not token:
            raise ValueError("an empty token")
        row = {
            "id": secrets.token_hex(12),
            "merchant_id": merchant_id,
            "token_sha256": _digest(token),
            "label": label,
            "created_at": _now(),
            "expires_at": expires_at,
        }
        if await self.merchant(merchant_id) is None:
            raise NotFound(f"no merchant {merchant_id}")
        async with self._writing() as connection:
            statement = self._insert(api_tokens).values(row).on_conflict_do_nothing()
            created = (await connection.execute(statement)).rowcount == 1
        if not created:
            owner = await self.merchant_by_token(token)
            if owner is None or owner.id != merchant_id:
                raise AlreadyExists("this token is revoked or not this merchant's")
        return token

    @shielded_write
    async def revoke_token(self, merchant_id: str, token_id: str) -> bool:
        """End a token's validity; False when there is no such valid token of the merchant."""
        statement = (
            update(api_tokens)
            .where(
                api_tokens.c.id == token_id,
                api_tokens.c.merchant_id == merchant_id,
                api_tokens.c.revoked_at.is_(None),
            )
            .values(revoked_at=_now())
        )
        async with self._writing() as connection:
            return (await connection.execute(statement)).rowcount == 1

    async def tokens(self, merchant_id: str) -> list[ApiToken]:
        """The merchant's tokens, revoked ones included, oldest first."""
        statement = (
            select(api_tokens)
            .where(api_tokens.c.merchant_id == merchant_id)
            .order_by(api_tokens.c.created_at, api_tokens.c.id)
        )
        async with self._reading() as connection:
            found = (await connection.execute(statement)).mappings()
            return [
                ApiToken(**{key: row[key] for key in row if key != "token_sha256"}) for row in found
            ]

    @shielded_write
    async def record_token_use(self, last_used: Mapping[str, datetime]) -> None:
        """Keep when each of these tokens (by id) was last used; an older time changes nothing."""
        async with self._writing() as connection:
            for id, at in last_used.items():
                unused = or_(api_tokens.c.last_used_at.is_(None), api_tokens.c.last_used_at < at)
                statement = update(api_tokens).where(api_tokens.c.id == id, unused)
                await connection.execute(statement.values(last_used_at=at))


def named_token(token: str) -> dict[str, Any]:
    """The parameters of `VALID_TOKEN`."""
    return {"digest": _digest(token), "now": _now()}


def is_hash_of(kept: str, token: str) -> bool:
    """Whether the hash that is kept is the token's; compared in constant time."""
    return hmac.compare_digest(kept, _digest(token))


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)
