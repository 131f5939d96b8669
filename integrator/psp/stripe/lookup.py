"""Look-up of Stripe's objects by id, or by the reference in their metadata.

A capture and a refund are found at their parent, which does not lag and is read in full: there an
empty result is proof, if Stripe knows the parent.

Other objects are found in a list, around the time of their creation. Lists do not lag, but have to
be read page by page: an empty result is proof if everything since then was read, and if Stripe has
forgotten the key with which the object could still be created. PaymentIntents are searched first.
The search lags (https://docs.stripe.com/search, "Data freshness"), and some accounts have none: it
proves nothing, and its failure is none of the look-up.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import mapping
from integrator.psp.stripe.authorize import SESSION_EXPAND, SETUP_EXPAND
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.object_search import (
    CHARGE_PREFIXES,
    MAX_PAGES_OF_PAYMENT,
    find_in_list,
    find_intents,
    find_refunds,
    get_intent,
    get_object,
)
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
from integrator.psp.toolkit.lookup import ObjectKind
from integrator.psp.toolkit.outcomes import merge_outcomes, require_match, verify_reference
from integrator.psp.toolkit.pagination import iterate_entries
from integrator.psp.toolkit.time_search import SearchResult, is_key_forgotten
from integrator.psp.types import Absent, Lookup, LookupAnswer, Outcome

KEY_WINDOW_SECONDS = 24 * 3600
"""https://docs.stripe.com/api/idempotent_requests: keys may be removed after 24 hours."""


def _hold_outcome(intent: PaymentIntent) -> Outcome:
    return mapping.hold_outcome(intent, time_formats.now())


_SESSIONS = ObjectKind(
    CheckoutSession, "checkout/sessions", "cs_", mapping.session_outcome, SESSION_EXPAND
)
_SETUPS = ObjectKind(SetupIntent, "setup_intents", "seti_", mapping.setup_outcome, SETUP_EXPAND)
_INTENTS = ObjectKind(PaymentIntent, INTENTS, "pi_", _hold_outcome, INTENT_EXPAND)
_REFUNDS = ObjectKind(Refund, "refunds", "", mapping.refund_outcome, REFUND_EXPAND)


async def fetch_authorization(client: StripeClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a checkout session, a PaymentIntent or a SetupIntent."""
    outcome = await _fetch_by_id(client, lookup, (_SESSIONS, _SETUPS, _INTENTS))
    if outcome is not None:
        return outcome
    kinds = (_SETUPS,) if lookup.role is Role.Debit else (_SESSIONS, _INTENTS)
    return await _fetch_by_reference(client, lookup, kinds)


async def fetch_payment(client: StripeClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a charge or a capture, with its chargebacks."""
    parent = lookup.parent_psp_id
    if lookup.psp_id is None and (parent or "").startswith("pi_"):
        return await _fetch_capture(client, lookup, parent or "")
    id = lookup.psp_id or ""
    if id.startswith(CHARGE_PREFIXES):
        expand = ("payment_intent", "balance_transaction")
        charge = await client.get(Charge, "charges", id, expand=expand)
        if charge is not None:
            _require_payment(lookup, charge)
            return mapping.charge_outcome(charge, await _list_disputes(client, charge))
    if id.startswith("pi_"):
        intent = await get_intent(client, id)
        if intent is not None:
            return await _payment_outcome(client, lookup, intent)
    found = await find_intents(client, _INTENTS, lookup, (REFERENCE, CAPTURE))
    outcomes = [await _payment_outcome(client, lookup, intent) for intent in found.matches]
    # The intent of a capture is older than the capture.
    is_capture = parent is not None or lookup.has_parent
    proven = not is_capture and _proves_absence(found, lookup)
    return merge_outcomes(outcomes) or Absent(proven=proven)


async def fetch_refund(client: StripeClient, lookup: Lookup) -> LookupAnswer:
    """Return the outcome of a refund."""
    parent = lookup.parent_psp_id
    refunds = replace(_REFUNDS, outcome=partial(mapping.refund_outcome, payment_id=parent))
    outcome = await _fetch_by_id(client, lookup, (refunds,))
    if outcome is not None:
        return outcome
    if parent is None:
        return await _fetch_by_reference(client, lookup, (refunds,))
    if not await _has_payment(client, lookup, parent):
        return Absent(proven=False)
    matching = await find_refunds(client, parent, lookup.reference)
    outcomes = [refunds.outcome(verify_reference(refund, lookup)) for refund in matching]
    return merge_outcomes(outcomes) or Absent(proven=True)


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
    intent = await get_intent(client, parent)
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
        if id.startswith(CHARGE_PREFIXES)
        else await get_intent(client, id)
    )
    if payment is not None:
        require_match(lookup, None, payment.currency)
    return payment is not None


async def _fetch_by_id(
    client: StripeClient, lookup: Lookup, kinds: Sequence[ObjectKind[Any]]
) -> Outcome | None:
    """Return the outcome of the object with the look-up's id; None without id or object."""
    for kind in kinds:
        if lookup.psp_id is not None and lookup.psp_id.startswith(kind.prefix):
            psp_object = await get_object(client, kind, lookup.psp_id)
            if psp_object is not None:
                outcome: Outcome = kind.outcome(verify_reference(psp_object, lookup))
                return outcome
    return None


async def _fetch_by_reference(
    client: StripeClient, lookup: Lookup, kinds: Sequence[ObjectKind[Any]]
) -> LookupAnswer:
    """Return the outcome of the objects of the first kind that has any with our reference."""
    proven = True
    for kind in kinds:
        found = await _find_by_reference(client, kind, lookup)
        if found.matches:
            matching = [kind.outcome(verify_reference(item, lookup)) for item in found.matches]
            return merge_outcomes(matching)
        proven = proven and _proves_absence(found, lookup)
    return Absent(proven=proven)


async def _find_by_reference(
    client: StripeClient, kind: ObjectKind[Any], lookup: Lookup
) -> SearchResult[Any]:
    if kind is _INTENTS:
        return await find_intents(client, _INTENTS, lookup, (REFERENCE,))
    return await find_in_list(client, kind, lookup, lambda item: item.reference == lookup.reference)


def _proves_absence(found: SearchResult[Any], lookup: Lookup) -> bool:
    return found.complete and is_key_forgotten(
        lookup.created_at, time_formats.now(), KEY_WINDOW_SECONDS
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

    return tuple([item async for item in iterate_entries(fetch_page, MAX_PAGES_OF_PAYMENT)])
