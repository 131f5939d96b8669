"""Finding Stripe's objects again: by id, or by the reference in their metadata.

Only PaymentIntents can be searched for, and the search lags (https://docs.stripe.com/search, "Data
freshness"); lists do not lag, but have to be gone through. So what is new is found in the newest
part of a list, what is old by the search. Not finding something proves nothing.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe import mapping
from integrator.psp.stripe.authorize import SESSION_EXPAND, SETUP_EXPAND
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.payment_intents import INTENT_EXPAND, INTENTS
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
from integrator.psp.toolkit.lookup import ObjectKind, fetch
from integrator.psp.toolkit.outcomes import merge_outcomes, require_ours
from integrator.psp.toolkit.pagination import newest
from integrator.psp.types import Lookup, Outcome

T = TypeVar("T", CheckoutSession, SetupIntent, PaymentIntent, Refund)

_CHARGES = ("ch_", "py_")
_PAGES = 3


def _held(intent: PaymentIntent) -> Outcome:
    return mapping.hold_outcome(intent, time_formats.now())


_SESSIONS = ObjectKind(
    CheckoutSession, "checkout/sessions", "cs_", mapping.session_outcome, SESSION_EXPAND
)
_SETUPS = ObjectKind(SetupIntent, "setup_intents", "seti_", mapping.setup_outcome, SETUP_EXPAND)
_INTENTS = ObjectKind(PaymentIntent, INTENTS, "pi_", _held, INTENT_EXPAND)
_REFUNDS = ObjectKind(Refund, "refunds", "", mapping.refund_outcome)


async def authorization(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """What a checkout session, a PaymentIntent or a SetupIntent has come to."""
    searched = (_SETUPS,) if lookup.role is Role.Debit else (_SESSIONS, _INTENTS)
    return await _fetch(client, lookup, (_SESSIONS, _SETUPS, _INTENTS), searched)


async def payment(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """What a charge or a capture has come to, with its chargebacks."""
    id = lookup.psp_id or ""
    if id.startswith(_CHARGES):
        expand = ("payment_intent", "balance_transaction")
        charge = await client.get(Charge, "charges", id, expand=expand)
        if charge is not None:
            intent = charge.payment_intent
            taker = intent.captured_for if isinstance(intent, PaymentIntent) else None
            require_ours(lookup, taker, charge.currency)
            return mapping.charge_outcome(charge, await _disputes(client, charge))
    if id.startswith("pi_"):
        intent = await _intent(client, id)
        if intent is not None:
            return await _paid(client, lookup, intent)
    found = await _intents(client, lookup, REFERENCE) or await _intents(client, lookup, CAPTURE)
    return merge_outcomes([await _paid(client, lookup, intent) for intent in found])


async def refund(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """What a refund has come to."""
    return await _fetch(client, lookup, (_REFUNDS,))


async def _fetch(
    client: StripeClient,
    lookup: Lookup,
    kinds: Sequence[ObjectKind[Any]],
    searched: Sequence[ObjectKind[Any]] | None = None,
) -> Outcome | None:
    async def get(kind: ObjectKind[Any], id: str) -> Any | None:
        return await client.get(kind.model, *kind.path.split("/"), id, expand=kind.expand)

    async def find(kind: ObjectKind[Any]) -> Sequence[Any]:
        if kind is _INTENTS:
            return await _intents(client, lookup, REFERENCE)
        return await _newest(client, kind, lambda found: found.reference == lookup.reference)

    return await fetch(lookup, kinds, get=get, find=find, searched=searched)


async def _paid(client: StripeClient, lookup: Lookup, intent: PaymentIntent) -> Outcome:
    taker = intent.captured_for if intent.manual else intent.reference
    require_ours(lookup, taker, intent.currency)
    charge = intent.latest_charge
    disputes = await _disputes(client, charge) if isinstance(charge, Charge) else ()
    return mapping.payment_outcome(intent, disputes, time_formats.now())


async def _disputes(client: StripeClient, charge: Charge) -> tuple[Dispute, ...]:
    if not charge.disputed:
        return ()
    return (await client.page(Dispute, "disputes", charge=charge.id)).data


async def _intents(client: StripeClient, lookup: Lookup, name: str) -> list[PaymentIntent]:
    """The intents with our reference under a name of their metadata."""
    quoted = lookup.reference.replace("\\", "\\\\").replace("'", "\\'")
    query = f"metadata['{name}']:'{quoted}'"
    found = await client.page(PaymentIntent, INTENTS, "search", query=query)
    if not found.data:
        return await _newest(
            client, _INTENTS, lambda intent: intent.named(name) == lookup.reference
        )
    # Read again: what a search shows may be as old as its index.
    read = [await _intent(client, stale.id) for stale in found.data]
    for intent in filter(None, read):
        require_ours(lookup, intent.named(name), intent.currency)
    return [intent for intent in read if intent]


async def _intent(client: StripeClient, id: str) -> PaymentIntent | None:
    return await client.get(PaymentIntent, INTENTS, id, expand=INTENT_EXPAND)


async def _newest(
    client: StripeClient, kind: ObjectKind[T], wanted: Callable[[T], bool]
) -> list[T]:
    """Those that are wanted, of the newest few hundred."""

    async def part(after: str | None) -> tuple[Sequence[T], str | None]:
        path = kind.path.split("/")
        page = await client.page(kind.model, *path, expand=kind.expand, starting_after=after)
        return page.data, page.last_id

    return await newest(part, wanted, _PAGES)
