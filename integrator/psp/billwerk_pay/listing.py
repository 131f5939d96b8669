"""What was made at the PSP in a time window, whoever made it.

Lists are in the account's local time without an offset, newest first; their entries do have an
offset, so that a window is asked for generously and cut exactly. A chargeback changes an old
payment and is never notified: such payments are listed in the window of their dispute's end.
https://optimize-docs.billwerk.com/docs/list_queries
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from integrator.psp.billwerk_pay import lookup, mapping
from integrator.psp.billwerk_pay.client import Client
from integrator.psp.billwerk_pay.money import to_major
from integrator.psp.billwerk_pay.wire import (
    Account,
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    Transaction,
)
from integrator.psp.toolkit.pagination import Part, movement_page
from integrator.psp.toolkit.redaction import mark
from integrator.psp.toolkit.time_formats import wall_clock
from integrator.psp.types import Approved, Movement, MovementKind, MovementPage, Outcome, Pending

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


async def movements(
    client: Client, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """A page of a window; the cursor begins with the account's time zone and currency."""
    if cursor is None:
        account = await client.require(Account, "account")
        zone, currency, place = account.timezone, account.currency, ""
    else:
        zone, currency, place = cursor.split(_SEPARATOR, 2)
    window = {
        "from": wall_clock(since, zone, spare=-_HOUR),
        "to": wall_clock(until + timedelta(seconds=1), zone, spare=_HOUR),
    }

    async def transactions(after: str | None) -> Part:
        page = await client.listed(Transaction, "transaction", next_page_token=after, **window)
        made = [t for t in page.content if since <= t.created < until and _moved(t)]
        marks = await _marks(client, made, zone)
        found = [_movement(t, t.currency or currency, marks) for t in made]
        return found, page.next_page_token

    async def disputes(after: str | None) -> Part:
        params = {"range": "resolved", "next_page_token": after, **window}
        page = await client.listed(Dispute, "dispute", **params)
        lost = [d for d in page.content if mapping.is_chargeback(d)]
        own = [d for d in lost if d.resolved is not None and since <= d.resolved < until]
        return [await _charged_back(client, d) for d in own], page.next_page_token

    lists = {"transaction": transactions, "dispute": disputes}
    page = await movement_page(lists, place, _SEPARATOR)
    if page.cursor is None:
        return page
    kind, _, token = page.cursor.partition(_SEPARATOR)
    return page.model_copy(update={"cursor": _SEPARATOR.join((zone, currency, kind, token))})


def _moved(listed: Transaction) -> bool:
    return listed.type in _KINDS and listed.state not in _MOVED_NOTHING


async def _marks(
    client: Client, listed: Sequence[Transaction], zone: str
) -> dict[tuple[str, int], str]:
    """Our references in the texts of settles and refunds, by handle or id and by amount."""
    found: dict[tuple[str, int], str] = {}
    if not listed:
        return found
    times = [moved.created for moved in listed]
    span = {
        "from": wall_clock(min(times) - _AROUND, zone, spare=-_HOUR),
        "to": wall_clock(max(times) + _AROUND, zone, spare=_HOUR),
    }
    if any(moved.type == "settle" and _captures(moved) for moved in listed):
        async for charge in client.entries(Charge, "charge", range="settled", **span):
            for line in charge.order_lines:
                if reference := mark(line.ordertext):
                    found[charge.handle, line.amount] = reference
    if any(moved.type == "refund" for moved in listed):
        async for note in client.entries(CreditNote, "credit_note", **span):
            for text in note.credit_note_lines:
                if note.transaction and (reference := mark(text.text)):
                    found[note.transaction, note.amount] = reference
    return found


def _captures(settle: Transaction) -> bool:
    """Whether it took a reservation, whose handle is another transaction's."""
    return settle.card_transaction.ref_transaction is not None


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
    if kind is MovementKind.REFUND:
        return mapping.refund(listed, currency)
    if listed.state in ("authorized", "settled"):
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
    found = await lookup.disputes(client, settles[-1])
    outcome = mapping.movement(settles[-1], invoice.currency, found)
    lines = {(invoice.handle, n.amount): mark(n.ordertext) for n in invoice.order_lines}
    marks = {place: reference for place, reference in lines.items() if reference}
    return _movement(settles[-1], invoice.currency, marks, outcome)
