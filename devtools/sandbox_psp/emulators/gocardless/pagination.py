"""Paged lists: newest first, `after` leads to older entries, `before` to newer ones."""

from datetime import datetime
from typing import Any

from fastapi import Request

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import to_iso, to_ms
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.emulators.gocardless.errors import GoCardlessError
from devtools.sandbox_psp.emulators.gocardless.serializers import Json, serialize
from devtools.sandbox_psp.repository import R

_CURSOR_CONDITIONS = {
    "<": "number < (SELECT number FROM objects WHERE id = ?)",
    ">": "number > (SELECT number FROM objects WHERE id = ?)",
}
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def list_page(
    db: Database, cls: type[R], account: str, request: Request, filters: dict[str, str]
) -> dict[str, Any]:
    """Return a page of records; `filters` maps query parameters to members of the record."""
    conditions, values = build_conditions(request, filters, "body")
    limit = parse_limit(request)
    before = request.query_params.get("before")
    cursor = before or request.query_params.get("after")
    comparison, order = (">", "ASC") if before else ("<", "DESC")
    if cursor is not None:
        conditions.append(_CURSOR_CONDITIONS[comparison])
        values.append(cursor)
    condition = " AND ".join(["account = ?", "kind = ?", *conditions])
    rows = db.all(
        f"SELECT id, body FROM objects WHERE {condition} ORDER BY number {order} LIMIT ?",  # noqa: S608 - built of constants above
        account,
        cls.kind,
        *values,
        limit + 1,
    )
    page_rows = rows[:limit] if order == "DESC" else rows[:limit][::-1]
    items = [serialize(db, cls.model_validate_json(row["body"])) for row in page_rows]
    has_more = len(rows) > limit
    return build_page(
        items, limit, after=page_rows[-1]["id"] if has_more and order == "DESC" else None
    )


def build_page(items: list[Json], limit: int, after: str | None) -> dict[str, Any]:
    """Return the items with their cursors; the caller adds the envelope."""
    cursors = {"before": items[0]["id"] if items else None, "after": after}
    return {"items": items, "meta": {"cursors": cursors, "limit": limit}}


def parse_limit(request: Request) -> int:
    """Return the requested number of entries: 50 by default, at most 500."""
    text = request.query_params.get("limit", "50")
    if not text.isdigit() or not 1 <= int(text) <= 500:
        raise GoCardlessError(
            400, "invalid_api_usage", "limit must be from 1 to 500.", reason="invalid_filters"
        )
    return int(text)


def build_conditions(
    request: Request, filters: dict[str, str], column: str
) -> tuple[list[str], list[str]]:
    """Return SQL conditions for the filters and the bounds of `created_at`, with their values."""
    conditions, values = [], []
    for name, member in filters.items():
        if name in request.query_params:
            conditions.append(f"json_extract({column}, '$.{member}') = ?")
            values.append(request.query_params[name])
    for name, sign in _COMPARISONS.items():
        text = request.query_params.get(f"created_at[{name}]")
        if text is not None:
            conditions.append(f"json_extract({column}, '$.created_at') {sign} ?")
            values.append(_parse_time(text))
    return conditions, values


def get_one(db: Database, cls: type[R], account: str, id: str) -> Json:
    """Return one of the account's objects."""
    return serialize(db, repository.get_owned(db, cls, account, id))


def _parse_time(text: str) -> str:
    try:
        return to_iso(to_ms(datetime.fromisoformat(text)))
    except (ValueError, TypeError):
        raise GoCardlessError(
            400, "invalid_api_usage", "created_at is not a time.", reason="invalid_filters"
        ) from None
