"""Lists: newest first, `after` leads to older entries, `before` to newer ones."""

from datetime import datetime
from typing import Any

from fastapi import Request

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import iso, ms
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.emulators.gocardless.errors import Refusal
from devtools.sandbox_psp.emulators.gocardless.serializers import Shown, show
from devtools.sandbox_psp.repository import R

_PLACE = {
    "<": "number < (SELECT number FROM objects WHERE id = ?)",
    ">": "number > (SELECT number FROM objects WHERE id = ?)",
}
_COMPARISONS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(
    db: Database, cls: type[R], account: str, request: Request, filters: dict[str, str]
) -> dict[str, Any]:
    """A page of records; `filters` are query parameters and the members of a record they bound."""
    conditions, values = conditions_of(request, filters, "body")
    limit = limit_of(request)
    newer = request.query_params.get("before")
    place = newer or request.query_params.get("after")
    sign, order = (">", "ASC") if newer else ("<", "DESC")
    if place is not None:
        conditions.append(_PLACE[sign])
        values.append(place)
    where = " AND ".join(["account = ?", "kind = ?", *conditions])
    rows = db.all(
        f"SELECT id, body FROM objects WHERE {where} ORDER BY number {order} LIMIT ?",  # noqa: S608 - built of constants above
        account,
        cls.kind,
        *values,
        limit + 1,
    )
    shown = rows[:limit] if order == "DESC" else rows[:limit][::-1]
    items = [show(db, cls.model_validate_json(row["body"])) for row in shown]
    more = len(rows) > limit
    return listed(items, limit, after=shown[-1]["id"] if more and order == "DESC" else None)


def listed(items: list[Shown], limit: int, after: str | None) -> dict[str, Any]:
    """The items with the cursors around them; the caller names the envelope."""
    cursors = {"before": items[0]["id"] if items else None, "after": after}
    return {"items": items, "meta": {"cursors": cursors, "limit": limit}}


def limit_of(request: Request) -> int:
    """How many entries are wanted, 50 unless said otherwise; at most 500."""
    wanted = request.query_params.get("limit", "50")
    if not wanted.isdigit() or not 1 <= int(wanted) <= 500:
        raise Refusal(
            400, "invalid_api_usage", "limit must be from 1 to 500.", reason="invalid_filters"
        )
    return int(wanted)


def conditions_of(
    request: Request, filters: dict[str, str], column: str
) -> tuple[list[str], list[str]]:
    """SQL for the query's filters and its bounds of `created_at`, with the values."""
    conditions, values = [], []
    for name, member in filters.items():
        if name in request.query_params:
            conditions.append(f"json_extract({column}, '$.{member}') = ?")
            values.append(request.query_params[name])
    for name, sign in _COMPARISONS.items():
        wanted = request.query_params.get(f"created_at[{name}]")
        if wanted is not None:
            conditions.append(f"json_extract({column}, '$.created_at') {sign} ?")
            values.append(_moment(wanted))
    return conditions, values


def one(db: Database, cls: type[R], account: str, id: str) -> Shown:
    """One of the account's objects."""
    return show(db, repository.owned(db, cls, account, id))


def _moment(text: str) -> str:
    try:
        return iso(ms(datetime.fromisoformat(text)))
    except (ValueError, TypeError):
        raise Refusal(
            400, "invalid_api_usage", "created_at is no time.", reason="invalid_filters"
        ) from None
