"""Movements at the PSP in a time window, created by us or elsewhere.

Lists are queried in the account's local time without offset, newest first; their entries do have an
offset. So a larger window is requested and then filtered exactly. A chargeback changes an old
payment without notification: such payments are listed in the window of their dispute's end.
https://optimize-docs.billwerk.com/docs/list_queries
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from integrator.psp.billwerk_pay import lookup, mapping
from integrator.psp.billwerk_pay.client import BillwerkPayClient
from integrator.psp.billwerk_pay.money import to_major
from integrator.psp.billwerk_pay.wire import (
    Account,
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    Transaction,
)
from integrator.psp.toolkit.pagination import ListPage, build_movements, fetch_movement_page
from integrator.psp.toolkit.redaction import extract_reference
from integrator.psp.toolkit.time_formats import format_local_time
from integrator.psp.types import Approved, Movement, MovementKind, MovementPage, Outcome, Pending

_KINDS = {
    "authorization": MovementKind.AUTHORIZATION,
    "settle": MovementKind.PAYMENT,
    "refund": MovementKind.REFUND,
}
_STATES_WITHOUT_MONEY = frozenset({"failed", "cancelled"})
_SEPARATOR = "|"
_HOUR = timedelta(hours=1)
# Maximum time between a movement and its text.
_TEXT_MARGIN = timedelta(minutes=1)

log = logging.getLogger(__name__)


async def list_movements(
    client: BillwerkPayClient, since: datetime, until: datetime, cursor: str | None
) -> MovementPage:
    """Fetch a page of a window; the cursor begins with the account's time zone and currency."""
    if cursor is None:
        account = await client.get_required(Account, "account")
        zone, currency, position = account.timezone, account.currency, ""
    else:
        zone, currency, position = cursor.split(_SEPARATOR, 2)
    window = {
        "from": format_local_time(since, zone, ambiguity_offset=-_HOUR),
        "to": format_local_time(until + timedelta(seconds=1), zone, ambiguity_offset=_HOUR),
    }

    async def fetch_transactions(after: str | None) -> ListPage:
        page = await client.list_page(Transaction, "transaction", next_page_token=after, **window)
        moved = [t for t in page.content if since <= t.created < until and _has_moved_money(t)]
        references = await _find_references(client, moved, zone)
        movements = build_movements(
            moved, lambda t: _build_movement(t, t.currency or currency, references)
        )
        return movements, page.next_page_token

    async def fetch_disputes(after: str | None) -> ListPage:
        params = {"range": "resolved", "next_page_token": after, **window}
        page = await client.list_page(Dispute, "dispute", **params)
        lost = [d for d in page.content if mapping.is_chargeback(d)]
        resolved = [d for d in lost if d.resolved is not None and since <= d.resolved < until]
        return [await _charged_back_payment(client, d) for d in resolved], page.next_page_token

    lists = {"transaction": fetch_transactions, "dispute": fetch_disputes}
    page = await fetch_movement_page(lists, position, _SEPARATOR)
    if page.cursor is None:
        return page
    kind, _, token = page.cursor.partition(_SEPARATOR)
    return page.model_copy(update={"cursor": _SEPARATOR.join((zone, currency, kind, token))})


def _has_moved_money(transaction: Transaction) -> bool:
    return transaction.type in _KINDS and transaction.state not in _STATES_WITHOUT_MONEY


async def _find_references(
    client: BillwerkPayClient, transactions: Sequence[Transaction], zone: str
) -> dict[tuple[str, int], str]:
    """Return our references in the texts of settles and refunds, by handle or id and amount."""
    references: dict[tuple[str, int], str] = {}
    if not transactions:
        return references
    times = [moved.created for moved in transactions]
    span = {
        "from": format_local_time(min(times) - _TEXT_MARGIN, zone, ambiguity_offset=-_HOUR),
        "to": format_local_time(max(times) + _TEXT_MARGIN, zone, ambiguity_offset=_HOUR),
    }
    if any(moved.type == "settle" and _is_capture(moved) for moved in transactions):
        async for charge in client.iterate_list(Charge, "charge", range="settled", **span):
            for line in charge.order_lines:
                if reference := extract_reference(line.ordertext):
                    references[charge.handle, line.amount] = reference
    if any(moved.type == "refund" for moved in transactions):
        async for note in client.iterate_list(CreditNote, "credit_note", **span):
            for text in note.credit_note_lines:
                if note.transaction and (reference := extract_reference(text.text)):
                    references[note.transaction, note.amount] = reference
    return references


def _is_capture(settle: Transaction) -> bool:
    """Return whether a settle captured a reservation, which has another transaction's handle."""
    return settle.card_transaction.ref_transaction is not None


def _build_movement(
    transaction: Transaction,
    currency: str,
    references: Mapping[tuple[str, int], str],
    outcome: Outcome | None = None,
) -> Movement:
    kind, handle = _KINDS[transaction.type], transaction.invoice
    settle = transaction.card_transaction.ref_transaction
    id, parent, reference = {
        MovementKind.AUTHORIZATION: (handle, None, handle),
        MovementKind.PAYMENT: (
            mapping.movement_id(handle, transaction.id),
            handle,
            references.get((handle, transaction.amount), handle)
            if _is_capture(transaction)
            else handle,
        ),
        MovementKind.REFUND: (
            transaction.id,
            mapping.movement_id(handle, settle) if settle else None,
            references.get((transaction.id, transaction.amount)),
        ),
    }[kind]
    return Movement(
        kind=kind,
        psp_id=id,
        reference=reference,
        parent_psp_id=parent,
        amount=to_major(transaction.amount, currency),
        currency=currency,
        booked_at=transaction.created,
        outcome=outcome or _transaction_outcome(transaction, kind, id, currency),
    )


def _transaction_outcome(
    transaction: Transaction, kind: MovementKind, id: str, currency: str
) -> Outcome:
    if kind is MovementKind.PAYMENT:
        return mapping.settle_outcome(transaction, currency)
    if kind is MovementKind.REFUND:
        return mapping.refund_outcome(transaction, currency)
    if transaction.state in ("authorized", "settled"):
        at = transaction.authorized or transaction.created
        return Approved(psp_id=id, facts=(mapping.hold_fact(id, transaction.amount, currency, at),))
    return Pending(psp_id=id)


async def _charged_back_payment(client: BillwerkPayClient, dispute: Dispute) -> Movement | None:
    """Build the movement of a disputed payment.

    A dispute names a handle, which normally has one settle.
    """
    invoice = await client.get(Invoice, "invoice", dispute.invoice)
    transactions = invoice.transactions if invoice else []
    settles = [t for t in transactions if t.type == "settle" and t.state == "settled"]
    if invoice is None or not settles:
        log.error("Dispute %s is skipped: its charge has no settled transaction", dispute.id)
        return None
    disputes = await lookup.list_disputes(client, settles[-1])
    outcome = mapping.settle_outcome(settles[-1], invoice.currency, disputes)
    lines = {
        (invoice.handle, n.amount): extract_reference(n.ordertext) for n in invoice.order_lines
    }
    references = {place: reference for place, reference in lines.items() if reference}
    return _build_movement(settles[-1], invoice.currency, references, outcome)
