"""Texts sent to and received from a PSP: redacted, truncated, and marked with our reference."""

import re

_MAX_LENGTH = 200
# Removed from messages: e-mail addresses, account and card numbers, keys.
_SENSITIVE = re.compile(
    r"\S+@\S+"
    r"|\b[A-Z]{2}[0-9]{2}(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)\b"
    r"|\b[0-9](?:[ -]?[0-9]){7,}\b"
    r"|\b(?:pm|mdt|cus|sk|pk|rk|whsec|priv|live|sandbox)_\w+"
)
_REFERENCE_SUFFIX = re.compile(r"\[([^\[\]]+)\]$")


def redact(text: str | None) -> str | None:
    """Return a PSP's message, shortened and without payment data.

    It is shown to Billwerk+ and written to logs and to the workflow history.
    """
    if not text:
        return None
    return _SENSITIVE.sub("…", text)[:_MAX_LENGTH]


def truncate(text: str | None, max_length: int) -> str | None:
    """Return our text cut to the length that the PSP allows; None for a blank text."""
    return text[:max_length] if text and text.strip() else None


def append_reference(text: str | None, reference: str, max_length: int) -> str:
    """Return a text that ends with our reference, for objects without a field for it."""
    return f"{(text or '')[:max_length]} [{reference}]".strip()


def extract_reference(text: str | None) -> str | None:
    """Return the reference in a text made by `append_reference`; None if there is none."""
    match = _REFERENCE_SUFFIX.search(text or "")
    return match[1] if match else None
