"""Store and read records in the database."""

from typing import TypeVar

from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.errors import not_found
from devtools.sandbox_psp.models import Charge, Mandate, PaymentMethod, Record, Refund

R = TypeVar("R", bound=Record)


def save(db: Database, record: Record) -> None:
    """Insert the record, or replace the one with its id."""
    parent = None
    if isinstance(record, Refund):
        parent = record.charge
    elif isinstance(record, Charge):
        parent = record.authorization
    db.execute(
        "INSERT INTO objects (id, kind, account, reference, parent, body) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET body = excluded.body",
        record.id,
        record.kind,
        record.account,
        record.reference,
        parent,
        record.model_dump_json(),
    )


def get(db: Database, cls: type[R], id: str) -> R:
    """Return the record with this id of any account; PspError 404 if there is none of that kind."""
    row = db.one("SELECT body FROM objects WHERE id = ? AND kind = ?", id, cls.kind)
    if row is None:
        raise not_found(cls.kind, id)
    return cls.model_validate_json(row["body"])


def get_owned(db: Database, cls: type[R], account: str, id: str) -> R:
    """Return the account's record with this id; PspError 404 also for another account's."""
    record = get(db, cls, id)
    if record.account != account:
        raise not_found(cls.kind, id)
    return record


def find_reference(db: Database, id: str) -> str | None:
    """Return the merchant's reference of the record with this id; None if there is none."""
    row = db.one("SELECT reference FROM objects WHERE id = ?", id)
    return None if row is None else row["reference"]


def list_by_reference(
    db: Database, cls: type[R], reference: str, account: str | None = None
) -> list[R]:
    """Return the records of a reference, oldest first; of every account when none is named."""
    rows = db.all(
        "SELECT body FROM objects WHERE reference = ? AND kind = ?"
        " AND account = coalesce(?, account) ORDER BY number",
        reference,
        cls.kind,
        account,
    )
    return [cls.model_validate_json(row["body"]) for row in rows]


def list_refunds(db: Database, charge: Charge) -> list[Refund]:
    """Return the charge's refunds, failed ones included."""
    rows = db.all("SELECT body FROM objects WHERE parent = ? AND kind = 'refund'", charge.id)
    return [Refund.model_validate_json(row["body"]) for row in rows]


def get_payment_method(db: Database, account: str, id: str) -> PaymentMethod:
    """Return a stored card, or a mandate as a payment method."""
    row = db.one("SELECT kind FROM objects WHERE id = ?", id)
    if row is not None and row["kind"] == Mandate.kind:
        return get_owned(db, Mandate, account, id).as_payment_method()
    return get_owned(db, PaymentMethod, account, id)
