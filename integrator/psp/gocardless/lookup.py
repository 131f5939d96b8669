"""Look-up of GoCardless' objects by id, or by our reference in lists.

GoCardless has no search by reference. That nothing is found proves that there is no object if
everything since the transaction was read, once GoCardless may have forgotten the key: whether its
lists lag is not documented, but they do not lag for days.
"""

from typing import TypeVar

from integrator.psp.gocardless import listing
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.wire import Payment, Refund, Resource
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.toolkit.time_search import is_key_forgotten
from integrator.psp.types import Absent, Lookup

R = TypeVar("R", bound=Resource)

KEY_WINDOW_SECONDS = 3 * 24 * 3600
"""Keys are kept for about 30 days (unconfirmed); a tenth of that is longer than any outage."""


async def find(client: GoCardlessClient, model: type[R], lookup: Lookup) -> R | Absent:
    """Return the object by its id, or by our reference if there is no id or it is unknown."""
    found = await client.get_by_id(model, lookup.psp_id) if lookup.psp_id else None
    if found is not None:
        return verify_reference(found, lookup)
    is_refund, payment = issubclass(model, Refund), lookup.parent_psp_id
    filters = {"payment": payment} if is_refund and payment else {}
    result = await listing.search_around(client, model, lookup, **filters)
    if result.matches:
        return verify_reference(result.matches[-1], lookup)
    proven = result.complete and is_key_forgotten(
        lookup.created_at, time_formats.now(), KEY_WINDOW_SECONDS
    )
    if proven and is_refund and payment:
        # A list filtered by an unknown payment proves nothing.
        proven = await client.get_by_id(Payment, payment) is not None
    return Absent(proven=proven)
