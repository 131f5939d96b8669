"""Movements at the PSP in a time window, created by us or elsewhere.

Lists are queried in the account's local time without offset, newest first; their entries do have an
offset. So a larger window is requested and then filtered exactly. A chargeback changes an old
payment without notification: such payments are listed in the window of their dispute's end.
https://optimize-docs.billwerk.com/docs/list_queries
"""

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from integrator.psp.billwerk_pay import lookup, mapping
from integrator.psp.billwerk_pay.client import BillwerkPayClient
from integrator.psp.billwerk_pay.money import is_unit_certain, to_major
from integrator.psp.billwerk_pay.wire import (
    Account,
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    Transaction,
)
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.money import UnknownCurrencyReported
from integrator.psp.toolkit.pagination import ListPage, fetch_movement_page
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

References = dict[tuple[str, int | None], str]
"""Our references: of a settle by handle and amount, of a refund by its id."""

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
        in_window = [t for t in page.content if t.created is None or since <= t.created < until]
        moved = [t for t in in_window if _has_moved_money(t)]
        references = await _find_references(client, moved, zone)

        def build(moved: Transaction) -> Movement:
            return _build_movement(moved, moved.currency or currency, references, since)

        movements = [_build_readable(t, t.currency or currency, build) for t in moved]
        return movements, page.next_page_token

    async def fetch_disputes(after: str | None) -> ListPage:
        params = {"range": "resolved", "next_page_token": after, **window}
        page = await client.list_page(Dispute, "dispute", **params)
        lost = [d for d in page.content if _is_lost(d)]
        resolved = [d for d in lost if d.resolved is not None and since <= d.resolved < until]
        movements = [await _charged_back_payment(client, d, since) for d in resolved]
        return movements, page.next_page_token

    lists = {"transaction": fetch_transactions, "dispute": fetch_disputes}
    page = await fetch_movement_page(lists, position, _SEPARATOR)
    if page.cursor is None:
        return page
    kind, _, token = page.cursor.partition(_SEPARATOR)
    return page.model_copy(update={"cursor": _SEPARATOR.join((zone, currency, kind, token))})


def _build_readable(
    transaction: Transaction, currency: str, build: Callable[[Transaction], Movement]
) -> Movement | None:
    """Build a movement; None for one whose amount another system counted in other units.

    Only in a currency whose units are not certain: elsewhere an unreadable amount is an error.
    """
    try:
        return build(transaction)
    except UnknownCurrencyReported as error:
        reason = str(error)
    except ProtocolError as error:
        if is_unit_certain(currency):
            raise
        reason = str(error)
    log.error("The transaction %s is left out of the list: %s", transaction.id, reason)
    return None


def _is_lost(dispute: Dispute) -> bool:
    """Return whether a dispute has withdrawn money; one that is not understood is logged."""
    try:
        return mapping.is_chargeback(dispute)
    except ProtocolError as error:
        log.error("The dispute %s is left out of the list: %s", dispute.id, error)
        return False


def _has_moved_money(transaction: Transaction) -> bool:
    return transaction.type in _KINDS and transaction.state not in _STATES_WITHOUT_MONEY


def _text_span(earliest: datetime, latest: datetime, zone: str) -> dict[str, str]:
    """Return the bounds of a list that holds the texts of movements."""
    return {
        "from": format_local_time(earliest - _TEXT_MARGIN, zone, ambiguity_offset=-_HOUR),
        "to": format_local_time(latest + _TEXT_MARGIN, zone, ambiguity_offset=_HOUR),
    }


async def _find_references(
    client: BillwerkPayClient, transactions: Sequence[Transaction], zone: str
) -> References:
    """Return our references in the texts of settles and refunds."""
    references: References = {}
    if not transactions:
        return references
    times = [moved.created for moved in transactions if moved.created]
    span = _text_span(min(times), max(times), zone) if times else {}
    if any(moved.type == "settle" and _is_capture(moved) for moved in transactions):
        async for charge in client.iterate_list(Charge, "charge", range="settled", **span):
            for line in charge.order_lines:
                if line.amount is not None and (reference := extract_reference(line.ordertext)):
                    references[charge.handle, line.amount] = reference
    if any(moved.type == "refund" for moved in transactions):
        async for note in client.iterate_list(CreditNote, "credit_note", **span):
            for text in note.credit_note_lines:
                if note.transaction and (reference := extract_reference(text.text)):
                    references[note.transaction, None] = reference
    return references


def _is_capture(settle: Transaction) -> bool:
    """Return whether a settle captured a reservation, which has another transaction's handle."""
    return settle.card_transaction.ref_transaction is not None


def _build_movement(
    transaction: Transaction,
    currency: str,
    references: References,
    since: datetime,
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
            references.get((transaction.id, None)),
        ),
    }[kind]
    return Movement(
        kind=kind,
        psp_id=id,
        reference=reference,
        parent_psp_id=parent,
        amount=to_major(transaction.amount, currency),
        currency=currency,
        booked_at=transaction.created or since,
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


async def _charged_back_payment(
    client: BillwerkPayClient, dispute: Dispute, since: datetime
) -> Movement | None:
    """Build the movement of a disputed payment; None if it cannot be one of ours."""
    invoice = await client.get(Invoice, "invoice", dispute.invoice)
    settle = _find_disputed(invoice, dispute) if invoice else None
    if invoice is None or settle is None:
        return None
    disputes = await lookup.list_disputes(client, invoice, settle)
    lines: References = {
        (invoice.handle, line.amount): reference
        for line in invoice.order_lines
        if line.amount is not None and (reference := extract_reference(line.ordertext))
    }
    currency = invoice.currency

    def build(settle: Transaction) -> Movement:
        outcome = mapping.settle_outcome(settle, currency, disputes)
        return _build_movement(settle, currency, lines, since, outcome)

    return _build_readable(settle, currency, build)


def _find_disputed(invoice: Invoice, dispute: Dispute) -> Transaction | None:
    """Return the settle of a dispute; None if it has none or cannot be about this invoice."""
    try:
        settle = mapping.disputed_settle(invoice, dispute)
    except ProtocolError as error:
        log.error("The dispute %s is left out of the list: %s", dispute.id, error)
        return None
    if settle is None:
        log.error("Dispute %s is skipped: its charge has no settled transaction", dispute.id)
    return settle
