"""Access tokens of OAuth clients: JWTs (RFC 7519, profile RFC 9068) valid for 15 minutes.

PyJWT issues and verifies them: it is the most widely used library for this, typed, and has no
dependencies. The keys are derived from the key ring; a key that was replaced there still verifies.
"""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import jwt

from integrator.crypto.keys import KeyRing

TOKEN_LIFETIME = timedelta(minutes=15)

_ALGORITHM = "HS256"
_TYPE = "at+jwt"
_PURPOSE = "integrator: signing of OAuth access tokens"
_CLOCK_SKEW = timedelta(seconds=10)
_CLAIMS = ["iss", "aud", "sub", "client_id", "iat", "exp", "jti"]


class AccessTokens:
    """Issues and verifies access tokens; the store decides whether the client is still valid."""

    def __init__(self, keys: KeyRing, public_url: str) -> None:
        self._keys = keys.derive(_PURPOSE)
        self._active = next(iter(self._keys))
        self._issuer = public_url
        self._audience = f"{public_url}/api"

    def issue(self, client_id: str, now: datetime | None = None) -> str:
        """Return a token for the client, valid from `now` for `TOKEN_LIFETIME`."""
        issued_at = now or datetime.now(UTC)
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": client_id,
            "client_id": client_id,
            "iat": issued_at,
            "exp": issued_at + TOKEN_LIFETIME,
            "jti": uuid4().hex,
        }
        headers = {"kid": self._active, "typ": _TYPE}
        return jwt.encode(claims, self._keys[self._active], _ALGORITHM, headers)

    def verify(self, token: str) -> str | None:
        """Return the id of the token's client, None for a foreign, altered or expired token."""
        if token.count(".") != 2:
            return None
        try:
            header = jwt.get_unverified_header(token)
            key = self._keys.get(str(header.get("kid")))
            if key is None or header.get("typ") != _TYPE:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                leeway=_CLOCK_SKEW,
                options={"require": _CLAIMS},
            )
        except (jwt.InvalidTokenError, RecursionError):  # RecursionError: nested too deeply
            return None
        return str(claims["sub"])
