"""Exhibits: forged notifications are believed, genuine ones are lost."""

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
from integrator.psp.types import Declined, EventPage, NotificationEvent
from tests.conformance.mutants_base import (
    BatchExhibit,
    Exhibit,
    claimed_time,
    events_of,
    shows,
    verify,
)

Headers = Mapping[str, str]


@shows("signatures.another_secret_is_rejected")
class SignatureIsNotChecked(Exhibit):
    """A notification with any signature is believed."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        claimed_time(headers)
        return notifications.read(body)


@shows("signatures.an_altered_body_is_rejected")
class BodyIsNotSigned(Exhibit):
    """The signature is checked over the body as it is read, not as it came."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return super().parse_notification(settings, headers, body.strip(), now)


@shows("signatures.a_header_brings_no_secret", lesson=30)
class HeaderBringsTheSecret(Exhibit):
    """A header of the request replaces the merchant's webhook secret."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        own = cast(SandboxSettings, settings)
        brought = headers.get("X-Webhook-Secret")
        secret = SecretStr(brought) if brought else own.webhook_secret
        return notifications.parse(secret, headers, body, now)


@shows("signatures.another_time_is_rejected[from-the-future]")
class TheFutureIsAccepted(Exhibit):
    """Only old signatures are refused: one dated ahead can be played back for long."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        later = max(now, claimed_time(headers))
        return super().parse_notification(settings, headers, body, later)


@shows("signatures.another_time_is_rejected[an-hour-old]")
class ThePastIsAccepted(Exhibit):
    """The time in the signature is not looked at."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return super().parse_notification(settings, headers, body, claimed_time(headers))


@shows("signatures.both_secrets_are_good_meanwhile")
class OneSecretOnly(Exhibit):
    """During a rotation only the first of the two secrets is tried."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        own = cast(SandboxSettings, settings)
        first = own.webhook_secret.get_secret_value().split(",")[0]
        return notifications.parse(SecretStr(first), headers, body, now)


@shows("signatures.an_appended_event_is_rejected", lesson=16)
class OnlyTheFirstIsSigned(BatchExhibit):
    """In a notification of several events only the first one's signature is checked."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        parts = events_of(body)
        if parts is None:
            return super().parse_notification(settings, headers, body, now)
        first = json.dumps({"events": [json.loads(parts[0])]}).encode()
        secret = cast(SandboxSettings, settings).webhook_secret
        try:
            verify(secret, headers, first, now)
        except NotificationRejected:
            verify(secret, headers, body, now)
        return [notice for part in parts for notice in notifications.read(part)]


@shows("notifications.every_event_of_a_batch_is_read", lesson=29)
class OnlyTheFirstIsRead(BatchExhibit):
    """Of a notification with several events all but the first are lost."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return super().parse_notification(settings, headers, body, now)[:1]


@shows("notifications.an_unknown_event_is_let_be", lesson=8)
class UnknownEventIsAnError(Exhibit):
    """An event of an unknown kind raises, and the PSP sends it for days."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        notices = super().parse_notification(settings, headers, body, now)
        if not all(notice.relevant for notice in notices):
            raise KeyError("unknown event")
        return notices


@shows("notifications.an_operation_is_told[charge-CreditCard]", lesson=19)
class NamesNothingWeKnow(Exhibit):
    """A notice names the PSP's id alone, wrongly, so that it never finds its transaction."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return [
            notice.model_copy(update={"reference": None, "psp_ids": (notice.event_id,)})
            for notice in super().parse_notification(settings, headers, body, now)
        ]


@shows("notifications.a_late_outcome_is_told[charge-Debit-pending_then_failed]", lesson=28)
class LateFailureIsIgnored(Exhibit):
    """A direct debit that fails after days is an event of no interest."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return [
            notice.model_copy(update={"relevant": not isinstance(notice.result, Declined)})
            for notice in super().parse_notification(settings, headers, body, now)
        ]


@shows("notifications.a_replay_is_the_same_event")
class EveryCopyIsNew(Exhibit):
    """Each copy of a notification is a new event, and is applied again."""

    def parse_notification(
        self, settings: BaseModel, headers: Headers, body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        return [
            notice.model_copy(update={"event_id": uuid4().hex})
            for notice in super().parse_notification(settings, headers, body, now)
        ]


class _Forgetful(SandboxConnection):
    async def list_events(self, cursor: str | None) -> EventPage:
        pages = [await super().list_events(None)]
        while pages[-1].more:
            pages.append(await super().list_events(pages[-1].cursor))
        events = tuple(event for page in pages for event in page.events)
        return EventPage(events=events, cursor=pages[-1].cursor)


@shows("lists.the_cursor_goes_on")
class EventListIsReadAnew(Exhibit):
    """The event list is read from its beginning every time."""

    connection = _Forgetful
