"""Keeping records in the database and showing them to the outside."""

from dataclasses import dataclass
from typing import Any, TypeVar

from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.errors import not_found
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    CheckoutSession,
    Mandate,
    PaymentMethod,
    Record,
    Refund,
)

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Span:
    """Records created from one moment until before another, behind the place `after`."""

    created_from: str
    created_to: str
    after: int
    limit: int


def save(db: Database, record: Record) -> None:
    """Insert or replace by id."""
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
    """The record with this id, whoever owns it; PspError 404 if there is none of that kind."""
    row = db.one("SELECT body FROM objects WHERE id = ? AND kind = ?", id, cls.kind)
    if row is None:
        raise not_found(cls.kind, id)
    return cls.model_validate_json(row["body"])


def owned(db: Database, cls: type[R], account: str, id: str) -> R:
    """The account's record with this id; PspError 404 also for somebody else's."""
    record = get(db, cls, id)
    if record.account != account:
        raise not_found(cls.kind, id)
    return record


def by_reference(db: Database, cls: type[R], reference: str, account: str | None = None) -> list[R]:
    """Records made with a reference, oldest first; of every account when none is named."""
    rows = db.all(
        "SELECT body FROM objects WHERE reference = ? AND kind = ?"
        " AND account = coalesce(?, account) ORDER BY number",
        reference,
        cls.kind,
        account,
    )
    return [cls.model_validate_json(row["body"]) for row in rows]


def window(
    db: Database,
    cls: type[R],
    account: str,
    span: Span,
) -> dict[str, Any]:
    """A page of the account's records of a span of time, oldest first, as the API answers it."""
    rows = db.all(
        "SELECT number, body FROM objects WHERE account = ? AND kind = ? AND number > ?"
        " AND json_extract(body, '$.created_at') >= ? AND json_extract(body, '$.created_at') < ?"
        " ORDER BY number LIMIT ?",
        account,
        cls.kind,
        span.after,
        span.created_from,
        span.created_to,
        span.limit + 1,
    )
    shown = rows[: span.limit]
    return {
        "data": [show(db, cls.model_validate_json(row["body"])) for row in shown],
        "next": str(shown[-1]["number"]) if shown else None,
        "has_more": len(rows) > span.limit,
    }


def refunds_of(db: Database, charge: Charge) -> list[Refund]:
    """The charge's refunds, failed ones included."""
    rows = db.all("SELECT body FROM objects WHERE parent = ? AND kind = 'refund'", charge.id)
    return [Refund.model_validate_json(row["body"]) for row in rows]


def method(db: Database, account: str, id: str) -> PaymentMethod:
    """A stored card or a mandate in the shape of a payment method."""
    row = db.one("SELECT kind FROM objects WHERE id = ?", id)
    if row is not None and row["kind"] == Mandate.kind:
        return owned(db, Mandate, account, id).as_method()
    return owned(db, PaymentMethod, account, id)


def show(db: Database, record: Record) -> dict[str, Any]:
    """The record as the API answers it, related objects included in full."""
    shown = record.plain()
    if isinstance(record, Authorization):
        shown["payment_method"] = method(db, record.account, record.payment_method).plain()
    if isinstance(record, CheckoutSession):
        if record.authorization is not None:
            authorization = get(db, Authorization, record.authorization)
            shown["authorization"] = show(db, authorization)
        if record.payment_method is not None:
            stored = method(db, record.account, record.payment_method)
            shown["payment_method"] = stored.plain()
    return shown
