"""Events of a notification with their own JSON, and entries of it that cannot be read."""

import hashlib
from collections.abc import Sequence

from integrator.psp.types import NotificationEvent


def keep_raw(events: Sequence[NotificationEvent], raw: bytes) -> list[NotificationEvent]:
    """Return the events with the JSON from which `Adapter.read_event` reads them again."""
    return [event.model_copy(update={"raw": raw}) for event in events]


def unreadable_event(raw: bytes) -> NotificationEvent:
    """Build the event for an entry that the PSP has signed and that cannot be read.

    A repetition has the same id, which is made of the content.
    """
    digest = hashlib.sha256(raw).hexdigest()[:32]
    return NotificationEvent(
        event_id=f"unreadable-{digest}", relevant=False, unreadable=True, raw=raw
    )
