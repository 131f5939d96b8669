"""Mandates and their successors.

GoCardless replaces mandates, for example when the creditor's scheme identifier changes. The old one
then names the new one in `links.new_mandate`.
"""

from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.mapping import MANDATE
from integrator.psp.gocardless.wire import Mandate
from integrator.psp.toolkit.instruments import drop_empty
from integrator.psp.types import Instrument, Succession

_MAX_SUCCESSORS = 10


async def read_current_mandate(client: GoCardlessClient, id: str) -> Mandate | None:
    """Return the mandate that continues `id`, often itself; None if there is no mandate `id`."""
    mandate = await client.get_by_id(Mandate, id)
    return await follow_succession(client, mandate) if mandate else None


async def follow_succession(client: GoCardlessClient, mandate: Mandate) -> Mandate:
    """Return the last successor of a mandate. Raises `ProtocolError` if one cannot be one."""
    known = {mandate.id}
    current = mandate
    while (next_id := current.link("new_mandate")) is not None and next_id not in known:
        if len(known) > _MAX_SUCCESSORS:
            raise ProtocolError("GoCardless returned too many successors of a mandate.")
        known.add(next_id)
        current = await read_successor(client, current.scheme, next_id)
    return current


async def read_successor(client: GoCardlessClient, scheme: str, id: str) -> Mandate:
    """Return the successor `id` of a mandate of a scheme.

    Raises `ProtocolError` if it cannot be one.
    """
    successor = await client.get_by_id(Mandate, id)
    if successor is None or successor.scheme != scheme:
        raise ProtocolError("GoCardless named a successor that is missing or of another scheme.")
    return successor


def build_succession(former_id: str, current: Mandate) -> Succession | None:
    """Build the succession from a mandate to another one; None if they are the same."""
    if current.id == former_id:
        return None
    bearer = drop_empty({"MandateId": current.scheme_reference})
    return Succession(former_id=former_id, new_id=current.id, bearer=bearer)


def continue_instrument(stored: Instrument, succession: Succession | None) -> Instrument:
    """Return a stored instrument with the mandate that continues its own."""
    if succession is None:
        return stored
    return Instrument(
        token={**stored.token, MANDATE: succession.new_id},
        bearer={**stored.bearer, **succession.bearer},
    )
