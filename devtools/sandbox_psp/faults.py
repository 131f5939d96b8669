"""Injected faults: a share of the calls or webhooks goes wrong."""

import asyncio
import random
import secrets
from collections.abc import Collection
from typing import Any, Literal

from pydantic import BaseModel, Field, model_validator

from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.errors import not_found
from devtools.sandbox_psp.ids import new_id

Operation = Literal[
    "charge",
    "capture",
    "refund",
    "authorize",
    "void",
    "checkout_session",
    "mandate",
    "fetch",
    "search",
    "creation",
    "webhook",
]
_WEBHOOK_KINDS = {"duplicate", "reorder", "drop_webhook", "delay_webhook"}


class FaultRequest(BaseModel):
    """A fault to set: hits a `share` of the calls, `count` of them at most; waits `seconds`.

    With a `reference` it hits calls and webhooks about that transaction only. A `stored` error is
    kept under the call's key and repeated, unless a response is already stored there.
    """

    kind: Literal[
        "drop",
        "delay",
        "hold",
        "error",
        "refuse",
        "duplicate",
        "reorder",
        "rate",
        "drop_webhook",
        "delay_webhook",
    ]
    reference: str | None = None
    share: float = Field(1.0, ge=0, le=1)
    seconds: float | None = Field(None, ge=0)
    status: int = Field(500, ge=500, le=599)
    operations: list[Operation] | None = None
    when: Literal["before", "after"] = "before"
    count: int | None = Field(None, ge=1)
    stored: bool = False
    seed: int | None = None

    @model_validator(mode="after")
    def _check_stored(self) -> "FaultRequest":
        if self.stored and self.kind != "error":
            raise ValueError(f"a fault of kind {self.kind!r} cannot be stored; use 'error'.")
        return self


class Fault(FaultRequest):
    """A fault in force; `hits` counts the calls it applied to."""

    id: str
    hits: int = 0

    def applies_to(self, operations: Collection[Operation], reference: str | None) -> bool:
        """Return whether the fault may hit this call or webhook about `reference`."""
        if self.count is not None and self.hits >= self.count:
            return False
        if self.reference is not None and self.reference != reference:
            return False
        if self.kind in _WEBHOOK_KINDS:
            return "webhook" in operations
        if self.operations is None:
            return "webhook" not in operations
        return not set(self.operations).isdisjoint(operations)


class FaultStore:
    """The faults in force, stored in the database so that they survive a restart."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._generators: dict[str, random.Random] = {}
        self._removal = asyncio.Event()

    def add(self, request: FaultRequest) -> Fault:
        """Set a fault; without a seed it draws one and shows it, so that a run can be repeated."""
        values: dict[str, Any] = request.model_dump()
        if request.seed is None:
            values["seed"] = secrets.randbelow(2**31)
        fault = Fault(id=new_id("flt"), **values)
        self._db.execute(
            "INSERT INTO faults (id, body) VALUES (?, ?)", fault.id, fault.model_dump_json()
        )
        return fault

    def all(self) -> list[Fault]:
        """Return every fault in force, oldest first."""
        rows = self._db.all("SELECT body FROM faults ORDER BY number")
        return [Fault.model_validate_json(row["body"]) for row in rows]

    def remove(self, id: str | None) -> None:
        """Clear one fault, or all of them; PspError 404 for an unknown id."""
        if id is None:
            self._db.execute("DELETE FROM faults")
        elif self._db.execute("DELETE FROM faults WHERE id = ?", id).rowcount == 0:
            raise not_found("fault", id)
        self._removal.set()
        self._removal = asyncio.Event()

    async def wait_until_removed(self, id: str) -> None:
        """Wait until this fault is cleared; a restart ends the wait with the process."""
        while self._db.one("SELECT id FROM faults WHERE id = ?", id) is not None:
            removal = self._removal
            await removal.wait()

    def draw(
        self, operation: Operation, reference: str | None = None, also: Operation | None = None
    ) -> list[Fault]:
        """Draw the faults that hit this call about the transaction `reference`.

        `also` is what the call counts as besides: a search, or the creation of an object without
        effect.
        """
        operations = [operation] if also is None else [operation, also]
        return [f for f in self.all() if f.applies_to(operations, reference) and self._is_drawn(f)]

    def _is_drawn(self, fault: Fault) -> bool:
        generator = self._generators.setdefault(
            fault.id,
            random.Random(fault.seed),  # noqa: S311 - repeatable on purpose, guards nothing
        )
        if generator.random() >= fault.share:
            return False
        if fault.count is not None:
            fault.hits += 1
            self._db.execute(
                "UPDATE faults SET body = ? WHERE id = ?", fault.model_dump_json(), fault.id
            )
        return True
