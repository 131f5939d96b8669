"""Finding Stripe's objects again: by id, or by the reference in their metadata.

Only PaymentIntents can be searched for, and the search lags (https://docs.stripe.com/search, "Data
freshness"); lists do not lag, but have to be gone through. So what is new is found in the newest
part of a list, what is old by the search. Not finding something proves nothing.
"""

from collections.abc import Callable
from typing import TypeVar

from contract.enums import PublicPaymentProviderRole as Role
from psp.common.outcomes import together
from psp.stripe import mapping
from psp.stripe.authorizing import SESSION_EXPAND, SETUP_EXPAND
from psp.stripe.client import StripeClient
from psp.stripe.taking import INTENT_EXPAND, INTENTS
from psp.stripe.wire import (
    CAPTURE,
    REFERENCE,
    Charge,
    CheckoutSession,
    Dispute,
    PaymentIntent,
    Refund,
    SetupIntent,
    WireObject,
)
from psp.types import Lookup, Outcome

T = TypeVar("T", bound=WireObject)

_CHARGES = ("ch_", "py_")
_PAGES = 3


async def authorization(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """What a checkout session, a PaymentIntent or a SetupIntent has come to."""
    id, now = lookup.psp_id or "", mapping.now()
    if id.startswith("cs_"):
        path = ("checkout", "sessions", id)
        session = await client.get(CheckoutSession, *path, expand=SESSION_EXPAND)
        if session is not None:
            return mapping.session_outcome(mapping.ours(session, lookup, session.reference))
    if id.startswith("seti_"):
        setup = await client.get(SetupIntent, "setup_intents", id, expand=SETUP_EXPAND)
        if setup is not None:
            return mapping.setup_outcome(mapping.ours(setup, lookup, setup.reference))
    if id.startswith("pi_"):
        intent = await _intent(client, id)
        if intent is not None:
            return mapping.hold_outcome(mapping.ours(intent, lookup, intent.reference), now)
    return await _authorization_named(client, lookup)


async def _authorization_named(client: StripeClient, lookup: Lookup) -> Outcome | None:
    reference = lookup.reference
    if lookup.role is Role.Debit:
        setups = await _newest(
            client, SetupIntent, "setup_intents", SETUP_EXPAND, lambda s: s.reference == reference
        )
        outcomes = [mapping.setup_outcome(mapping.ours(s, lookup, s.reference)) for s in setups]
        return together(outcomes) if outcomes else None
    sessions = await _newest(
        client,
        CheckoutSession,
        "checkout/sessions",
        SESSION_EXPAND,
        lambda session: session.reference == reference,
    )
    if sessions:
        asked = [mapping.ours(session, lookup, session.reference) for session in sessions]
        return together([mapping.session_outcome(session) for session in asked])
    intents = await _intents(client, lookup, REFERENCE)
    found = [mapping.hold_outcome(intent, mapping.now()) for intent in intents]
    return together(found) if found else None


async def payment(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """What a charge or a capture has come to, with its chargebacks."""
    id = lookup.psp_id or ""
    if id.startswith(_CHARGES):
        expand = ("payment_intent", "balance_transaction")
        charge = await client.get(Charge, "charges", id, expand=expand)
        if charge is not None:
            intent = charge.payment_intent
            taker = intent.captured_for if isinstance(intent, PaymentIntent) else None
            mapping.ours(charge, lookup, taker)
            return mapping.charge_outcome(charge, await _disputes(client, charge))
    if id.startswith("pi_"):
        intent = await _intent(client, id)
        if intent is not None:
            return await _paid(client, lookup, intent)
    found = await _intents(client, lookup, REFERENCE) or await _intents(client, lookup, CAPTURE)
    outcomes = [await _paid(client, lookup, intent) for intent in found]
    return together(outcomes) if outcomes else None


async def refund(client: StripeClient, lookup: Lookup) -> Outcome | None:
    """What a refund has come to."""
    if lookup.psp_id is not None:
        named = await client.get(Refund, "refunds", lookup.psp_id)
        if named is not None:
            return mapping.refund_outcome(mapping.ours(named, lookup, named.reference))
    found = await _newest(
        client, Refund, "refunds", (), lambda refund: refund.reference == lookup.reference
    )
    outcomes = [mapping.refund_outcome(mapping.ours(r, lookup, r.reference)) for r in found]
    return together(outcomes) if outcomes else None


async def _paid(client: StripeClient, lookup: Lookup, intent: PaymentIntent) -> Outcome:
    mapping.ours(intent, lookup, intent.captured_for if intent.manual else intent.reference)
    charge = intent.latest_charge
    disputes = await _disputes(client, charge) if isinstance(charge, Charge) else ()
    return mapping.payment_outcome(intent, disputes, mapping.now())


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
            client,
            PaymentIntent,
            INTENTS,
            INTENT_EXPAND,
            lambda intent: (intent.metadata or {}).get(name) == lookup.reference,
        )
    # Read again: what a search shows may be as old as its index.
    read = [await _intent(client, stale.id) for stale in found.data]
    return [
        mapping.ours(intent, lookup, (intent.metadata or {}).get(name)) for intent in read if intent
    ]


async def _intent(client: StripeClient, id: str) -> PaymentIntent | None:
    return await client.get(PaymentIntent, INTENTS, id, expand=INTENT_EXPAND)


async def _newest(
    client: StripeClient,
    model: type[T],
    path: str,
    expand: tuple[str, ...],
    wanted: Callable[[T], bool],
) -> list[T]:
    """Those that are wanted, of the newest few hundred."""
    after: str | None = None
    for _ in range(_PAGES):
        page = await client.page(model, *path.split("/"), expand=expand, starting_after=after)
        found = [one for one in page.data if wanted(one)]
        if found or not page.has_more or not page.data:
            return found
        after = page.data[-1].id
    return []
