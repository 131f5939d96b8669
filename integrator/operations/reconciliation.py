"""Look up a transaction or reconcile a merchant immediately, outside of the schedule."""

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from temporalio.client import Client, WorkflowFailureError, WorkflowHandle
from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.operations.connections import OperatorContext
from integrator.operations.explain.query import QUERY_TIMEOUT
from integrator.operations.output import Progress, format_second, progress_bar, status_line
from integrator.store.models import TransactionRow
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import AnyInput, ReconcileInput, ReconcileReport
from workflows.reconcile import RECONCILE, reconcile_workflow_id
from workflows.state import AnyState, TransactionKind

NEEDING_ATTENTION = ("stray", "unresolved", "unreadable")
"""Counts of a comparison that an operator has to look at."""

TIMEOUT = timedelta(minutes=20)
"""A long run ends by itself after ten minutes; a longer one means that no worker runs."""

_POLL_INTERVAL_S = 0.5
_CHUNK = timedelta(days=1)


class LookupClient(Protocol):
    """The part of the transaction client used here."""

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None: ...

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState: ...


@dataclass(frozen=True)
class LookupResult:
    """A transaction's status before and after a look-up at the PSP."""

    status_before: str
    status_after: str
    changed: bool


@dataclass
class ComparisonResult:
    """Counts of a comparison by step, and why a step stopped early.

    `reached` is how far a span of time was compared: not into the last minute.
    """

    events: Counter[str] = field(default_factory=Counter)
    movements: Counter[str] = field(default_factory=Counter)
    sample: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)
    reached: datetime | None = None

    @property
    def found_problems(self) -> bool:
        """Whether a step failed, or unmatched movements were result."""
        return bool(self.problems or any(self.movements[name] for name in NEEDING_ATTENTION))

    def add(self, report: ReconcileReport) -> None:
        """Add the counts of a run."""
        self.events.update(report.events)
        self.movements.update(report.movements)
        self.sample.update(report.sample)
        self.problems |= report.problems


def render_lookup(result: LookupResult) -> str:
    """Render the result as text."""
    if result.changed:
        return (
            f"The PSP reported a change: {result.status_before} before, {result.status_after} now."
        )
    return f"It is {result.status_after} as before; `integrator explain` shows what comes next."


def render_comparison(result: ComparisonResult) -> str:
    """Render the result as text."""
    parts = {"events": result.events, "movements": result.movements, "transactions": result.sample}
    lines = [
        f"{part}: "
        + (", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none")
        for part, counts in parts.items()
    ]
    if result.reached is not None:
        lines.append(f"Compared until {format_second(result.reached)} UTC.")
    lines += [f"{step} stopped early: {reason}" for step, reason in result.problems.items()]
    return "\n".join(lines)


async def run_with_progress(
    context: OperatorContext,
    merchant_id: str,
    since: datetime | None,
    until: datetime,
    *,
    quiet: bool,
) -> ComparisonResult:
    """Run a whole reconciliation, or a span of time, with a progress display."""
    queue = context.settings.reconcile_queue
    if since is None:
        with status_line("comparing", quiet=quiet) as show_step:
            return await compare(context.client, queue, merchant_id, show_step)
    request = ReconcileInput(merchant_id=merchant_id, since=since, until=until)
    with progress_bar("comparing", quiet=quiet) as progress:
        return await compare_between(context.client, queue, request, progress)


async def look_up(
    transaction_client: LookupClient, row: TransactionRow, wait: timedelta
) -> LookupResult:
    """Request a look-up at the PSP and wait for a change of the transaction."""
    if row.version == 0:
        raise OperatorError("The transaction has not started: there is nothing to look up.")
    await transaction_client.look_up(resume_input(row))
    key = (row.merchant_id, TransactionKind(row.kind), row.transaction_id)
    status, version = row.status, row.version
    deadline = asyncio.get_running_loop().time() + wait.total_seconds()
    while version == row.version and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_POLL_INTERVAL_S)
        with suppress(RPCError):  # it may be too busy to respond; the next query may succeed
            state = await transaction_client.state(*key, QUERY_TIMEOUT)
            status, version = state.status.name, state.version
    return LookupResult(row.status, status, version != row.version)


async def compare(
    client: Client,
    queue: str,
    merchant_id: str,
    show_step: Callable[[str], None],
    wait: timedelta = TIMEOUT,
) -> ComparisonResult:
    """Run a merchant's reconciliation once, in addition to its schedule."""
    result = ComparisonResult()
    result.add(await _run(client, queue, ReconcileInput(merchant_id=merchant_id), show_step, wait))
    return result


async def compare_between(
    client: Client,
    queue: str,
    request: ReconcileInput,
    progress: Progress,
    wait: timedelta = TIMEOUT,
) -> ComparisonResult:
    """Compare the movements between `request.since` and `request.until`, a day at a time."""
    since, until = request.since, request.until
    if since is None or until is None or since >= until:
        raise OperatorError("--since must be before --until.")
    result = ComparisonResult()
    total = int((until - since).total_seconds())
    progress(0, total)
    for begin, end in _chunks(since, until):
        reached = begin
        while reached < end and not result.problems:
            chunk = request.model_copy(update={"since": reached, "until": end})
            report = await _run(client, queue, chunk, lambda show_step: None, wait)
            result.add(report)
            if report.reached is not None:
                reached = result.reached = report.reached
                progress(int((reached - since).total_seconds()), total)
            if not report.more:
                break  # complete, or the rest is too recent to be compared
    return result


def _chunks(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        end = min(since + _CHUNK, until)
        yield since, end
        since = end


async def _run(
    client: Client,
    queue: str,
    start: ReconcileInput,
    show_step: Callable[[str], None],
    wait: timedelta,
) -> ReconcileReport:
    """Run the workflow; raises `OperatorError` if it fails or takes too long."""
    id = f"{reconcile_workflow_id(start.merchant_id)}/by-hand/{secrets.token_hex(4)}"
    handle: WorkflowHandle[object, ReconcileReport] = await client.start_workflow(
        RECONCILE,
        start,
        id=id,
        task_queue=queue,
        result_type=ReconcileReport,
        execution_timeout=TIMEOUT,
        static_summary=f"reconciles {start.merchant_id}, started by an operator",
    )
    reporting = asyncio.create_task(_report_progress(handle, show_step))
    try:
        return await asyncio.wait_for(handle.result(), wait.total_seconds())
    except WorkflowFailureError as error:
        raise OperatorError(f"The run {id} failed: {error.cause}") from error
    except TimeoutError:
        raise OperatorError(
            f"The run {id} has not ended within {wait.total_seconds():.0f} s and continues."
        ) from None
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)


async def _report_progress(
    handle: WorkflowHandle[object, ReconcileReport], show_step: Callable[[str], None]
) -> None:
    while True:
        description = await handle.describe()
        for pending in description.raw_description.pending_activities:
            show_step(pending.activity_type.name)
        await asyncio.sleep(_POLL_INTERVAL_S)
