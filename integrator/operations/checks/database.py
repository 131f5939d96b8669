"""Checks of the database: schema, encryption keys and backlog."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.operations.output import format_minute
from integrator.settings import Settings
from integrator.store import schema
from integrator.store.database import Store
from integrator.store.errors import StoreError
from integrator.store.migrate import current_revision
from integrator.store.models import BacklogGroup, BacklogTotals, UnreadableEvents

LONG_UNDELIVERED = timedelta(hours=1)
LONG_UNSENT = timedelta(minutes=15)
LONG_UNDECIDED = timedelta(days=14)
"""Longer than direct debits take."""


async def check_schema(settings: Settings) -> CheckResult:
    """Check that the database responds and has the schema that the code expects."""
    try:
        current = await current_revision(settings.resolved_database_url)
    except (SQLAlchemyError, OSError) as error:
        cause = getattr(error, "orig", None) or error
        text = f"the database does not answer ({type(cause).__name__})"
        return problem("database", text, "Start it, or correct INTEGRATOR_DATABASE_URL.")
    newest = schema.newest_revision()
    if schema.is_newer(current):
        text = f"the schema's revision is {current}; the newest of this version is {newest}"
        return warning("database", text, "Expected after a rollback; else use the newer image.")
    if current != newest:
        revision = current or "none"
        text = f"the schema's revision is {revision}, the newest is {newest}"
        return problem("database", text, "Run `integrator migrate`.")
    return ok("database", f"answers; schema {current} is the newest")


async def check_encryption(store: Store) -> CheckResult:
    """Check that the keys decrypt a sample of every encrypted column."""
    samples = await store.keys.verify()
    unreadable = [sample for sample in samples if sample.unreadable]
    if unreadable:
        names = ", ".join(sample.column for sample in unreadable)
        advice = "Restore the keys that it was written with; `integrator keys usage` names them."
        return problem("encryption", f"the keys do not decrypt all of {names}", advice)
    count = sum(sample.read for sample in samples)
    return ok("encryption", f"the keys decrypt {count} samples of {len(samples)} columns")


async def check_backlog(store: Store) -> list[CheckResult]:
    """Check for what has waited too long or needs an operator."""
    try:
        totals, reasons = (
            await store.backlog.get_totals(),
            await store.backlog.list_undecided_reasons(),
        )
        unreadable = await store.notifications.list_unreadable()
        return [
            *_check_backlog(totals, reasons, datetime.now(UTC)),
            _check_unreadable(unreadable),
            _check_quarantine(await store.quarantine.count_by_sweep()),
        ]
    except StoreError as error:
        return [problem("backlog", f"cannot be read ({type(error).__name__})", "See above.")]


def _check_backlog(
    backlog: BacklogTotals, reasons: list[BacklogGroup], now: datetime
) -> Iterator[CheckResult]:
    yield _check_undelivered(backlog)
    since = backlog.delivering_since
    if since is not None and since < now - LONG_UNDELIVERED:
        yield warning(
            "webhooks",
            f"{backlog.delivering} are on their way, the oldest since {format_minute(since)}",
            "Check why the target rejects them: `integrator list --webhook delivering`.",
        )
    yield _check_undecided(backlog, reasons, now)
    count = backlog.attention + backlog.strays
    if count:
        text = (
            f"{backlog.attention} transactions, {backlog.strays} unmatched movements need attention"
        )
        yield warning("attention", text, "See `integrator attention`.")
    else:
        yield ok("attention", "nothing needs attention")


def _check_quarantine(counts: Mapping[str, int]) -> CheckResult:
    if not counts:
        return ok("sweeps", "no row is in quarantine")
    text = ", ".join(f"{count} of {sweep}" for sweep, count in sorted(counts.items()))
    return warning(
        "sweeps",
        f"sweeps fail again and again at rows: {text}",
        "See `integrator quarantine list`.",
    )


def _check_unreadable(groups: list[UnreadableEvents]) -> CheckResult:
    if not groups:
        return ok("notifications", "all events of the PSPs can be read")
    count = sum(group.count for group in groups)
    since = format_minute(min(group.since for group in groups))
    merchants = ", ".join(group.merchant_id for group in groups)
    return warning(
        "notifications",
        f"{count} events of the PSPs of {merchants} cannot be read, the oldest since {since}",
        "Report it to the adapter's author; `integrator attention` has the command to reconcile.",
    )


def _check_undecided(
    backlog: BacklogTotals, reasons: list[BacklogGroup], now: datetime
) -> CheckResult:
    counts = ", ".join(f"{item.count} {item.group[0].replace('_', ' ')}" for item in reasons)
    by_reason = f" ({counts})" if counts else ""
    since = backlog.undecided_since
    if since is not None and since < now - LONG_UNDECIDED:
        age = f"the oldest since {format_minute(since)}"
        return warning(
            "transactions",
            f"{backlog.undecided} are undecided, {age}{by_reason}",
            "Ask the PSP about them: `integrator list --status Pending --status Initiated`.",
        )
    unsent = next((item for item in reasons if item.group == ("not_sent",)), None)
    if unsent is not None and unsent.since < now - LONG_UNSENT:
        return warning(
            "transactions",
            f"{unsent.count} could not be sent, the oldest since {format_minute(unsent.since)}"
            f"{by_reason}",
            "Check the PSP's status and the merchant's credentials.",
        )
    return ok("transactions", f"{backlog.undecided} are undecided, none for too long{by_reason}")


def _check_undelivered(backlog: BacklogTotals) -> CheckResult:
    if not backlog.undelivered:
        return ok("webhooks", f"none was given up, {backlog.delivering} are on their way")
    since = format_minute(backlog.undelivered_since)
    return problem(
        "webhooks",
        f"{backlog.undelivered} were given up, the oldest started at {since}",
        "When the target is available: `integrator webhook redeliver --undelivered`.",
    )
