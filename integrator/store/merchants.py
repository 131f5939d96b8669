"""Merchants and their PSP settings."""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import (
    ColumnElement,
    RowMapping,
    and_,
    bindparam,
    exists,
    func,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.store.errors import AlreadyExists, NotFound
from integrator.store.models import Merchant
from integrator.store.repository import Repository, shielded_write
from integrator.store.tables import UNDECIDED, merchants, psp_settings, transactions

LONGEST_CHARGEBACK_WINDOW = timedelta(days=400)
"""For so long after its last change a payment may be charged back or refunded."""

# It is a part of workflow ids and of URLs.
_MERCHANT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


# Built once: every payment runs it.
_SELECT_SETTINGS_VERSIONS = (
    select(psp_settings)
    .where(psp_settings.c.merchant_id == bindparam("merchant"))
    .order_by(psp_settings.c.version.desc())
)


class Merchants(Repository):
    """Merchants, each with one PSP and its versioned settings."""

    @shielded_write
    async def add(self, id: str, psp: str) -> Merchant:
        """Create a merchant with a random PSP settings id of 24 hex digits.

        `id`: 1 to 63 lower-case letters, digits, `-` or `_`, else `ValueError`. An existing id
        raises `AlreadyExists`.
        """
        if not _MERCHANT_ID.fullmatch(id):
            raise ValueError(f"not a merchant id: {id!r}")
        merchant = Merchant(id, psp, secrets.token_hex(12), _now())
        row = {name: value for name, value in vars(merchant).items() if name != "webhook_hosts"}
        async with self._session.write_transaction() as connection:
            statement = self._session.insert(merchants).values(row).on_conflict_do_nothing()
            if (await connection.execute(statement)).rowcount == 0:
                raise AlreadyExists(f"merchant {id} exists")
        return merchant

    async def get(self, id: str) -> Merchant | None:
        """Return a merchant."""
        return await self._find(merchants.c.id == id)

    async def list_all(self) -> list[Merchant]:
        """List all merchants, ordered by id."""
        async with self._session.read_connection() as connection:
            result = await connection.execute(select(merchants).order_by(merchants.c.id))
            return [merchant_from_row(row) for row in result.mappings()]

    async def find_by_settings_id(self, psp: str, psp_settings_id: str) -> Merchant | None:
        """Return the merchant with the PSP and settings id of a notification route."""
        return await self._find(
            merchants.c.psp == psp, merchants.c.psp_settings_id == psp_settings_id
        )

    @shielded_write
    async def set_webhook_hosts(self, merchant_id: str, hosts: Sequence[str]) -> None:
        """Replace the hosts for the merchant's change webhooks; empty: the hosts allowed for all.

        Raises `NotFound`.
        """
        statement = (
            update(merchants)
            .where(merchants.c.id == merchant_id)
            .values(webhook_hosts=",".join(sorted(set(hosts))) or None)
        )
        async with self._session.write_transaction() as connection:
            if (await connection.execute(statement)).rowcount == 0:
                raise NotFound(f"no merchant {merchant_id}")

    @shielded_write
    async def save_settings(
        self, merchant_id: str, values: Mapping[str, str], account: str | None = None
    ) -> int:
        """Store the merchant's PSP settings as a new version and return its number, from 1.

        `account` is the PSP's id of the account. Earlier versions are kept. Raises
        `NotFound` for an unknown merchant.
        """
        async with self._session.write_transaction() as connection:
            # Locked, so that two writers cannot choose the same version on PostgreSQL.
            current = select(merchants.c.psp_settings_id).where(merchants.c.id == merchant_id)
            settings_id = await connection.scalar(current.with_for_update())
            if settings_id is None:
                raise NotFound(f"no merchant {merchant_id}")
            latest = await connection.scalar(
                select(func.max(psp_settings.c.version)).where(
                    psp_settings.c.psp_settings_id == settings_id
                )
            )
            version: int = (latest or 0) + 1
            context = _settings_context(settings_id, version)
            await connection.execute(
                self._session.insert(psp_settings).values(
                    psp_settings_id=settings_id,
                    version=version,
                    merchant_id=merchant_id,
                    account=account,
                    sealed_values=self._cipher.encrypt_json(values, *context),
                    created_at=_now(),
                )
            )
        return version

    async def get_settings(
        self, merchant_id: str, begun_at: datetime | None = None
    ) -> dict[str, str] | None:
        """Return the latest PSP settings of the merchant, None when there are none.

        With `begun_at` the latest for the account that was in use then: an operation begun on one
        account of a PSP must not be repeated on another.
        """
        async with self._session.read_connection() as connection:
            return await self.read_settings(connection, merchant_id, begun_at)

    async def list_former_settings(self, merchant_id: str) -> list[dict[str, str]]:
        """List the latest settings of each account used before, as long as its money is open.

        Money is open while a transaction begun on the account is undecided, or may still be
        refunded or charged back. The account in use now is not among them.
        """
        async with self._session.read_connection() as connection:
            result = await connection.execute(_SELECT_SETTINGS_VERSIONS, {"merchant": merchant_id})
            rows = result.mappings().all()
            former = [
                row
                for row, end in _former_accounts(rows)
                if await self._has_open_money(connection, merchant_id, begun_before=end)
            ]
        return [
            self._cipher.decrypt_json(
                row["sealed_values"], *_settings_context(row["psp_settings_id"], row["version"])
            )
            for row in former
        ]

    async def _has_open_money(
        self, connection: AsyncConnection, merchant_id: str, *, begun_before: datetime
    ) -> bool:
        open_until = _now() - LONGEST_CHARGEBACK_WINDOW
        statement = select(
            exists().where(
                transactions.c.merchant_id == merchant_id,
                transactions.c.created_at < begun_before,
                or_(
                    text(UNDECIDED),
                    and_(
                        transactions.c.status == "Succeeded", transactions.c.updated_at > open_until
                    ),
                ),
            )
        )
        return bool(await connection.scalar(statement))

    async def read_settings(
        self, connection: AsyncConnection, merchant_id: str, begun_at: datetime | None = None
    ) -> dict[str, str] | None:
        """Return what `get_settings` does, read on this connection."""
        result = await connection.execute(_SELECT_SETTINGS_VERSIONS, {"merchant": merchant_id})
        rows = result.mappings().all()
        if not rows:
            return None
        row = rows[0] if begun_at is None else _settings_for_account(rows, begun_at)
        context = _settings_context(row["psp_settings_id"], row["version"])
        return self._cipher.decrypt_json(row["sealed_values"], *context)

    async def _find(self, *conditions: ColumnElement[bool]) -> Merchant | None:
        async with self._session.read_connection() as connection:
            result = await connection.execute(select(merchants).where(*conditions))
            row = result.mappings().one_or_none()
        return merchant_from_row(row) if row is not None else None


def _settings_for_account(rows: Sequence[RowMapping], begun_at: datetime) -> RowMapping:
    """Return the newest of `rows` (newest first) with the account in use at `begun_at`."""
    in_use = next((row for row in rows if row["created_at"] <= begun_at), rows[-1])
    if in_use["account"] is None:
        return rows[0]
    return next(row for row in rows if row["account"] == in_use["account"])


def _former_accounts(rows: Sequence[RowMapping]) -> Iterator[tuple[RowMapping, datetime]]:
    """Yield the newest of `rows` (newest first) of each other account, and when its use ended."""
    known = {rows[0]["account"], None} if rows else set()
    for later, row in pairwise(rows):
        if row["account"] not in known:
            known.add(row["account"])
            yield row, later["created_at"]


def merchant_from_row(row: Mapping[Any, Any]) -> Merchant:
    """Build a merchant from a row with all its columns."""
    hosts = tuple((row["webhook_hosts"] or "").split(",")) if row["webhook_hosts"] else ()
    return Merchant(row["id"], row["psp"], row["psp_settings_id"], row["created_at"], hosts)


def _settings_context(psp_settings_id: str, version: int) -> tuple[str | int, ...]:
    return ("psp_settings", "sealed_values", psp_settings_id, version)


def _now() -> datetime:
    return datetime.now(UTC)
