"""List records of a time range page by page."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Query
from pydantic import AwareDatetime

from devtools.sandbox_psp.clock import to_iso, to_ms
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.repository import R
from devtools.sandbox_psp.serializers import serialize


@dataclass(frozen=True)
class TimeRangePage:
    """A page of records created in [`created_from`, `created_to`), behind the cursor `after`."""

    created_from: str
    created_to: str
    after: int
    limit: int


class ListQuery:
    """Query parameters of a list: a reference, or else a time range and a cursor."""

    def __init__(
        self,
        reference: Annotated[str | None, Query(min_length=1)] = None,
        created_from: AwareDatetime | None = None,
        created_to: AwareDatetime | None = None,
        after: Annotated[str, Query(pattern=r"^[0-9]{0,18}$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> None:
        self.reference = reference
        self._from, self._to = created_from, created_to
        self._after, self._limit = int(after or 0), limit

    def page(self) -> TimeRangePage:
        """Return the requested page; PspError 400 unless both ends of the range are named."""
        if self._from is None or self._to is None:
            raise invalid_request(
                "parameter_missing", "Name a reference, or created_from and created_to."
            )
        bounds = (to_iso(to_ms(self._from)), to_iso(to_ms(self._to)))
        return TimeRangePage(*bounds, self._after, self._limit)


ListQueryDependency = Annotated[ListQuery, Depends()]


def list_by_time(
    db: Database,
    cls: type[R],
    account: str,
    page: TimeRangePage,
) -> dict[str, Any]:
    """Return a page of the account's records of a time range, oldest first, as the API shows it."""
    rows = db.all(
        "SELECT number, body FROM objects WHERE account = ? AND kind = ? AND number > ?"
        " AND json_extract(body, '$.created_at') >= ? AND json_extract(body, '$.created_at') < ?"
        " ORDER BY number LIMIT ?",
        account,
        cls.kind,
        page.after,
        page.created_from,
        page.created_to,
        page.limit + 1,
    )
    page_rows = rows[: page.limit]
    return {
        "data": [serialize(db, cls.model_validate_json(row["body"])) for row in page_rows],
        "next": str(page_rows[-1]["number"]) if page_rows else None,
        "has_more": len(rows) > page.limit,
    }
