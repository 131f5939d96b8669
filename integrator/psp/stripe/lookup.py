"""Look-up of Stripe's objects by id, or by the reference in their metadata.

Only PaymentIntents can be searched, and the search lags (https://docs.stripe.com/search, "Data
freshness"). Lists do not lag, but have to be read page by page. So new objects are found in the
newest pages of a list and old ones by the search. An empty result proves nothing.

A capture and a refund are found at their parent, which does not lag and is read in full: there an
empty result is proof, if Stripe knows the parent.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import mapping
from integrator.psp.stripe.authorize import SESSION_EXPAND, SETUP_EXPAND
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.payment_intents import INTENT_EXPAND, INTENTS, REFUND_EXPAND
from integrator.psp.stripe.wire import (
    CAPTURE,
    REFERENCE,
    Charge,
    CheckoutSession,
    Dispute,
    PaymentIntent,
    Refund,
    SetupIntent,
)
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.lookup import ObjectKind, fetch_outcome
from integrator.psp.toolkit.outcomes import merge_outcomes, require_match, verify_reference
from integrator.psp.toolkit.pagination import find_in_newest, iterate_entries
from integrator.psp.types import Absent, Lookup, LookupAnswer, Outcome

T = TypeVar("T", CheckoutSession, SetupIntent, PaymentIntent, Refund)

_CHARGE_PREFIXES = ("ch_", "py_")
_MAX_PAGES = 3


def _hold_outcome(intent: PaymentIntent) -> Outcome:
    return mapping.hold_outcome(intent, time_formats.now())


_SESSIONS = ObjectKind(
    CheckoutSession, "checkout/sessions", "cs_", mapping.session_outcome, SESSION_EXPAND
)
_SETUPS = ObjectKind(SetupIntent, "setup_intents", "seti_", mapping.setup_outcome, SETUP_EXPAND)
_INTENTS = ObjectKind(PaymentIntent, INTENTS, "pi_", _hold_outcome, INTENT_EXPAND)
_REFUNDS = ObjectKind(Refund, "refunds", "", mapping.refund_outcome, REFUND_EXPAND)


async def fetch_authorization(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """Return the outcome of a checkout session, a PaymentIntent or a SetupIntent."""
    searched = (_SETUPS,) if lookup.role is Role.Debit else (_SESSIONS, _INTENTS)
    return await _fetch(client, lookup, (_SESSIONS, _SETUPS, _INTENTS), searched)


async def fetch_payment(client: StripeClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a charge or a capture, with its chargebacks."""
    if lookup.psp_id is None and (lookup.parent_psp_id or "").startswith("pi_"):
        return await _fetch_capture(client, lookup, lookup.parent_psp_id or "")
    id = lookup.psp_id or ""
    if id.startswith(_CHARGE_PREFIXES):
        expand = ("payment_intent", "balance_transaction")
        charge = await client.get(Charge, "charges", id, expand=expand)
        if charge is not None:
            _require_payment(lookup, charge)
            return mapping.charge_outcome(charge, await _list_disputes(client, charge))
    if id.startswith("pi_"):
        intent = await _get_intent(client, id)
        if intent is not None:
            return await _payment_outcome(client, lookup, intent)
    intents = await _find_intents(client, lookup, REFERENCE) or await _find_intents(
        client, lookup, CAPTURE
    )
    return merge_outcomes([await _payment_outcome(client, lookup, intent) for intent in intents])


async def fetch_refund(client: StripeClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a refund."""
    parent = lookup.parent_psp_id
    if lookup.psp_id is None and parent is not None:
        if not await _has_payment(client, lookup, parent):
            return Absent(proven=False)
        matching = [
            refund
            async for refund in _iterate_refunds(client, parent)
            if refund.reference == lookup.reference
        ]
        outcomes = [
            mapping.refund_outcome(verify_reference(refund, lookup), parent) for refund in matching
        ]
        return merge_outcomes(outcomes) or Absent(proven=True)
    refunds = replace(_REFUNDS, outcome=partial(mapping.refund_outcome, payment_id=parent))
    return await _fetch(client, lookup, (refunds,))


def _require_payment(lookup: Lookup, charge: Charge) -> None:
    """Raise `ProtocolError` unless the charge is the payment or capture looked up."""
    intent = charge.payment_intent
    if isinstance(intent, PaymentIntent):
        require_match(lookup, intent.payment_reference, intent.currency)
    require_match(lookup, None, charge.currency)
    parent = lookup.parent_psp_id or ""
    if parent.startswith("pi_") and charge.intent_id not in (None, parent):
        raise ProtocolError(f"Stripe returned the charge {charge.id} of another reservation.")


async def _fetch_capture(client: StripeClient, lookup: Lookup, parent: str) -> LookupAnswer:
    """Return the outcome of the capture of a reservation, which can be captured only once."""
    intent = await _get_intent(client, parent)
    if intent is None:
        return Absent(proven=False)
    require_match(lookup, None, intent.currency)
    if intent.capture_reference != lookup.reference:
        return Absent(proven=True)
    return await _payment_outcome(client, lookup, intent)


async def _has_payment(client: StripeClient, lookup: Lookup, id: str) -> bool:
    """Return whether Stripe knows the payment: a list filtered by an unknown one proves nothing."""
    payment = (
        await client.get(Charge, "charges", id)
        if id.startswith(_CHARGE_PREFIXES)
        else await _get_intent(client, id)
    )
    if payment is not None:
        require_match(lookup, None, payment.currency)
    return payment is not None


def _iterate_refunds(client: StripeClient, payment: str) -> AsyncIterator[Refund]:
    """Yield all refunds of a payment; raise `OutcomeUnknown` if there are too many."""
    filters: dict[str, Any] = {
        "charge" if payment.startswith(_CHARGE_PREFIXES) else "payment_intent": payment
    }

    async def fetch_page(after: str | None) -> tuple[Sequence[Refund], str | None]:
        page = await client.list_page(
            Refund, "refunds", expand=REFUND_EXPAND, starting_after=after, **filters
        )
        return page.data, page.last_id

    return iterate_entries(fetch_page, _MAX_PAGES)


async def _fetch(
    client: StripeClient,
    lookup: Lookup,
    kinds: Sequence[ObjectKind[Any]],
    search_kinds: Sequence[ObjectKind[Any]] | None = None,
) -> Outcome | None:
    async def get(kind: ObjectKind[Any], id: str) -> Any | None:
        return await client.get(kind.model, *kind.path.split("/"), id, expand=kind.expand)

    async def find_by_reference(kind: ObjectKind[Any]) -> Sequence[Any]:
        if kind is _INTENTS:
            return await _find_intents(client, lookup, REFERENCE)
        return await _find_in_newest(client, kind, lambda item: item.reference == lookup.reference)

    return await fetch_outcome(
        lookup, kinds, get=get, find_by_reference=find_by_reference, search_kinds=search_kinds
    )


async def _payment_outcome(client: StripeClient, lookup: Lookup, intent: PaymentIntent) -> Outcome:
    require_match(lookup, intent.payment_reference, intent.currency)
    charge = intent.latest_charge
    disputes = await _list_disputes(client, charge) if isinstance(charge, Charge) else ()
    return mapping.payment_outcome(intent, disputes, time_formats.now())


async def _list_disputes(client: StripeClient, charge: Charge) -> tuple[Dispute, ...]:
    if not charge.disputed:
        return ()

    async def fetch_page(after: str | None) -> tuple[Sequence[Dispute], str | None]:
        page = await client.list_page(Dispute, "disputes", charge=charge.id, starting_after=after)
        return page.data, page.last_id

    return tuple([dispute async for dispute in iterate_entries(fetch_page, _MAX_PAGES)])


async def _find_intents(client: StripeClient, lookup: Lookup, name: str) -> list[PaymentIntent]:
    """Return the intents with our reference under `name` in their metadata."""
    quoted = lookup.reference.replace("\\", "\\\\").replace("'", "\\'")
    query = f"metadata['{name}']:'{quoted}'"
    page = await client.list_page(PaymentIntent, INTENTS, "search", query=query)
    if not page.data:
        return await _find_in_newest(
            client, _INTENTS, lambda intent: intent.metadata_value(name) == lookup.reference
        )
    # Read each again: the search result may be as old as its index.
    intents = [await _get_intent(client, stale.id) for stale in page.data]
    for intent in filter(None, intents):
        require_match(lookup, intent.metadata_value(name), intent.currency)
    return [intent for intent in intents if intent]


async def _get_intent(client: StripeClient, id: str) -> PaymentIntent | None:
    return await client.get(PaymentIntent, INTENTS, id, expand=INTENT_EXPAND)


async def _find_in_newest(
    client: StripeClient, kind: ObjectKind[T], matches: Callable[[T], bool]
) -> list[T]:
    """Return the matching objects among the newest few hundred."""

    async def fetch_page(after: str | None) -> tuple[Sequence[T], str | None]:
        path = kind.path.split("/")
        page = await client.list_page(kind.model, *path, expand=kind.expand, starting_after=after)
        return page.data, page.last_id

    return await find_in_newest(fetch_page, matches, _MAX_PAGES)
