"""Who calls, and the transaction it asks about: one question, because every request asks it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, RowMapping, Select, and_, bindparam, select

from integrator.store.api_tokens import VALID_TOKEN, ApiTokens, is_hash_of, named_token
from integrator.store.data_keys import KEY_COLUMNS, its_key
from integrator.store.merchants import merchant_of
from integrator.store.models import Caller, RequestedTransaction
from integrator.store.oauth_clients import CLIENT_ID, VALID_CLIENT, OAuthClients
from integrator.store.tables import (
    agreements,
    api_tokens,
    data_keys,
    merchants,
    oauth_clients,
    transactions,
)
from integrator.store.transaction_reads import COLUMNS, ITS_AGREEMENT, TransactionReads

_MARK = "caller_"
"""What the merchant's columns begin with: a transaction has some of the same names."""

_Statements = tuple[Select[Any], Select[Any]]

_ASKED = and_(
    transactions.c.merchant_id == merchants.c.id,
    transactions.c.transaction_id == bindparam("asked"),
)


class CredentialLookup(TransactionReads, ApiTokens, OAuthClients):
    """Merchants by what they prove themselves with; None when it is unknown, revoked or expired.

    With `asked_id` the merchant's transaction of that id comes along.
    """

    async def caller_by_token(self, token: str, asked_id: str | None = None) -> Caller | None:
        """Whose bearer token it is."""
        row = await self._calling(_BY_TOKEN, named_token(token), asked_id)
        if row is None or not is_hash_of(row["secret"], token):
            return None
        return self._caller(row)

    async def caller_by_client(self, client_id: str, asked_id: str | None = None) -> Caller | None:
        """Whose OAuth client it is."""
        if not CLIENT_ID.fullmatch(client_id):
            return None
        row = await self._calling(_BY_CLIENT, {"client": client_id}, asked_id)
        return self._caller(row) if row is not None else None

    async def _calling(
        self, statements: _Statements, wanted: Mapping[str, Any], asked_id: str | None
    ) -> RowMapping | None:
        alone, asking = statements
        statement, named = (alone, {}) if asked_id is None else (asking, {"asked": asked_id})
        async with self._reading() as connection:
            found = await connection.execute(statement, {**wanted, **named})
            return found.mappings().one_or_none()

    def _caller(self, row: RowMapping) -> Caller:
        values: dict[str, Any] = {name: row[name] for name in row}
        merchant = {column.name: values.pop(_MARK + column.name) for column in merchants.c}
        proof = values.pop("proof")
        del values["secret"]
        return Caller(merchant_of(merchant), proof, self._asked(values))

    def _asked(self, found: dict[str, Any]) -> RequestedTransaction | None:
        if found.get("transaction_id") is None:
            return None
        return RequestedTransaction(self._transaction_row(found), self._open_instrument(found))


def _statements(secret: Column[str], valid: ColumnElement[bool]) -> _Statements:
    """Built once: without a transaction, and with one."""
    proofs = secret.table
    who = [column.label(_MARK + column.name) for column in merchants.c]
    who += [proofs.c.id.label("proof"), secret.label("secret")]
    calling = merchants.join(proofs, proofs.c.merchant_id == merchants.c.id)
    asking = (
        calling.outerjoin(transactions, _ASKED)
        .outerjoin(data_keys, its_key(transactions))
        .outerjoin(agreements, ITS_AGREEMENT)
    )
    asked = (*COLUMNS, agreements.c.instrument, *KEY_COLUMNS)
    return (
        select(*who).select_from(calling).where(valid),
        select(*who, *asked).select_from(asking).where(valid),
    )


_BY_TOKEN = _statements(api_tokens.c.token_sha256, VALID_TOKEN)
_BY_CLIENT = _statements(oauth_clients.c.secret_sha256, VALID_CLIENT)
