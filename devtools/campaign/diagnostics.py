"""Everything that is known of a transaction that went wrong, told in order."""

from collections.abc import Mapping, Sequence
from typing import Any

from devtools.campaign.integrator_view import IntegratorBooks, Row, Workflow
from devtools.campaign.psp import Entry
from devtools.campaign.report import clock, shown
from devtools.campaign.transaction import Transaction
from devtools.campaign.violations import Violation


class Diagnostics:
    """Puts all books and the log of faults side by side."""

    def __init__(
        self,
        books: Mapping[str, Transaction],
        rows: Mapping[str, Row],
        workflows: Mapping[str, Workflow],
        ledger: Sequence[Entry],
        integrator: IntegratorBooks,
        faults: Sequence[tuple[float, str]],
    ) -> None:
        self._books = books
        self._rows = rows
        self._workflows = workflows
        self._ledger = ledger
        self._integrator = integrator
        self._faults = faults

    async def tell(
        self, findings: Sequence[Violation], events: Sequence[Mapping[str, Any]], most: int
    ) -> dict[str, list[str]]:
        """The stories of the first `most` bad transactions, one of each column first."""
        order = sorted(findings, key=lambda f: _nth_of_its_column(findings, f))
        ids = list(dict.fromkeys(finding.transaction for finding in order))[:most]
        return {id: await self._story(id, findings, events) for id in ids}

    async def _story(
        self, id: str, findings: Sequence[Violation], events: Sequence[Mapping[str, Any]]
    ) -> list[str]:
        lines = [f"FOUND    {f.column}: {f.text}" for f in findings if f.transaction == id]
        of = self._books.get(id)
        if of is not None:
            lines.append(f"ASKED    {of.label} {of.amount} {shown(of.body)}")
            lines.append(f"EXPECTED {sorted(of.expected)}; takes from {of.owner}")
            lines += [f"{clock(e.at)} {e.what}: {e.result}" for e in of.exchanges]
            lines += [f"{clock(at)} WEBHOOK" for at in of.webhooks]
        lines += [f"LEDGER   {e.at} {e.kind} {e.amount} {e.psp_id} {e.key}" for e in self._of(id)]
        lines += [_event(event) for event in events if event["data"].get("reference") == id]
        if id in self._rows:
            row = self._rows[id]
            lines.append(f"STORE    {row.status} v{row.version} {shown(row.snapshot)}")
            lines.append(f"EVIDENCE {row.evidence}")
        if id in self._workflows:
            flow = self._workflows[id]
            lines.append(f"WORKFLOW {flow.status} {flow.busy} {shown(flow.delivery)}")
            lines.append(f"         {shown(flow.state)}")
        if of is not None:
            lines += [f"HISTORY  {line}" for line in await self._integrator.history(of)]
            lines += self._around(of)
            lines += await self._owner(of)
        return lines

    async def _owner(self, of: Transaction) -> list[str]:
        """What happened to the preauth or payment it takes from."""
        owner = self._books.get(of.owner or "")
        if owner is None:
            return []
        talks = [f"{clock(e.at)} {e.what}: {e.result}" for e in owner.exchanges]
        history = await self._integrator.history(owner)
        return [f"OWNER    {line}" for line in [owner.id, *talks, *history]]

    def _of(self, id: str) -> list[Entry]:
        return [entry for entry in self._ledger if entry.reference == id]

    def _around(self, of: Transaction) -> list[str]:
        """The faults that ended while the transaction was talked about, or a little later."""
        times = [e.at for e in of.exchanges if "at the end" not in e.what]
        if not times:
            return []
        first, last = min(times) - 5, max(times) + 15
        return [f"FAULT    {clock(at)} {what}" for at, what in self._faults if first < at < last]


def _nth_of_its_column(findings: Sequence[Violation], one: Violation) -> int:
    return [f for f in findings if f.column is one.column].index(one)


def _event(event: Mapping[str, Any]) -> str:
    told = f"{event['data'].get('status')} {event['delivery']}"
    return f"EVENT    {event['created_at']} {event['type']} {event['data']['id']} {told}"
