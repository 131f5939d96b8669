"""Diagnostics of transactions with violations: all records about each, in order."""

from collections.abc import Mapping, Sequence
from typing import Any

from devtools.campaign.integrator_view import IntegratorView, StoredTransaction, WorkflowView
from devtools.campaign.psp import LedgerEntry
from devtools.campaign.report import format_time, to_json_line
from devtools.campaign.transaction import Transaction
from devtools.campaign.violations import Violation


class Diagnostics:
    """Collects what Billwerk+, the integrator, the PSP and the fault log hold on a transaction."""

    def __init__(
        self,
        transactions: Mapping[str, Transaction],
        rows: Mapping[str, StoredTransaction],
        workflows: Mapping[str, WorkflowView],
        ledger: Sequence[LedgerEntry],
        integrator: IntegratorView,
        faults: Sequence[tuple[float, str]],
    ) -> None:
        self._transactions = transactions
        self._rows = rows
        self._workflows = workflows
        self._ledger = ledger
        self._integrator = integrator
        self._faults = faults

    async def collect(
        self, violations: Sequence[Violation], events: Sequence[Mapping[str, Any]], limit: int
    ) -> dict[str, list[str]]:
        """Return the diagnostics of up to `limit` transactions, one of each column first."""
        order = sorted(violations, key=lambda v: _index_in_column(violations, v))
        ids = list(dict.fromkeys(violation.transaction for violation in order))[:limit]
        return {id: await self._describe_transaction(id, violations, events) for id in ids}

    async def _describe_transaction(
        self, id: str, violations: Sequence[Violation], events: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        lines = [f"VIOLATED {v.column}: {v.text}" for v in violations if v.transaction == id]
        transaction = self._transactions.get(id)
        if transaction is not None:
            lines.append(
                f"REQUEST  {transaction.label} {transaction.amount} "
                f"{to_json_line(transaction.body)}"
            )
            lines.append(f"EXPECTED {sorted(transaction.expected)}; parent {transaction.parent}")
            lines += [
                f"{format_time(e.at)} {e.request}: {e.response}" for e in transaction.exchanges
            ]
            lines += [f"{format_time(at)} WEBHOOK" for at in transaction.webhooks]
        lines += [
            f"LEDGER   {e.at} {e.kind} {e.amount} {e.psp_id} {e.key}"
            for e in self._ledger_entries(id)
        ]
        lines += [_format_event(event) for event in events if event["data"].get("reference") == id]
        if id in self._rows:
            row = self._rows[id]
            lines.append(f"STORE    {row.status} v{row.version} {to_json_line(row.snapshot)}")
            lines.append(f"EVIDENCE {row.evidence}")
        if id in self._workflows:
            workflow = self._workflows[id]
            lines.append(
                f"WORKFLOW {workflow.status} {workflow.pending_work} "
                f"{to_json_line(workflow.delivery)}"
            )
            lines.append(f"         {to_json_line(workflow.state)}")
        if transaction is not None:
            lines += [f"HISTORY  {line}" for line in await self._integrator.history(transaction)]
            lines += self._faults_nearby(transaction)
            lines += await self._describe_parent(transaction)
        return lines

    async def _describe_parent(self, transaction: Transaction) -> list[str]:
        """Return the exchanges and history of the parent preauth or payment."""
        parent = self._transactions.get(transaction.parent or "")
        if parent is None:
            return []
        exchanges = [f"{format_time(e.at)} {e.request}: {e.response}" for e in parent.exchanges]
        history = await self._integrator.history(parent)
        return [f"PARENT   {line}" for line in [parent.id, *exchanges, *history]]

    def _ledger_entries(self, id: str) -> list[LedgerEntry]:
        return [entry for entry in self._ledger if entry.reference == id]

    def _faults_nearby(self, transaction: Transaction) -> list[str]:
        """Return the faults that ended within 5 s before and 15 s after its exchanges."""
        times = [e.at for e in transaction.exchanges if "at the end" not in e.request]
        if not times:
            return []
        first, last = min(times) - 5, max(times) + 15
        return [
            f"FAULT    {format_time(at)} {fault}" for at, fault in self._faults if first < at < last
        ]


def _index_in_column(violations: Sequence[Violation], violation: Violation) -> int:
    return [v for v in violations if v.column is violation.column].index(violation)


def _format_event(event: Mapping[str, Any]) -> str:
    delivery = f"{event['data'].get('status')} {event['delivery']}"
    return f"EVENT    {event['created_at']} {event['type']} {event['data']['id']} {delivery}"
