"""Search of Stripe's objects by the reference in their metadata.

Lists do not lag, but have to be read page by page, around the time of an object's creation. Only
PaymentIntents can be searched. The search lags (https://docs.stripe.com/search, "Data freshness"),
and accounts in some countries have none: it proves nothing, and its failure is none of a look-up.
"""

import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from integrator.psp.errors import OutcomeUnknown, PspTimeout, RateLimited
from integrator.psp.stripe.client import StripeClient
from integrator.psp.stripe.payment_intents import INTENT_EXPAND, INTENTS, REFUND_EXPAND
from integrator.psp.stripe.wire import CheckoutSession, PaymentIntent, Refund, SetupIntent
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.lookup import ObjectKind
from integrator.psp.toolkit.outcomes import require_match
from integrator.psp.toolkit.pagination import find_in_newest, iterate_entries
from integrator.psp.toolkit.time_search import SearchResult, TimeSpan, find_near, spans_until_now
from integrator.psp.types import Lookup

T = TypeVar("T", CheckoutSession, SetupIntent, PaymentIntent, Refund)

CHARGE_PREFIXES = ("ch_", "py_")

MAX_SEARCHED_PAGES = 20
"""Pages of 100 objects that a look-up reads around a creation; more would exceed its time."""

MAX_PAGES_OF_PAYMENT = 50
_MAX_PAGES_WITHOUT_TIME = 3

log = logging.getLogger(__name__)


async def find_refunds(client: StripeClient, payment: str, reference: str) -> list[Refund]:
    """Return the refunds of a payment with our reference, from the complete list.

    Raises `OutcomeUnknown` if the payment has too many.
    """
    return [
        refund
        async for refund in _iterate_refunds(client, payment)
        if refund.reference == reference
    ]


def _iterate_refunds(client: StripeClient, payment: str) -> AsyncIterator[Refund]:
    """Yield all refunds of a payment; raise `OutcomeUnknown` if there are too many."""
    filters: dict[str, Any] = {
        "charge" if payment.startswith(CHARGE_PREFIXES) else "payment_intent": payment
    }

    async def fetch_page(after: str | None) -> tuple[Sequence[Refund], str | None]:
        page = await client.list_page(
            Refund, "refunds", expand=REFUND_EXPAND, starting_after=after, **filters
        )
        return page.data, page.last_id

    return iterate_entries(fetch_page, MAX_PAGES_OF_PAYMENT)


async def find_intents(
    client: StripeClient, kind: ObjectKind[PaymentIntent], lookup: Lookup, names: Sequence[str]
) -> SearchResult[PaymentIntent]:
    """Return the intents with our reference under one of `names` in their metadata."""
    for name in names:
        intents = await _search_intents(client, lookup, name)
        for intent in intents or ():
            require_match(lookup, intent.metadata_value(name), intent.currency)
        if intents:
            return SearchResult(_drop_unconfirmed(intents), complete=False)
        if intents is None:
            break
    found = await find_in_list(
        client, kind, lookup, lambda intent: lookup.reference in map(intent.metadata_value, names)
    )
    return SearchResult(_drop_unconfirmed(found.matches), complete=found.complete)


def _drop_unconfirmed(intents: Sequence[PaymentIntent]) -> Sequence[PaymentIntent]:
    """Leave out intents besides the confirmed one, of creations that Stripe reported as failed."""
    return [intent for intent in intents if intent.status != "requires_confirmation"] or intents


async def _search_intents(
    client: StripeClient, lookup: Lookup, name: str
) -> list[PaymentIntent] | None:
    """Return what the search finds; None if Stripe refuses or fails to search."""
    quoted = lookup.reference.replace("\\", "\\\\").replace("'", "\\'")
    query = f"metadata['{name}']:'{quoted}'"
    try:
        page = await client.list_page(PaymentIntent, INTENTS, "search", query=query)
    except PspTimeout:
        raise  # no time is left for a list
    except (OutcomeUnknown, RateLimited) as error:
        log.info("Stripe's search failed, its list is read instead: %s", error)
        return None
    # Read each again: the search result may be as old as its index.
    intents = [await get_intent(client, stale.id) for stale in page.data]
    return [intent for intent in intents if intent]


async def get_intent(client: StripeClient, id: str) -> PaymentIntent | None:
    """Return a PaymentIntent with its charge; None if Stripe does not know it."""
    return await client.get(PaymentIntent, INTENTS, id, expand=INTENT_EXPAND)


async def get_object(client: StripeClient, kind: ObjectKind[T], id: str) -> T | None:
    """Return an object in full; None if Stripe does not know it."""
    return await client.get(kind.model, *kind.path.split("/"), id, expand=kind.expand)


async def find_in_list(
    client: StripeClient, kind: ObjectKind[T], lookup: Lookup, matches: Callable[[T], bool]
) -> SearchResult[T]:
    """Return the matching objects created around the look-up's time, or lately without a time."""

    async def fetch_page(
        span: TimeSpan | None, after: str | None
    ) -> tuple[Sequence[T], str | None]:
        params: dict[str, Any] = {"created": _bounds(span), "starting_after": after}
        page = await client.list_page(kind.model, *kind.path.split("/"), **params)
        return page.data, page.last_id

    if lookup.created_at is None:
        newest = await find_in_newest(partial(fetch_page, None), matches, _MAX_PAGES_WITHOUT_TIME)
        listed = SearchResult(newest, complete=False)
    else:
        spans = spans_until_now(lookup.created_at, time_formats.now())
        listed = await find_near(fetch_page, matches, spans, MAX_SEARCHED_PAGES)
    # Expanding all objects of a page would make it slow and large.
    read = [await get_object(client, kind, item.id) for item in listed.matches]
    return SearchResult([item for item in read if item is not None], complete=listed.complete)


def _bounds(span: TimeSpan | None) -> dict[str, int] | None:
    """Return the filter of a list, extended to full seconds, in which Stripe counts."""
    if span is None:
        return None
    return {"gte": math.floor(span.since.timestamp()), "lt": math.ceil(span.until.timestamp())}
