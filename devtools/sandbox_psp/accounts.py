"""Merchant accounts and their bearer API keys."""

import hashlib
import sqlite3
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field

from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.ids import new_id


class AccountRequest(BaseModel):
    """An account to create or update; the key identifies it."""

    api_key: str = Field(min_length=1)
    webhook_secret: str = Field(min_length=1)
    webhook_url: str | None = Field(None, pattern=r"^https?://")
    dialect: str = "sandbox"


class KeyRotation(BaseModel):
    """The key of an account, and the key that replaces it."""

    api_key: str = Field(min_length=1)
    new_api_key: str = Field(min_length=1)


@dataclass(frozen=True)
class Account:
    """A merchant's account."""

    id: str
    webhook_secret: str
    webhook_url: str | None
    emulator: str

    def serialize(self) -> dict[str, Any]:
        """Return the account as the API shows it; of the secret only its hash."""
        digest = hashlib.sha256(self.webhook_secret.encode()).hexdigest()
        return {
            "id": self.id,
            "webhook_url": self.webhook_url,
            "webhook_secret_sha256": digest,
        }


def _from_row(row: sqlite3.Row) -> Account:
    return Account(row["id"], row["webhook_secret"], row["webhook_url"], row["dialect"])


def _hash_key(api_key: str) -> str:
    return hashlib.sha256(api_key.encode()).hexdigest()


def upsert(db: Database, request: AccountRequest) -> Account:
    """Create the account of this key, or change its webhook URL, secret and emulator."""
    db.execute(
        "INSERT INTO accounts (id, key_hash, webhook_secret, webhook_url, dialect)"
        " VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (key_hash) DO UPDATE SET webhook_secret = excluded.webhook_secret,"
        " webhook_url = excluded.webhook_url, dialect = excluded.dialect",
        new_id("acc"),
        _hash_key(request.api_key),
        request.webhook_secret,
        request.webhook_url,
        request.dialect,
    )
    return get_by_key(db, request.api_key)


def rotate_key(db: Database, request: KeyRotation) -> Account:
    """Give an account a new key; the old one is rejected. PspError 401 for an unknown key."""
    account = get_by_key(db, request.api_key)
    db.execute(
        "UPDATE accounts SET key_hash = ? WHERE id = ?", _hash_key(request.new_api_key), account.id
    )
    return account


def get_by_key(db: Database, api_key: str | None) -> Account:
    """Return the account of an API key; PspError 401 for an unknown key."""
    row = db.one("SELECT * FROM accounts WHERE key_hash = ?", _hash_key(api_key or ""))
    if row is None:
        raise PspError(401, "authentication_error", "invalid_api_key", "Unknown API key.")
    return _from_row(row)


def get_by_id(db: Database, id: str) -> Account:
    """Return the account with this id; LookupError if there is none."""
    row = db.one("SELECT * FROM accounts WHERE id = ?", id)
    if row is None:
        raise LookupError(id)
    return _from_row(row)
