"""A PSP's sentences, made fit for the platform, for logs and for the workflow history."""

import re

_LONGEST = 200
# What a sentence for people must not repeat: e-mail addresses, account and card numbers, keys.
_PRIVATE = re.compile(
    r"\S+@\S+"
    r"|\b[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b"
    r"|\b[0-9](?:[ -]?[0-9]){7,}\b"
    r"|\b(?:pm|mdt|cus|sk|pk|rk|whsec|priv|live|sandbox)_\w+"
)
_MARK = re.compile(r"\[([^\[\]]+)\]$")


def sentence(text: str | None) -> str | None:
    """The PSP's explanation: short and without payment data."""
    if not text:
        return None
    return _PRIVATE.sub("…", text)[:_LONGEST]


def cut(text: str | None, longest: int) -> str | None:
    """Our text, as long as the PSP allows; None instead of an empty one."""
    return text[:longest] if text else None


def marked(text: str | None, reference: str, longest: int) -> str:
    """A text that ends with our reference, for objects that the PSP gives no field for it."""
    return f"{(text or '')[:longest]} [{reference}]".strip()


def mark(text: str | None) -> str | None:
    """The reference in a text made by `marked`."""
    found = _MARK.search(text or "")
    return found[1] if found else None
