"""Comparing with the PSP now instead of when it is due."""

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
from integrator.operations.explain.query import PATIENCE
from integrator.operations.output import Progress, bar, second, working
from integrator.store.models import TransactionRow
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import AnyInput, ReconcileInput, ReconcileReport
from workflows.reconcile import RECONCILE, reconcile_id
from workflows.state import AnyState, TransactionKind

STRANGE = ("stray", "unresolved", "unreadable")
"""What a comparison counts that somebody has to look at."""

LONGEST = timedelta(minutes=20)
"""A run with much to do ends by itself after ten; longer, and no worker runs."""

_LOOK_EVERY_S = 0.5
_PIECE = timedelta(days=1)


class LooksUp(Protocol):
    """The part of the gateway that is needed here."""

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None: ...

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState: ...


@dataclass(frozen=True)
class LookedUp:
    """A transaction before and after the PSP was asked; the same when it told nothing new."""

    status_before: str
    status_after: str
    changed: bool


@dataclass
class Compared:
    """What a comparison has counted, by step, and why a step stopped early.

    `reached` is how far a span of time was crossed: not into the last minute.
    """

    events: Counter[str] = field(default_factory=Counter)
    movements: Counter[str] = field(default_factory=Counter)
    sample: Counter[str] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)
    reached: datetime | None = None

    @property
    def found_problems(self) -> bool:
        """Whether a step failed, or movements were found that have no place."""
        return bool(self.problems or any(self.movements[name] for name in STRANGE))

    def add(self, report: ReconcileReport) -> None:
        """Count a run."""
        self.events.update(report.events)
        self.movements.update(report.movements)
        self.sample.update(report.sample)
        self.problems |= report.problems


def told(found: LookedUp) -> str:
    """For people."""
    if found.changed:
        return f"The PSP has told news: {found.status_before} before, {found.status_after} now."
    return f"It is {found.status_after} as before; `integrator explain` says what comes next."


def counted(done: Compared) -> str:
    """For people."""
    parts = {"events": done.events, "movements": done.movements, "transactions": done.sample}
    lines = [
        f"{name}: " + (", ".join(f"{n} {what}" for what, n in sorted(counts.items())) or "none")
        for name, counts in parts.items()
    ]
    if done.reached is not None:
        lines.append(f"Compared until {second(done.reached)} UTC.")
    lines += [f"{step} stopped early: {why}" for step, why in done.problems.items()]
    return "\n".join(lines)


async def now(
    desk: OperatorContext, merchant_id: str, since: datetime | None, until: datetime, *, quiet: bool
) -> Compared:
    """A whole run, or the span of time, with what is seen of it meanwhile."""
    queue = desk.settings.reconcile_queue
    if since is None:
        with working("comparing", quiet=quiet) as doing:
            return await compare(desk.client, queue, merchant_id, doing)
    wanted = ReconcileInput(merchant_id=merchant_id, since=since, until=until)
    with bar("comparing", quiet=quiet) as progress:
        return await compare_between(desk.client, queue, wanted, progress)


async def look_up(gateway: LooksUp, row: TransactionRow, wait: timedelta) -> LookedUp:
    """Have the PSP asked, and wait for news of it."""
    if row.version == 0:
        raise OperatorError("The transaction has not begun: there is nothing to look up.")
    await gateway.look_up(resume_input(row))
    key = (row.merchant_id, TransactionKind(row.kind), row.transaction_id)
    status, version = row.status, row.version
    deadline = asyncio.get_running_loop().time() + wait.total_seconds()
    while version == row.version and asyncio.get_running_loop().time() < deadline:
        await asyncio.sleep(_LOOK_EVERY_S)
        with suppress(RPCError):  # it may be too busy to answer; there is a next time
            state = await gateway.state(*key, PATIENCE)
            status, version = state.status.name, state.version
    return LookedUp(row.status, status, version != row.version)


async def compare(
    client: Client,
    queue: str,
    merchant_id: str,
    doing: Callable[[str], None],
    wait: timedelta = LONGEST,
) -> Compared:
    """One run of a merchant's reconciliation, beside those of its schedule."""
    done = Compared()
    done.add(await _run(client, queue, ReconcileInput(merchant_id=merchant_id), doing, wait))
    return done


async def compare_between(
    client: Client,
    queue: str,
    wanted: ReconcileInput,
    progress: Progress,
    wait: timedelta = LONGEST,
) -> Compared:
    """Compare the movements between `wanted.since` and `wanted.until`, a day at a time."""
    since, until = wanted.since, wanted.until
    if since is None or until is None or since >= until:
        raise OperatorError("--since must be before --until.")
    done = Compared()
    total = int((until - since).total_seconds())
    progress(0, total)
    for begin, end in _pieces(since, until):
        reached = begin
        while reached < end and not done.problems:
            piece = wanted.model_copy(update={"since": reached, "until": end})
            report = await _run(client, queue, piece, lambda doing: None, wait)
            done.add(report)
            if report.reached is not None:
                reached = done.reached = report.reached
                progress(int((reached - since).total_seconds()), total)
            if not report.more:
                break  # all of it, or what is left lies too close to now to be compared
    return done


def _pieces(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        end = min(since + _PIECE, until)
        yield since, end
        since = end


async def _run(
    client: Client,
    queue: str,
    start: ReconcileInput,
    doing: Callable[[str], None],
    wait: timedelta,
) -> ReconcileReport:
    """Raises `OperatorError` when it fails or takes too long."""
    id = f"{reconcile_id(start.merchant_id)}/by-hand/{secrets.token_hex(4)}"
    handle: WorkflowHandle[object, ReconcileReport] = await client.start_workflow(
        RECONCILE,
        start,
        id=id,
        task_queue=queue,
        result_type=ReconcileReport,
        execution_timeout=LONGEST,
        static_summary=f"compares the books of {start.merchant_id} by hand",
    )
    telling = asyncio.create_task(_tell(handle, doing))
    try:
        return await asyncio.wait_for(handle.result(), wait.total_seconds())
    except WorkflowFailureError as error:
        raise OperatorError(f"The run {id} has failed: {error.cause}") from error
    except TimeoutError:
        raise OperatorError(
            f"The run {id} has not ended within {wait.total_seconds():.0f} s; it goes on."
        ) from None
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(
    handle: WorkflowHandle[object, ReconcileReport], doing: Callable[[str], None]
) -> None:
    while True:
        description = await handle.describe()
        for pending in description.raw_description.pending_activities:
            doing(pending.activity_type.name)
        await asyncio.sleep(_LOOK_EVERY_S)
