"""Replay of responses: repeating an account's `Idempotency-Key` returns the first response."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from devtools.sandbox_psp.clock import now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import PspError


@dataclass(frozen=True)
class ApiResponse:
    """A complete response: status, JSON bytes, extra headers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


def json_response(status: int, body: dict[str, Any]) -> ApiResponse:
    """Return a response with this JSON object."""
    return ApiResponse(status, json.dumps(body, ensure_ascii=False).encode())


def fingerprint(path: str, body: bytes) -> str:
    """Return the hash of the path and the JSON value; equal requests have the same."""
    canonical = json.dumps(json.loads(body or b"null"), sort_keys=True)
    return hashlib.sha256(f"{path}\n{canonical}".encode()).hexdigest()


def find_response(
    ctx: Context, account: str, key: str, fingerprint_text: str
) -> ApiResponse | None:
    """Return the stored response; PspError 409 if another or a running request uses the key.

    A response older than `key_seconds` is forgotten: the next request with its key is a new one.
    """
    row = ctx.db.one("SELECT * FROM answers WHERE account = ? AND key = ?", account, key)
    if row is not None and row["at"] > now_ms() - ctx.settings.key_seconds * 1000:
        if row["fingerprint"] != fingerprint_text:
            message = "This Idempotency-Key was used with another path or body."
            raise PspError(409, "conflict", "idempotency_key_reused", message)
        return ApiResponse(row["status"], row["body"], {"Idempotent-Replayed": "true"})
    if (account, key) in ctx.in_flight:
        message = "The first request with this Idempotency-Key is still running."
        raise PspError(409, "conflict", "idempotency_key_in_use", message, retry_after=1)
    return None


def store_response(
    ctx: Context, account: str, key: str, fingerprint_text: str, response: ApiResponse
) -> None:
    """Store a response; call it in the transaction that books what the response reports."""
    ctx.db.execute(
        "INSERT OR REPLACE INTO answers (account, key, fingerprint, status, body, at)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        account,
        key,
        fingerprint_text,
        response.status,
        response.body,
        now_ms(),
    )


def forget_responses(ctx: Context, prefix: str) -> int:
    """Delete the responses stored for keys that begin with `prefix`; return their number."""
    deleted = ctx.db.execute("DELETE FROM answers WHERE substr(key, 1, length(?1)) = ?1", prefix)
    return deleted.rowcount
