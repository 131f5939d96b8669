"""What was made at the PSP in a time window, whoever made it.

Lists are in the account's local time without an offset, newest first; their entries do have an
offset, so that a window is asked for generously and cut exactly. A chargeback changes an old
payment and is never notified: such payments are listed in the window of their dispute's end.
https://optimize-docs.billwerk.com/docs/list_queries
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psp.billwerk_pay import bodies, mapping, search
from psp.billwerk_pay.client import Client
from psp.billwerk_pay.money import to_major
from psp.billwerk_pay.wire import Account, Charge, CreditNote, Dispute, Invoice, Transaction
from psp.errors import ProtocolError
from psp.types import Approved, Movement, MovementKind, MovementPage, Outcome, Pending

_KINDS = {
    "authorization": MovementKind.AUTHORIZATION,
    "settle": MovementKind.PAYMENT,
    "refund": MovementKind.REFUND,
}
_MOVED_NOTHING = frozenset({"failed", "cancelled"})
_SEPARATOR = "|"
_HOUR = timedelta(hours=1)
# Between a movement and the text that belongs to it.
_AROUND = timedelta(minutes=1)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Place:
    """Where a sweep is: the account's time zone and currency, a list and the page of it."""

    zone: str
    currency: str
    kind: str = "transaction"
    token: str | None = None

    def after(self, token: str | None) -> str | None:
        """The cursor of the next page, or of the other list."""
        kind = self.kind if token else "dispute"
        if not token and kind == self.kind:
            return None
        return _SEPARATOR.join((self.zone, self.currency, kind, token or ""))


async def movements(
    client: Client, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """A page of a window."""
    place = await _place(client, cursor)
    window = {
        "from": _local(since, place.zone, spare=-_HOUR),
        "to": _local(until + timedelta(seconds=1), place.zone, spare=_HOUR),
        "next_page_token": place.token,
    }
    if place.kind == "dispute":
        ended = await client.listed(Dispute, "dispute", range="resolved", **window)
        lost = [d for d in ended.content if mapping.is_chargeback(d)]
        own = [d for d in lost if d.resolved is not None and since <= d.resolved < until]
        found = [await _charged_back(client, dispute) for dispute in own]
        return MovementPage(
            movements=tuple(m for m in found if m is not None),
            cursor=place.after(ended.next_page_token),
        )
    page = await client.listed(Transaction, "transaction", **window)
    listed = [
        t
        for t in page.content
        if since <= t.created < until and t.type in _KINDS and t.state not in _MOVED_NOTHING
    ]
    marks = await _marks(client, listed, place.zone)
    made = [_movement(t, t.currency or place.currency, marks) for t in listed]
    return MovementPage(movements=tuple(made), cursor=place.after(page.next_page_token))


async def _marks(
    client: Client, listed: Sequence[Transaction], zone: str
) -> dict[tuple[str, int], str]:
    """Our references in the texts of settles and refunds, by handle or id and by amount."""
    found: dict[tuple[str, int], str] = {}
    if not listed:
        return found
    times = [moved.created for moved in listed]
    span = {
        "from": _local(min(times) - _AROUND, zone, spare=-_HOUR),
        "to": _local(max(times) + _AROUND, zone, spare=_HOUR),
    }
    if any(moved.type == "settle" and _captures(moved) for moved in listed):
        async for charge in client.entries(Charge, "charge", range="settled", **span):
            for line in charge.order_lines:
                if mark := bodies.mark(line.ordertext):
                    found[charge.handle, line.amount] = mark
    if any(moved.type == "refund" for moved in listed):
        async for note in client.entries(CreditNote, "credit_note", **span):
            for text in note.credit_note_lines:
                if note.transaction and (mark := bodies.mark(text.text)):
                    found[note.transaction, note.amount] = mark
    return found


def _captures(settle: Transaction) -> bool:
    """Whether it took a reservation, whose handle is another transaction's."""
    return settle.card_transaction.ref_transaction is not None


async def _place(client: Client, cursor: str | None) -> _Place:
    if cursor is not None:
        zone, currency, kind, token = cursor.split(_SEPARATOR, 3)
        return _Place(zone, currency, kind, token or None)
    account = await client.get(Account, "account")
    if account is None:
        raise ProtocolError("The PSP has no account for a key it accepts.")
    return _Place(account.timezone, account.currency)


def _local(at: datetime, zone: str, *, spare: timedelta) -> str:
    """Wall clock time; with some to spare when clocks were put back and it comes twice."""
    try:
        local = at.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise ProtocolError("The PSP names a time zone nobody knows.") from None
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    wall = local.replace(tzinfo=None) + (spare if twice else timedelta())
    return wall.isoformat(timespec="seconds")


def _movement(
    listed: Transaction,
    currency: str,
    marks: Mapping[tuple[str, int], str],
    outcome: Outcome | None = None,
) -> Movement:
    kind, handle = _KINDS[listed.type], listed.invoice
    settle = listed.card_transaction.ref_transaction
    id, parent, reference = {
        MovementKind.AUTHORIZATION: (handle, None, handle),
        MovementKind.PAYMENT: (
            mapping.movement_id(handle, listed.id),
            handle,
            marks.get((handle, listed.amount), handle) if _captures(listed) else handle,
        ),
        MovementKind.REFUND: (
            listed.id,
            mapping.movement_id(handle, settle) if settle else None,
            marks.get((listed.id, listed.amount)),
        ),
    }[kind]
    return Movement(
        kind=kind,
        psp_id=id,
        reference=reference,
        parent_psp_id=parent,
        amount=to_major(listed.amount, currency),
        currency=currency,
        booked_at=listed.created,
        outcome=outcome or _outcome(listed, kind, id, currency),
    )


def _outcome(listed: Transaction, kind: MovementKind, id: str, currency: str) -> Outcome:
    if kind is MovementKind.PAYMENT:
        return mapping.movement(listed, currency)
    if kind is MovementKind.REFUND and listed.state == "refunded":
        fact = mapping.given_back(id, listed.amount, currency, listed.created)
        return Approved(psp_id=id, facts=(fact,))
    if kind is MovementKind.AUTHORIZATION and listed.state in ("authorized", "settled"):
        at = listed.authorized or listed.created
        return Approved(psp_id=id, facts=(mapping.held(id, listed.amount, currency, at),))
    return Pending(psp_id=id)


async def _charged_back(client: Client, dispute: Dispute) -> Movement | None:
    """The payment a dispute has changed; it names a handle, which has one settle as a rule."""
    invoice = await client.get(Invoice, "invoice", dispute.invoice)
    known = invoice.transactions if invoice else []
    settles = [t for t in known if t.type == "settle" and t.state == "settled"]
    if invoice is None or not settles:
        log.error("Dispute %s is about nothing that was settled", dispute.id)
        return None
    found = await search.disputes(client, settles[-1])
    outcome = mapping.movement(settles[-1], invoice.currency, found)
    lines = {(invoice.handle, n.amount): bodies.mark(n.ordertext) for n in invoice.order_lines}
    marks = {place: mark for place, mark in lines.items() if mark}
    return _movement(settles[-1], invoice.currency, marks, outcome)
