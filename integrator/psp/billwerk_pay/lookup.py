"""Look-up of our objects, also those without a field for our reference: by their text.

A settle is found at its charge, a refund by its credit note at the charge's invoice. If the parent
is not known, they are found in the PSP's lists, which hold one month, newest first. That is needed
only if a response was lost. Whether these reads may lag is not documented, so that "not found"
proves nothing.
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
from integrator.psp.types import Lookup, Outcome, Pending

# Characters that the PSP allows, without names of only dots, which change the path.
_HANDLE = re.compile(r"(?!\.+$)[A-Za-z0-9_.@-]{1,255}")

_LONGEST_DISPUTE_PERIOD = timedelta(days=400)


async def get_invoice(client: BillwerkPayClient, handle: str) -> Invoice | None:
    """Return the invoice of a handle; None if it does not exist or the handle is malformed."""
    return await client.get(Invoice, "invoice", handle) if _HANDLE.fullmatch(handle) else None


async def fetch_payment(client: BillwerkPayClient, lookup: Lookup) -> Outcome | None:
    """Return the outcome of a settle by its id, or by the handle that is our reference."""
    handle, _, id = (lookup.psp_id or lookup.reference).partition("/")
    invoice = await get_invoice(client, handle)
    if invoice is None:
        found = None if lookup.psp_id else await _find_settle(client, lookup)
        return await _settle_outcome(client, *found, lookup) if found else None
    mapping.verify_handle(invoice, lookup.currency, handle)
    references = {extract_reference(line.ordertext) for line in invoice.order_lines}
    if lookup.reference not in (handle, *references):
        raise ProtocolError("The PSP returned a payment of another transaction.")
    settles = [t for t in invoice.transactions if t.type == "settle" and id in ("", t.id)]
    if not settles:
        return None if id else Pending(psp_id=None)
    return await _settle_outcome(client, invoice, settles[-1], lookup)


async def fetch_refund(client: BillwerkPayClient, lookup: Lookup) -> Outcome | None:
    """Return the outcome of a refund by its id, or by its text."""
    id = lookup.psp_id or await _find_refund_of_parent(client, lookup)
    if id is None:
        async for note in client.iterate_list(CreditNote, "credit_note"):
            id = mapping.find_refund_id([note], lookup.reference)
            if id is not None:
                break
    refund = await client.get(Refund, "refund", id) if id and _HANDLE.fullmatch(id) else None
    if refund is None:
        return None
    parent = (lookup.parent_psp_id or "").partition("/")[0] or None
    return mapping.refund_outcome(
        mapping.verify_handle(refund, lookup.currency, parent), refund.currency
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


async def _find_settle(
    client: BillwerkPayClient, lookup: Lookup
) -> tuple[Invoice, Transaction] | None:
    """Return the settle with our reference in its text, and its invoice."""
    reference = lookup.reference
    parent = await get_invoice(client, lookup.parent_psp_id) if lookup.parent_psp_id else None
    settle = mapping.find_settle(parent, reference) if parent else None
    if parent is not None and settle is not None:
        return parent, settle
    async for charge in client.iterate_list(Charge, "charge", range="settled"):
        if any(extract_reference(line.ordertext) == reference for line in charge.order_lines):
            invoice = await get_invoice(client, charge.handle)
            settle = mapping.find_settle(invoice, reference) if invoice else None
            return (invoice, settle) if invoice and settle else None
    return None


async def _find_refund_of_parent(client: BillwerkPayClient, lookup: Lookup) -> str | None:
    handle = (lookup.parent_psp_id or "").partition("/")[0]
    invoice = await get_invoice(client, handle)
    return mapping.find_refund_id(invoice.credit_notes, lookup.reference) if invoice else None


async def _settle_outcome(
    client: BillwerkPayClient, invoice: Invoice, settle: Transaction, lookup: Lookup
) -> Outcome:
    mapping.verify_handle(invoice, lookup.currency)
    mapping.verify_handle(settle, lookup.currency, invoice.handle)
    is_settled = settle.state == "settled"
    disputes = await list_disputes(client, invoice, settle) if is_settled else []
    return mapping.settle_outcome(settle, lookup.currency, disputes)
