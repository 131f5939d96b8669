"""Delivery of change notifications to Billwerk+: one attempt per call, the pauses are ours."""

import logging
import random
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx
from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.delivery_log import DeliveryLog
from integrator.contract.enums import WebhookType
from integrator.contract.webhook import ChangeNotification, WebhookForm, encode_webhook
from integrator.observability import worker_metrics
from integrator.store.database import Store
from workflows import activity_plans
from workflows.messages import WebhookCall, WebhookReply
from workflows.state import TransactionKind

log = logging.getLogger(__name__)

FIRST_PAUSE = timedelta(seconds=5)
GROWTH = 3
LONGEST_PAUSE = timedelta(hours=4)
JITTER = 0.2

SECONDS = re.compile(r"[0-9]+")

TYPES = {
    TransactionKind.PREAUTH: WebhookType.Preauth,
    TransactionKind.PAYMENT: WebhookType.Payment,
    TransactionKind.REFUND: WebhookType.Refund,
}


class WebhookActivities:
    """Posts change notifications; `http` follows no redirects and carries the timeouts."""

    def __init__(self, store: Store, http: httpx.AsyncClient, form: WebhookForm) -> None:
        self._store = store
        self._http = http
        self._form = form
        self._log = DeliveryLog(store)

    @activity.defn(name=activity_plans.DELIVER_WEBHOOK.name)
    async def deliver_webhook(self, call: WebhookCall) -> WebhookReply:
        """Tell Billwerk+ to read the transaction again; any 2xx is success."""
        row = await self._store.transaction(call.merchant_id, call.transaction_id)
        if row is None:
            raise ApplicationError("The store does not know the transaction.", type="NotFound")
        target = await self._store.webhook_target(call.merchant_id, call.transaction_id)
        notification = ChangeNotification(
            transaction_id=call.transaction_id, type=TYPES[TransactionKind(row.kind)]
        )
        attempt = activity.info().attempt
        body = encode_webhook(notification, self._form)
        status: int | None = None
        try:
            response = await self._post(target, body, attempt)
            status = response.status_code
            if not response.is_success:
                worker_metrics.webhook_failed(f"http_{status // 100}xx")
                raise failed(f"The target answered {status}.", attempt, response)
        except ApplicationError as error:
            await self._log.failed(call, error, status)
            raise
        reply = WebhookReply(delivered_at=datetime.now(UTC), attempt=attempt)
        worker_metrics.webhook_delivered(activity.info().scheduled_time)
        await self._log.delivered(call, reply.delivered_at, status)
        return reply

    async def _post(self, target: str, body: bytes, attempt: int) -> httpx.Response:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        try:
            # Only the status matters: what else the target may say is never read.
            async with self._http.stream(
                "POST", target, content=body, headers=headers, follow_redirects=False
            ) as response:
                return response
        except httpx.TimeoutException:
            worker_metrics.webhook_failed("timeout")
            raise failed("The target did not answer in time.", attempt) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            worker_metrics.webhook_failed("unreachable")
            raise failed(
                f"The target is not reachable ({type(error).__name__}).", attempt
            ) from None


def failed(message: str, attempt: int, response: httpx.Response | None = None) -> ApplicationError:
    """A failed attempt, with the pause before the next one; texts never hold the address."""
    delay = pause(attempt, random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads load, no secret
    wish = retry_after(response, datetime.now(UTC)) if response is not None else None
    if wish is not None:
        delay = max(min(wish, LONGEST_PAUSE), delay)
    log.info("Change notification, attempt %d: %s", attempt, message)
    return ApplicationError(
        message,
        type="WebhookNotDelivered",
        next_retry_delay=delay,
        category=ApplicationErrorCategory.BENIGN,
    )


def pause(attempt: int, jitter: float) -> timedelta:
    """Pause after a failed attempt (from 1): growing to four hours, plus a share of jitter."""
    grown = FIRST_PAUSE.total_seconds() * GROWTH ** min(attempt - 1, 12)
    return timedelta(seconds=min(grown, LONGEST_PAUSE.total_seconds()) * (1 + jitter))


def retry_after(response: httpx.Response, now: datetime) -> timedelta | None:
    """The receiver's wish, in seconds or as an HTTP date; None without a readable one."""
    text = response.headers.get("Retry-After", "").strip()
    if SECONDS.fullmatch(text):
        return timedelta(seconds=min(int(text[:9]), LONGEST_PAUSE.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) - now
