"""The database: its schema, its keys, and what waits in it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.operations.output import minute
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.store.errors import StoreError
from integrator.store.migrate import revisions
from integrator.store.models import Backlog

LONG_UNDELIVERED = timedelta(hours=1)
LONG_UNDECIDED = timedelta(days=14)
"""Longer than direct debits take."""


async def schema(settings: Settings) -> CheckResult:
    """Whether the database answers and has the schema that the code expects."""
    try:
        current, newest = await revisions(settings.resolved_database_url)
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        text = f"the database does not answer ({type(cause).__name__})"
        return problem("database", text, "Start it, or set INTEGRATOR_DATABASE_URL right.")
    if current != newest:
        was = current or "none"
        text = f"the schema's revision is {was}, the newest is {newest}"
        return problem("database", text, "Run `integrator migrate`.")
    return ok("database", f"answers; schema {current} is the newest")


async def sealed(store: Store) -> CheckResult:
    """Whether the keys open a sample of every encrypted column."""
    found = await store.opened()
    bad = [sample for sample in found if sample.unreadable]
    if bad:
        names = ", ".join(sample.column for sample in bad)
        advice = "Give back the keys that it was written with; `integrator keys usage` names them."
        return problem("encryption", f"the keys do not open all of {names}", advice)
    read = sum(sample.read for sample in found)
    return ok("encryption", f"the keys open {read} samples of {len(found)} columns")


async def waiting(store: Store) -> list[CheckResult]:
    """What has waited for too long, or for a person."""
    try:
        return list(_waiting(await store.backlog(), datetime.now(UTC)))
    except StoreError as error:
        return [problem("backlog", f"cannot be read ({type(error).__name__})", "See above.")]


def _waiting(found: Backlog, now: datetime) -> Iterator[CheckResult]:
    yield _undelivered(found)
    since = found.delivering_since
    if since is not None and since < now - LONG_UNDELIVERED:
        yield warning(
            "webhooks",
            f"{found.delivering} are on their way, the oldest since {minute(since)}",
            "See why the target refuses them: `integrator list --webhook delivering`.",
        )
    since = found.undecided_since
    if since is not None and since < now - LONG_UNDECIDED:
        yield warning(
            "transactions",
            f"{found.undecided} are undecided, the oldest since {minute(since)}",
            "Ask the PSP about it: `integrator list --status Pending --status Initiated`.",
        )
    else:
        yield ok("transactions", f"{found.undecided} are undecided, none for too long")
    asking = found.attention + found.strays
    if asking:
        text = f"{found.attention} transactions and {found.strays} strays wait for a person"
        yield warning("attention", text, "See `integrator attention`.")
    else:
        yield ok("attention", "nothing waits for a person")


def _undelivered(found: Backlog) -> CheckResult:
    if not found.undelivered:
        return ok("webhooks", f"none was given up, {found.delivering} are on their way")
    since = minute(found.undelivered_since)
    return problem(
        "webhooks",
        f"{found.undelivered} were given up, the oldest begun at {since}",
        "When the target is back: `integrator webhook redeliver --undelivered`.",
    )
