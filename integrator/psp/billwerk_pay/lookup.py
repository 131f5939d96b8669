"""Look-up of our objects, also those without a field for our reference: by their text.

A settle is found at its charge, a refund by its credit note at the charge's invoice. If the parent
is not known, they are found in the PSP's lists, which hold one month, newest first. That is needed
only if a response was lost.

Whether reads may lag is not documented. That a handle has no charge, or its charge no settle or
refund of ours, is proof once nothing can be sent any more; the lists are no proof at all.
"""

import re
from datetime import timedelta

from integrator.psp.billwerk_pay import mapping
from integrator.psp.billwerk_pay.client import BillwerkPayClient
from integrator.psp.billwerk_pay.wire import (
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    Refund,
    Transaction,
)
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.redaction import extract_reference
from integrator.psp.toolkit.time_search import is_key_forgotten
from integrator.psp.types import Absent, Lookup, LookupAnswer, Outcome, Pending

KEY_WINDOW_SECONDS = 24 * 3600
"""For how long a call is repeated; the PSP recognises it by its handle for longer."""

# Characters that the PSP allows, without names of only dots, which change the path.
_HANDLE = re.compile(r"(?!\.+$)[A-Za-z0-9_.@-]{1,255}")

_LONGEST_DISPUTE_PERIOD = timedelta(days=400)


async def get_invoice(client: BillwerkPayClient, handle: str) -> Invoice | None:
    """Return the invoice of a handle; None if it does not exist or the handle is malformed."""
    return await client.get(Invoice, "invoice", handle) if _HANDLE.fullmatch(handle) else None


def absent(lookup: Lookup, *, complete: bool) -> Absent:
    """Return that nothing was found, as proof if the reads were `complete` and late enough."""
    forgotten = is_key_forgotten(lookup.created_at, time_formats.now(), KEY_WINDOW_SECONDS)
    return Absent(proven=complete and forgotten)


async def fetch_payment(client: BillwerkPayClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a settle by its id, or by the handle that is our reference."""
    handle, _, id = (lookup.psp_id or lookup.reference).partition("/")
    invoice = await get_invoice(client, handle)
    if invoice is None:
        if lookup.psp_id is not None:
            return absent(lookup, complete=False)
        return await _fetch_capture(client, lookup)
    mapping.verify_handle(invoice, lookup.currency, handle)
    references = {extract_reference(line.ordertext) for line in invoice.order_lines}
    if lookup.reference not in (handle, *references):
        raise ProtocolError("The PSP returned a payment of another transaction.")
    settles = [t for t in invoice.transactions if t.type == "settle" and id in ("", t.id)]
    if not settles:
        return absent(lookup, complete=False) if id else Pending(psp_id=None)
    return await _settle_outcome(client, invoice, settles[-1], lookup)


async def fetch_refund(client: BillwerkPayClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a refund by its id, or by its text."""
    parent = (lookup.parent_psp_id or "").partition("/")[0]
    id, invoice = lookup.psp_id, None
    if id is None:
        invoice = await get_invoice(client, parent)
        id = mapping.find_refund_id(invoice.credit_notes, lookup.reference) if invoice else None
    if id is None:
        async for note in client.iterate_list(CreditNote, "credit_note"):
            id = mapping.find_refund_id([note], lookup.reference)
            if id is not None:
                break
    refund = await client.get(Refund, "refund", id) if id and _HANDLE.fullmatch(id) else None
    if refund is None:
        return absent(lookup, complete=id is None and _names_all_refunds(invoice))
    return mapping.refund_outcome(
        mapping.verify_handle(refund, lookup.currency, parent or None), refund.currency
    )


async def list_disputes(
    client: BillwerkPayClient, invoice: Invoice, settle: Transaction
) -> list[Dispute]:
    """Return all disputes of a settle. Raises `ProtocolError` for one of another charge."""
    since = settle.created or time_formats.now() - _LONGEST_DISPUTE_PERIOD
    params = {"invoice": invoice.handle, "from": since.date().replace(day=1).isoformat()}
    disputes: list[Dispute] = []
    async for dispute in client.iterate_list(Dispute, "dispute", **params):
        disputed = mapping.disputed_settle(invoice, dispute)
        if disputed is not None and disputed.id == settle.id:
            disputes.append(dispute)
    return disputes


def _names_all_refunds(invoice: Invoice | None) -> bool:
    """Return whether each refund of an invoice has its credit note, and with it our reference."""
    if invoice is None:
        return False
    named = {note.transaction for note in invoice.credit_notes}
    return {moved.id for moved in invoice.transactions if moved.type == "refund"} <= named


async def _fetch_capture(client: BillwerkPayClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a settle at a charge that has not our reference as its handle.

    Without parent the transaction is no capture: only the handle could have been ours.
    """
    parent = await get_invoice(client, lookup.parent_psp_id) if lookup.parent_psp_id else None
    settle = mapping.find_settle(parent, lookup.reference) if parent else None
    if parent is not None and settle is not None:
        return await _settle_outcome(client, parent, settle, lookup)
    found = await _find_listed_settle(client, lookup.reference)
    if found is not None:
        return await _settle_outcome(client, *found, lookup)
    is_charge = lookup.parent_psp_id is None and not lookup.has_parent
    # A settle without our reference could be ours, if the PSP has not kept the text.
    is_unsettled = parent is not None and not any(t.type == "settle" for t in parent.transactions)
    return absent(lookup, complete=is_charge or is_unsettled)


async def _find_listed_settle(
    client: BillwerkPayClient, reference: str
) -> tuple[Invoice, Transaction] | None:
    """Return the settle with our reference in its text, and its invoice, from the month's list."""
    async for charge in client.iterate_list(Charge, "charge", range="settled"):
        if any(extract_reference(line.ordertext) == reference for line in charge.order_lines):
            invoice = await get_invoice(client, charge.handle)
            settle = mapping.find_settle(invoice, reference) if invoice else None
            return (invoice, settle) if invoice and settle else None
    return None


async def _settle_outcome(
    client: BillwerkPayClient, invoice: Invoice, settle: Transaction, lookup: Lookup
) -> Outcome:
    mapping.verify_handle(invoice, lookup.currency)
    mapping.verify_handle(settle, lookup.currency, invoice.handle)
    is_settled = settle.state == "settled"
    disputes = await list_disputes(client, invoice, settle) if is_settled else []
    return mapping.settle_outcome(settle, lookup.currency, disputes)
