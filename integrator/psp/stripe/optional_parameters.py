"""Optional parameters: blank ones are not sent, and refused ones are left out.

A text, an address or a language must not prevent a payment or a mandate. Stripe takes an empty
value for an attempt to unset a parameter and refuses it: https://docs.stripe.com/error-codes
#parameter-invalid-empty.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from integrator.psp.stripe.wire import ErrorDetail

Body = dict[str, Any]
Optionals = Mapping[str, str | None]
"""Names of optional parameters, each with what is sent instead if it is refused, or None."""

log = logging.getLogger(__name__)

# No request and no database holds NUL or half of a surrogate pair.
_UNSENDABLE = re.compile("[\x00\ud800-\udfff]")
_MEMBER = re.compile(r"[^\[\]]+")
# What is missing cannot be left out.
_MISSING_CODES = ("parameter_missing", "payment_method_billing_details_address_missing")


def drop_blank(value: Any) -> Any:
    """Return a body without members that are None, blank or empty; None if nothing is left."""
    if isinstance(value, str):
        return _UNSENDABLE.sub("\ufffd", value) if value.strip() else None
    if isinstance(value, Mapping):
        members = {name: drop_blank(member) for name, member in value.items()}
        return {name: member for name, member in members.items() if member is not None} or None
    if isinstance(value, list | tuple):
        return [member for item in value if (member := drop_blank(item)) is not None] or None
    return value


def replace_refused(body: Body, error: ErrorDetail, optionals: Optionals) -> Body | None:
    """Return `body` without the optional parameters that were refused; None if none was."""
    if error.type != "invalid_request_error" or error.code in _MISSING_CODES:
        return None
    reduced, refused = body, []
    for name, replacement in optionals.items():
        changed = _replace(reduced, _MEMBER.findall(name), replacement)
        if changed != reduced and _is_refused(name, error):
            reduced = changed
            refused.append(name)
    if not refused:
        return None
    log.warning(
        "Stripe refused the parameter %s (%s); the request is sent again without it",
        ", ".join(refused),
        error.code_or_type,
    )
    return reduced


def _is_refused(name: str, error: ErrorDetail) -> bool:
    """Return whether the error names the parameter or one around it, or its last member in words.

    The names in errors are not always complete: `billing_details[name]` is one in
    `payment_method_data`.
    """
    members, refused = _MEMBER.findall(name), _MEMBER.findall(error.param or "")
    if refused:
        starts = range(len(members) - len(refused) + 1)
        return any(members[start : start + len(refused)] == refused for start in starts)
    if error.code == "invalid_characters":
        return True
    word = members[-1].removeprefix("customer_").replace("_", "[ _]")
    return re.search(rf"\b{word}\b", error.message or "", re.IGNORECASE) is not None


def _replace(value: Any, path: Sequence[str], replacement: str | None) -> Any:
    """Return `value` with another member at `path`, or without it; a missing one stays missing."""
    if isinstance(value, list) and path[0].isdigit() and int(path[0]) < len(value):
        index = int(path[0])
        return [*value[:index], _replace(value[index], path[1:], replacement), *value[index + 1 :]]
    if not isinstance(value, Mapping) or path[0] not in value:
        return value
    if len(path) > 1:
        return {**value, path[0]: _replace(value[path[0]], path[1:], replacement)}
    rest = {name: member for name, member in value.items() if name != path[0]}
    return rest if replacement is None else {**rest, path[0]: replacement}
