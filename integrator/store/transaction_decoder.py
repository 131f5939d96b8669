"""Statements that select transactions, and the decryption of the rows they return."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, and_, bindparam, select

from integrator.store.agreements import instrument_context
from integrator.store.data_keys import KEY_COLUMNS, DataKeys, data_key_join
from integrator.store.errors import NotFound
from integrator.store.models import TransactionRow
from integrator.store.session import Session
from integrator.store.tables import agreements, data_keys, transactions

# The request and the webhook target are rarely needed, and large: they are read separately.
COLUMNS = [c for c in transactions.c if c.name not in ("request", "webhook_target")]
AGREEMENT_JOIN = and_(
    agreements.c.merchant_id == transactions.c.merchant_id,
    agreements.c.agreement_id == transactions.c.agreement_id,
)
"""Join condition of transactions and their agreements."""
WITH_DATA_KEY = transactions.outerjoin(data_keys, data_key_join(transactions))
"""Transactions with the data keys of their agreements."""

SELECT_TRANSACTION = select(*COLUMNS, *KEY_COLUMNS).select_from(WITH_DATA_KEY)
"""Selects all columns of a `TransactionRow`."""
NEWEST_FIRST = (transactions.c.created_at.desc(), transactions.c.transaction_id.desc())
_HIDDEN_COLUMNS = ("wrapped", "erased_at", "sealed_snapshot", "request", "instrument")

# Statements of every request are built once: building one and finding its compiled form costs as
# much as running it.
BY_KEY = and_(
    transactions.c.merchant_id == bindparam("merchant"),
    transactions.c.transaction_id == bindparam("transaction"),
)
"""Matches one transaction; `key_parameters` returns the parameters."""


class TransactionDecoder:
    """Decrypts rows that were read with `KEY_COLUMNS`."""

    def __init__(self, session: Session) -> None:
        self._cipher = session.cipher
        self._data_keys = DataKeys(session)

    def transaction(self, row: Mapping[Any, Any]) -> TransactionRow:
        """Build a transaction from a row with `COLUMNS`."""
        key = (row["merchant_id"], row["transaction_id"])
        values = {name: row[name] for name in row if name not in _HIDDEN_COLUMNS}
        context = column_context("private", *key)
        values["private"] = self._data_keys.decrypt_column(row, "private", context)
        values["erased"] = row["erased_at"] is not None
        snapshot = row["sealed_snapshot"]
        if snapshot is not None:
            context = column_context("sealed_snapshot", *key)
            values["snapshot"] = self._cipher.decrypt(snapshot, *context).decode()
        return TransactionRow(**values)

    def request(self, row: Mapping[Any, Any]) -> dict[str, Any] | None:
        """Decrypt the request of a transaction; None once it was erased."""
        context = column_context("request", row["merchant_id"], row["transaction_id"])
        return self._data_keys.decrypt_column(row, "request", context)

    def instrument(self, row: Mapping[Any, Any]) -> dict[str, Any] | None:
        """Decrypt the instrument of a row that was read with its agreement."""
        context = instrument_context(row["merchant_id"], row["agreement_id"])
        return self._data_keys.decrypt_column(row, "instrument", context)


def key_parameters(merchant_id: str, transaction_id: str) -> dict[str, Any]:
    """Return the parameters of `BY_KEY`."""
    return {"merchant": merchant_id, "transaction": transaction_id}


def column_context(column: str, merchant_id: str, transaction_id: str) -> tuple[str, ...]:
    """Return the associated data of an encrypted column of a transaction."""
    return ("transactions", column, merchant_id, transaction_id)


def transaction_not_found(merchant_id: str, transaction_id: str) -> NotFound:
    return NotFound(f"no transaction {transaction_id} of merchant {merchant_id}")


def is_transaction(merchant_id: str, transaction_id: str) -> ColumnElement[bool]:
    """Match one transaction, in a statement that is built for it."""
    return and_(
        transactions.c.merchant_id == merchant_id, transactions.c.transaction_id == transaction_id
    )
