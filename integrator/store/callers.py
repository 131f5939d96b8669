"""Look up the caller and the requested transaction in one statement, run by every request."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Column, ColumnElement, RowMapping, Select, and_, bindparam, select

from integrator.store.api_tokens import VALID_TOKEN, matches_hash, token_parameters
from integrator.store.data_keys import KEY_COLUMNS, data_key_join
from integrator.store.merchants import merchant_from_row
from integrator.store.models import Caller, RequestedTransaction
from integrator.store.oauth_clients import CLIENT_ID, VALID_CLIENT
from integrator.store.repository import Repository
from integrator.store.session import Session
from integrator.store.tables import (
    agreements,
    api_tokens,
    data_keys,
    merchants,
    oauth_clients,
    transactions,
)
from integrator.store.transaction_decoder import AGREEMENT_JOIN, COLUMNS, TransactionDecoder

_MERCHANT_PREFIX = "caller_"
"""Prefix of the merchant's columns, because a transaction has some of the same names."""

_Statements = tuple[Select[Any], Select[Any]]

_REQUESTED_TRANSACTION = and_(
    transactions.c.merchant_id == merchants.c.id,
    transactions.c.transaction_id == bindparam("requested_id"),
)


class Callers(Repository):
    """Merchants by their credentials; None when these are unknown, revoked or expired.

    With `transaction_id` the result includes the merchant's transaction of that id.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._decoder = TransactionDecoder(session)

    async def find_by_token(self, token: str, transaction_id: str | None = None) -> Caller | None:
        """Return the caller of a bearer token."""
        row = await self._find_row(_BY_TOKEN, token_parameters(token), transaction_id)
        if row is None or not matches_hash(row["secret"], token):
            return None
        return self._caller(row)

    async def find_by_client(
        self, client_id: str, transaction_id: str | None = None
    ) -> Caller | None:
        """Return the caller of an OAuth client."""
        if not CLIENT_ID.fullmatch(client_id):
            return None
        row = await self._find_row(_BY_CLIENT, {"client": client_id}, transaction_id)
        return self._caller(row) if row is not None else None

    async def _find_row(
        self, statements: _Statements, credential: Mapping[str, Any], transaction_id: str | None
    ) -> RowMapping | None:
        without_transaction, with_transaction = statements
        parameters = dict(credential)
        statement = without_transaction
        if transaction_id is not None:
            statement = with_transaction
            parameters["requested_id"] = transaction_id
        async with self._session.read_connection() as connection:
            result = await connection.execute(statement, parameters)
            return result.mappings().one_or_none()

    def _caller(self, row: RowMapping) -> Caller:
        values: dict[str, Any] = {name: row[name] for name in row}
        merchant = {
            column.name: values.pop(_MERCHANT_PREFIX + column.name) for column in merchants.c
        }
        credential_id = values.pop("credential_id")
        del values["secret"]
        return Caller(
            merchant_from_row(merchant), credential_id, self._requested_transaction(values)
        )

    def _requested_transaction(self, row: dict[str, Any]) -> RequestedTransaction | None:
        if row.get("transaction_id") is None:
            return None
        return RequestedTransaction(self._decoder.transaction(row), self._decoder.instrument(row))


def _statements(secret: Column[str], valid: ColumnElement[bool]) -> _Statements:
    """Build the statements without and with a requested transaction, once per process."""
    credentials = secret.table
    caller_columns = [column.label(_MERCHANT_PREFIX + column.name) for column in merchants.c]
    caller_columns += [credentials.c.id.label("credential_id"), secret.label("secret")]
    callers = merchants.join(credentials, credentials.c.merchant_id == merchants.c.id)
    with_transaction = (
        callers.outerjoin(transactions, _REQUESTED_TRANSACTION)
        .outerjoin(data_keys, data_key_join(transactions))
        .outerjoin(agreements, AGREEMENT_JOIN)
    )
    transaction_columns = (*COLUMNS, agreements.c.instrument, *KEY_COLUMNS)
    return (
        select(*caller_columns).select_from(callers).where(valid),
        select(*caller_columns, *transaction_columns).select_from(with_transaction).where(valid),
    )


_BY_TOKEN = _statements(api_tokens.c.token_sha256, VALID_TOKEN)
_BY_CLIENT = _statements(oauth_clients.c.secret_sha256, VALID_CLIENT)
