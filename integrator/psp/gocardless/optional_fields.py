"""Sending a request again without optional fields that GoCardless refuses.

A statement text or an address must not prevent a payment or a mandate. Whether GoCardless accepts
one depends on the scheme, on the merchant's contract and on characters, and its documentation does
not say how it refuses a text that the contract does not include.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from integrator.psp.gocardless.client import GoCardlessRefusal
from integrator.psp.gocardless.request_bodies import Body

T = TypeVar("T")

TEXTS = frozenset({"description", "reference"})
PAYER_FIELDS = frozenset(
    {
        *("address_line1", "address_line2", "address_line3", "city", "postal_code", "region"),
        "language",
    }
)
# It names no field: a reference is the only member that a contract may exclude.
_FEATURE_DISABLED = "feature_disabled"

log = logging.getLogger(__name__)


async def send_reduced(
    send: Callable[[Body], Awaitable[T]], body: Body, optional: frozenset[str]
) -> T:
    """Send `body`, and again without the `optional` members that are refused."""
    while True:
        try:
            return await send(body)
        except GoCardlessRefusal as refusal:
            reduced = drop_refused(refusal, body, optional)
            if reduced is None:
                raise
            body = reduced


def drop_refused(
    refusal: GoCardlessRefusal, body: Body, optional: frozenset[str]
) -> dict[str, Any] | None:
    """Return `body` without the optional members that were refused; None if it has none of them."""
    names = _refused_names(refusal) & optional
    reduced = _drop_members(body, names)
    if reduced == body:
        return None
    log.warning(
        "GoCardless refused %s (%s); the request is sent again without",
        ", ".join(sorted(names)),
        refusal.psp_code,
    )
    return reduced


def _refused_names(refusal: GoCardlessRefusal) -> frozenset[str]:
    error = refusal.error
    if error.fields:
        return error.fields
    if _FEATURE_DISABLED in error.reasons:
        return frozenset({"reference"})
    texts = " ".join(error.texts()).lower().replace("_", " ")
    return frozenset(
        name
        for name in TEXTS | PAYER_FIELDS
        if re.search(rf"\b{name.replace('_', ' ')}s?\b", texts)
    )


def _drop_members(body: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return `body` without these members, at any depth; metadata and links are kept whole."""
    return {
        name: _drop_members(value, names)
        if isinstance(value, Mapping) and name not in ("links", "metadata")
        else value
        for name, value in body.items()
        if name not in names
    }
