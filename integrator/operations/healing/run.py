"""Run over all transactions: examine them page by page, heal what can be healed, and report."""

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from temporalio.service import RPCError

from integrator.crypto.keys import DecryptionError
from integrator.operations.healing.examiner import Examiner, ExaminerOptions
from integrator.operations.healing.findings import HEALED, TITLES, Finding, FindingKind
from integrator.operations.healing.healer import Healer
from integrator.operations.healing.workflow_view import HealingClient, WorkflowReader
from integrator.operations.output import Progress, format_minute, printable_lines
from integrator.store.database import Store
from integrator.store.errors import StoreError, StoreUnavailable
from integrator.store.models import TransactionFilter, TransactionSummary
from integrator.transactions.transaction_client import OUTAGE

PAGE_SIZE = 200
CONCURRENCY = 8
_POLL_INTERVAL_S = 0.5


@dataclass(frozen=True)
class RunOptions:
    """What is examined, whether it is healed, and how fast.

    `rate` is the number of transactions healed per second, each of which may ask its PSP. `wait` is
    how long a page's results are waited for, `examples` how many findings of a kind are kept.
    """

    conditions: TransactionFilter = field(default_factory=TransactionFilter)
    apply: bool = False
    rate: float = 5
    wait: timedelta = timedelta(seconds=10)
    examples: int = 5


@dataclass
class HealingReport:
    """Numbers of findings by kind, with examples of those that are left.

    `failed` counts those whose healing raised an error. `reached` is the creation of the
    last transaction examined.
    """

    apply: bool
    examined: int = 0
    found: Counter[FindingKind] = field(default_factory=Counter)
    healed: Counter[FindingKind] = field(default_factory=Counter)
    left: Counter[FindingKind] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    examples: dict[FindingKind, list[Finding]] = field(default_factory=dict)
    reached: datetime | None = None

    def add_left(self, findings: Sequence[Finding], limit: int) -> None:
        """Count findings that are left, and keep the first ones of each kind."""
        for finding in findings:
            self.left[finding.kind] += 1
            kept = self.examples.setdefault(finding.kind, [])
            if len(kept) < limit:
                kept.append(finding)


class HealingRun:
    """One run; `report` is true at any moment, so that an interrupted run can be continued."""

    def __init__(
        self, store: Store, examiner: Examiner, healer: Healer, options: RunOptions
    ) -> None:
        self.report = HealingReport(apply=options.apply)
        self._store = store
        self._examiner = examiner
        self._healer = healer
        self._options = options

    async def run(self, progress: Progress) -> HealingReport:
        """Examine all matching transactions, oldest first, and heal each page's findings."""
        search, conditions = self._store.transaction_search, self._options.conditions
        total, after = await search.count(conditions), None
        progress(0, total)
        while page := await search.list_summaries(
            conditions, after=after, limit=PAGE_SIZE, oldest_first=True
        ):
            await self._handle_page(page)
            after = page[-1].cursor
            self.report.reached = page[-1].created_at
            progress(self.report.examined, max(total, self.report.examined))
        return self.report

    async def _handle_page(self, page: Sequence[TransactionSummary]) -> None:
        findings: dict[TransactionSummary, list[Finding]] = {}
        for start in range(0, len(page), CONCURRENCY):
            batch = page[start : start + CONCURRENCY]
            results = await asyncio.gather(*map(self._examiner.examine, batch))
            findings |= {row: found for row, found in zip(batch, results, strict=True) if found}
        self.report.examined += len(page)
        self.report.found.update(one.kind for found in findings.values() for one in found)
        if not self._options.apply:
            for found in findings.values():
                self.report.add_left(found, self._options.examples)
            return
        for found in findings.values():
            await self._heal(found)
        await self._settle(findings)

    async def _heal(self, findings: Sequence[Finding]) -> None:
        """Heal a transaction's findings; an error of one stops no other."""
        for finding in findings:
            if finding.kind not in HEALED:
                continue
            try:
                await self._healer.heal(finding)
            except (DecryptionError, LookupError, RPCError, StoreError, ValueError) as error:
                if _is_outage(error):
                    raise
                self.report.failed[type(error).__name__] += 1
            await asyncio.sleep(1 / self._options.rate)

    async def _settle(self, findings: dict[TransactionSummary, list[Finding]]) -> None:
        """Examine a page's transactions again until all is healed, or for the time to wait."""
        left: dict[TransactionSummary, list[Finding]] = {row: [] for row in findings}
        pending = set(findings)
        deadline = time.monotonic() + self._options.wait.total_seconds()
        while pending:
            for row in list(pending):
                left[row] = await self._examine_again(row, findings[row])
                if not any(finding.kind in HEALED for finding in left[row]):
                    pending.remove(row)
            if time.monotonic() >= deadline:
                break
            await asyncio.sleep(_POLL_INTERVAL_S if pending else 0)
        for row, found in findings.items():
            kinds = {finding.kind for finding in left[row]}
            self.report.healed.update(one.kind for one in found if one.kind not in kinds)
            self.report.add_left(left[row], self._options.examples)

    async def _examine_again(
        self, row: TransactionSummary, before: Sequence[Finding]
    ) -> list[Finding]:
        """Return the findings that were there before, or that the healing has shown."""
        kinds = {finding.kind for finding in before}
        compared = FindingKind.FAILURE_UNPROVEN in kinds
        shown = kinds | {FindingKind.PSP_CONTRADICTS, FindingKind.TASKS_FAIL}
        now = await self._examiner.examine_now(row, compared=compared)
        return [finding for finding in now if finding.kind in shown]


async def prepare(
    store: Store, transaction_client: HealingClient, options: RunOptions
) -> HealingRun:
    """Return a run over the store and its workflows."""
    examining = ExaminerOptions(deliveries_since=await store.deliveries.first_began_at())
    examiner = Examiner(store, WorkflowReader(transaction_client), examining)
    return HealingRun(store, examiner, Healer(store, transaction_client), options)


def _is_outage(error: Exception) -> bool:
    if isinstance(error, RPCError):
        return error.status in OUTAGE
    return isinstance(error, StoreUnavailable)


def to_document(report: HealingReport) -> dict[str, Any]:
    """Return the JSON document."""
    return {
        "apply": report.apply,
        "examined": report.examined,
        "reached": report.reached,
        "kinds": {
            kind.value: {
                "found": report.found[kind],
                "healed": report.healed[kind],
                "left": report.left[kind],
                "examples": report.examples.get(kind, []),
            }
            for kind in FindingKind
        },
        "failed": dict(report.failed),
    }


def render(report: HealingReport) -> str:
    """Render the report as text."""
    lines = [f"{report.examined} transactions examined."]
    for kind in FindingKind:
        if report.found[kind] or report.left[kind]:
            lines += _render_kind(report, kind)
    lines += [f"{count} could not be healed: {name}" for name, count in report.failed.items()]
    if not report.found:
        lines.append("Nothing is left behind.")
    elif not report.apply and HEALED.intersection(report.found):
        healable = sum(report.found[kind] for kind in HEALED)
        lines.append(f"{healable} can be healed by `integrator heal --apply`.")
    return printable_lines("\n".join(lines))


def _render_kind(report: HealingReport, kind: FindingKind) -> list[str]:
    counts = f"{report.found[kind]} found"
    if report.apply:
        counts += f", {report.healed[kind]} healed, {report.left[kind]} left"
    lines = ["", f"{kind.value}: {TITLES[kind]}: {counts}"]
    for finding in report.examples.get(kind, []):
        detail = f" ({finding.detail})" if finding.detail else ""
        lines.append(
            f"  {finding.merchant_id}  {finding.transaction_kind} {finding.id}: {finding.status}, "
            f"unchanged since {format_minute(finding.since)}{detail}"
        )
        lines += [f"    $ {command}" for command in finding.commands]
    return lines
