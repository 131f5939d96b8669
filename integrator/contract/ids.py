"""Identifiers issued by Billwerk+."""

import re
from typing import Final

TRANSACTION_ID_PATTERN: Final = r"^([0-9]{8}-)?[0-9a-fA-F]{24}$"
_TRANSACTION_ID = re.compile(r"(?:[0-9]{8}-)?[0-9a-fA-F]{24}")


def is_transaction_id(text: str) -> bool:
    """Whether `text` is a transaction id: 24 hex digits, optionally after `yyyyMMdd-`."""
    return _TRANSACTION_ID.fullmatch(text) is not None
