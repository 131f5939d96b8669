"""Decode Stripe's bracket notation: `a[b][0]=x` is `{"a": {"b": ["x"]}}`."""

import re
from collections.abc import Iterable
from typing import Any

from devtools.sandbox_psp.emulators.stripe.errors import invalid_request

_NAME = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART = re.compile(r"\[([^\[\]]*)\]")


def decode(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """Return the nested parameters; StripeError 400 for malformed or repeated names."""
    tree: dict[str, Any] = {}
    for name, text in pairs:
        match = _NAME.fullmatch(name)
        if match is None:
            raise invalid_request(f"Invalid parameter name: {name}", param=name)
        parts = [match[1], *_PART.findall(match[2])]
        _place(tree, parts, text, name)
    return {name: _lists(value) for name, value in tree.items()}


def _place(tree: dict[str, Any], parts: list[str], text: str, name: str) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise invalid_request(f"Invalid parameter name: {name}", param=name)
    last = parts[-1] or str(len(tree))
    if last in tree:
        raise invalid_request(f"{name} is repeated.", param=name)
    tree[last] = text


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(member) for name, member in value.items()}
    if all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner
