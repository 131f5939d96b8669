"""Finds what we made, also where the PSP keeps no reference of ours: by its text.

A settle is found among the charges settled lately, a refund by its credit note; the PSP lists one
month, newest first. That is for the rare case of an answer that never came.
"""

import re

from integrator.psp.billwerk_pay import mapping
from integrator.psp.billwerk_pay.client import Client
from integrator.psp.billwerk_pay.wire import (
    Charge,
    CreditNote,
    Dispute,
    Invoice,
    Refund,
    Transaction,
)
from integrator.psp.errors import ProtocolError
from integrator.psp.toolkit.redaction import mark
from integrator.psp.types import Lookup, Outcome, Pending

# What the PSP allows, but for names that mean another place in an address.
_HANDLE = re.compile(r"(?!\.+$)[A-Za-z0-9_.@-]{1,255}")


async def invoice(client: Client, handle: str) -> Invoice | None:
    """Everything under a handle; None for what cannot be one."""
    return await client.get(Invoice, "invoice", handle) if _HANDLE.fullmatch(handle) else None


async def payment(client: Client, lookup: Lookup) -> Outcome | None:
    """A settle with its chargebacks; by its id, else by the handle that is our reference."""
    handle, _, id = (lookup.psp_id or lookup.reference).partition("/")
    found = await invoice(client, handle)
    if found is None:
        settled = None if lookup.psp_id else await _settled(client, lookup.reference)
        return await _with_disputes(client, settled, lookup) if settled else None
    mapping.ours(found, lookup.currency, handle)
    marks = {mark(line.ordertext) for line in found.order_lines}
    if lookup.reference not in (handle, *marks):
        raise ProtocolError("The PSP answered with somebody else's payment.")
    settles = [t for t in found.transactions if t.type == "settle" and id in ("", t.id)]
    if not settles:
        return None if id else Pending(psp_id=None)
    return await _with_disputes(client, settles[-1], lookup)


async def refund(client: Client, lookup: Lookup) -> Outcome | None:
    """A refund by its id, else by its text."""
    id = lookup.psp_id
    if id is None:
        async for note in client.entries(CreditNote, "credit_note"):
            id = mapping.refund_of([note], lookup.reference)
            if id is not None:
                break
    found = await client.get(Refund, "refund", id) if id and _HANDLE.fullmatch(id) else None
    return mapping.refund(mapping.ours(found, lookup.currency), found.currency) if found else None


async def disputes(client: Client, moved: Transaction) -> list[Dispute]:
    """Every dispute about a payment."""
    since = moved.created.date().replace(day=1).isoformat()
    params = {"invoice": moved.invoice, "from": since}
    return [dispute async for dispute in client.entries(Dispute, "dispute", **params)]


async def _settled(client: Client, reference: str) -> Transaction | None:
    async for charge in client.entries(Charge, "charge", range="settled"):
        if any(mark(line.ordertext) == reference for line in charge.order_lines):
            found = await invoice(client, charge.handle)
            return mapping.settle_of(found, reference) if found else None
    return None


async def _with_disputes(client: Client, moved: Transaction, lookup: Lookup) -> Outcome:
    mapping.ours(moved, lookup.currency)
    found = await disputes(client, moved) if moved.state == "settled" else []
    return mapping.movement(moved, lookup.currency, found)
