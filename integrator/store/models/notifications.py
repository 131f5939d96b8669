"""Notifications of PSPs, as received and as stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

NotificationState = Literal["stored", "signalled", "applied", "known", "parked", "ignored"]
NotificationSource = Literal["notification", "listed"]


@dataclass(frozen=True)
class NewNotification:
    """Notification as received, before processing.

    `event_id` identifies it within its PSP settings; `psp_ids` are the PSP objects it refers to.
    `source` says whether the PSP sent it or it was read from the PSP's list of events. The data
    key of its transaction's agreement, `agreement_id`, encrypts it, if that is known.
    """

    psp_settings_id: str
    event_id: str
    merchant_id: str
    raw: bytes = field(repr=False)
    psp_ids: tuple[str, ...] = ()
    headers: Mapping[str, str] | None = field(default=None, repr=False)
    transaction_id: str | None = None
    received_at: datetime | None = None
    source: NotificationSource = "notification"
    agreement_id: str | None = None


@dataclass(frozen=True)
class NotificationRow:
    """Stored notification; `attempts` counts how often its state was set.

    `raw` of an `erased` notification is empty.
    """

    id: int
    psp_settings_id: str
    event_id: str
    merchant_id: str
    transaction_id: str | None
    psp_ids: tuple[str, ...]
    raw: bytes = field(repr=False)
    headers: dict[str, str] | None = field(repr=False)
    received_at: datetime
    state: NotificationState
    outcome: str | None
    attempts: int
    updated_at: datetime
    source: NotificationSource = "notification"
    agreement_id: str | None = None
    erased: bool = False
