"""Verified events, compared with what is read again from their own JSON."""

from integrator.psp.port import Adapter
from integrator.psp.types import NotificationEvent


def without_raw(adapter: Adapter, event: NotificationEvent) -> NotificationEvent:
    """Return an event without its JSON, after reading that again: the events have to be equal."""
    event_alone = event.model_copy(update={"raw": None})
    assert event.raw is not None
    if not event.unreadable:
        assert list(adapter.read_event(event.raw)) == [event_alone]
    return event_alone
