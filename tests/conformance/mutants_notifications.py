"""Mutants: forged notifications are accepted, genuine ones are lost."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import cast
from uuid import uuid4

from pydantic import BaseModel, SecretStr

from integrator.psp.errors import NotificationRejected
from integrator.psp.sandbox import notifications
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.toolkit.notifications import keep_raw
from integrator.psp.types import Declined, EventPage, NotificationEvent
from tests.conformance.mutants_base import (
    BatchMutant,
    Mutant,
    claimed_time,
    events_of,
    register_mutant,
    verify,
)

Headers = Mapping[str, str]


@register_mutant("signatures.another_secret_is_rejected")
class SignatureIsNotVerified(Mutant):
    """A notification with any signature is accepted."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        claimed_time(headers)
        return notifications.read_event(body)


@register_mutant("signatures.an_altered_body_is_rejected")
class StrippedBodyIsVerified(Mutant):
    """The signature is verified over the stripped body, not over the received one."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return super().parse_notification(settings, headers, body.strip(), now)


@register_mutant("signatures.a_header_cannot_supply_the_secret", lesson=30)
class HeaderSuppliesTheSecret(Mutant):
    """A header of the request replaces the merchant's webhook secret."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        merchant = cast(SandboxSettings, settings)
        header_secret = headers.get("X-Webhook-Secret")
        secret = SecretStr(header_secret) if header_secret else merchant.webhook_secret
        return notifications.parse(secret, headers, body, now)


@register_mutant("signatures.an_old_or_future_time_is_rejected[from-the-future]")
class FutureTimeIsAccepted(Mutant):
    """Only old signatures are rejected: one dated ahead can be replayed for long."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        accepted_time = max(now, claimed_time(headers))
        return super().parse_notification(settings, headers, body, accepted_time)


@register_mutant("signatures.an_old_or_future_time_is_rejected[an-hour-old]")
class OldTimeIsAccepted(Mutant):
    """The time in the signature is ignored."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return super().parse_notification(settings, headers, body, claimed_time(headers))


@register_mutant("signatures.both_secrets_are_accepted_during_rotation")
class OneSecretOnly(Mutant):
    """During a rotation only the first of the two secrets is tried."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        merchant = cast(SandboxSettings, settings)
        first = merchant.webhook_secret.get_secret_value().split(",")[0]
        return notifications.parse(SecretStr(first), headers, body, now)


@register_mutant("signatures.an_appended_event_is_rejected", lesson=16)
class OnlyFirstEventIsVerified(BatchMutant):
    """In a notification of several events only the first one's signature is verified."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        raw_events = events_of(body)
        if raw_events is None:
            return super().parse_notification(settings, headers, body, now)
        first = json.dumps({"events": [json.loads(raw_events[0])]}).encode()
        secret = cast(SandboxSettings, settings).webhook_secret
        try:
            verify(secret, headers, first, now)
        except NotificationRejected:
            verify(secret, headers, body, now)
        return [event for raw_event in raw_events for event in notifications.read_event(raw_event)]


@register_mutant("notifications.every_event_of_a_batch_is_read", lesson=29)
class OnlyFirstEventIsRead(BatchMutant):
    """Of a notification with several events all but the first are lost."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return super().parse_notification(settings, headers, body, now)[:1]


@register_mutant("notifications.an_unreadable_entry_does_not_hide_others")
class UnreadableEntryRejectsAll(BatchMutant):
    """An entry that cannot be read rejects its batch: all events are repeated and finally lost."""

    def read_entry(self, raw: bytes) -> Sequence[NotificationEvent]:
        return keep_raw(notifications.read_event(raw), raw)


@register_mutant("notifications.an_event_is_read_again_from_its_own_json")
class EveryEventKeepsTheBatch(BatchMutant):
    """Each event keeps the whole batch: n events take n² space, and each holds all persons."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return keep_raw(super().parse_notification(settings, headers, body, now), body)


@register_mutant("notifications.an_unknown_event_is_not_an_error", lesson=8)
class UnknownEventIsAnError(Mutant):
    """An event of an unknown kind raises, and the PSP sends it again for days."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        events = super().parse_notification(settings, headers, body, now)
        if not all(event.relevant for event in events):
            raise KeyError("unknown event")
        return events


@register_mutant("notifications.an_operation_is_notified[charge-CreditCard]", lesson=19)
class UnknownIdentifiersOnly(Mutant):
    """An event names only an id that belongs to no transaction, so that it is never matched."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return [
            event.model_copy(update={"reference": None, "psp_ids": (event.event_id,)})
            for event in super().parse_notification(settings, headers, body, now)
        ]


@register_mutant(
    "notifications.a_late_outcome_is_notified[charge-Debit-pending_then_failed]", lesson=28
)
class LateFailureIsIgnored(Mutant):
    """A direct debit that fails after days is treated as irrelevant."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return [
            event.model_copy(update={"relevant": not isinstance(event.result, Declined)})
            for event in super().parse_notification(settings, headers, body, now)
        ]


@register_mutant("notifications.a_redelivery_has_the_same_event_id")
class RedeliveryIsNewEvent(Mutant):
    """Each copy of a notification is a new event, and is applied again."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return [
            event.model_copy(update={"event_id": uuid4().hex})
            for event in super().parse_notification(settings, headers, body, now)
        ]


class _RestartingListConnection(SandboxConnection):
    async def list_events(self, cursor: str | None) -> EventPage:
        pages = [await super().list_events(None)]
        while pages[-1].more:
            pages.append(await super().list_events(pages[-1].cursor))
        events = tuple(event for page in pages for event in page.events)
        return EventPage(events=events, cursor=pages[-1].cursor)


@register_mutant("lists.the_cursor_continues")
class EventListRestarts(Mutant):
    """The event list is read from its beginning every time."""

    connection = _RestartingListConnection
