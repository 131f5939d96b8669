"""Activity that delivers change notifications to Billwerk+: one attempt per call, own pauses."""

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
PAUSE_FACTOR = 3
LONGEST_PAUSE = timedelta(hours=4)
JITTER = 0.2

DELAY_SECONDS = re.compile(r"[0-9]+")

WEBHOOK_TYPES = {
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
        """Notify Billwerk+ to read the transaction again; any 2xx is success."""
        row = await self._store.transactions.get(call.merchant_id, call.transaction_id)
        if row is None:
            raise ApplicationError("The transaction is not in the store.", type="NotFound")
        target = await self._store.transactions.get_webhook_target(
            call.merchant_id, call.transaction_id
        )
        notification = ChangeNotification(
            transaction_id=call.transaction_id, type=WEBHOOK_TYPES[TransactionKind(row.kind)]
        )
        attempt = activity.info().attempt
        body = encode_webhook(notification, self._form)
        status: int | None = None
        try:
            response = await self._post(target, body, attempt)
            status = response.status_code
            if not response.is_success:
                worker_metrics.count_webhook_failure(f"http_{status // 100}xx")
                raise delivery_error(f"The target answered {status}.", attempt, response)
        except ApplicationError as error:
            await self._log.record_failed(call, error, status)
            raise
        reply = WebhookReply(delivered_at=datetime.now(UTC), attempt=attempt)
        worker_metrics.count_webhook_delivery(activity.info().scheduled_time)
        await self._log.record_delivered(call, reply.delivered_at, status)
        return reply

    async def _post(self, target: str, body: bytes, attempt: int) -> httpx.Response:
        headers = {"Content-Type": "application/json; charset=utf-8"}
        try:
            # Only the status matters: the response body is never read.
            async with self._http.stream(
                "POST", target, content=body, headers=headers, follow_redirects=False
            ) as response:
                return response
        except httpx.TimeoutException:
            worker_metrics.count_webhook_failure("timeout")
            raise delivery_error("The target did not answer in time.", attempt) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            worker_metrics.count_webhook_failure("unreachable")
            raise delivery_error(
                f"The target is not reachable ({type(error).__name__}).", attempt
            ) from None


def delivery_error(
    message: str, attempt: int, response: httpx.Response | None = None
) -> ApplicationError:
    """Build the error of a failed attempt with the next pause; messages omit the address."""
    delay = retry_pause(attempt, random.uniform(-JITTER, JITTER))  # noqa: S311 - spreads load, no secret
    requested_delay = (
        parse_retry_after(response, datetime.now(UTC)) if response is not None else None
    )
    if requested_delay is not None:
        delay = max(min(requested_delay, LONGEST_PAUSE), delay)
    log.info("Change notification, attempt %d: %s", attempt, message)
    return ApplicationError(
        message,
        type="WebhookNotDelivered",
        next_retry_delay=delay,
        category=ApplicationErrorCategory.BENIGN,
    )


def retry_pause(attempt: int, jitter: float) -> timedelta:
    """Return the pause after a failed attempt (from 1): growing to four hours, plus jitter."""
    grown = FIRST_PAUSE.total_seconds() * PAUSE_FACTOR ** min(attempt - 1, 12)
    return timedelta(seconds=min(grown, LONGEST_PAUSE.total_seconds()) * (1 + jitter))


def parse_retry_after(response: httpx.Response, now: datetime) -> timedelta | None:
    """Parse the response's `Retry-After` (seconds or HTTP date); None if absent or invalid."""
    text = response.headers.get("Retry-After", "").strip()
    if DELAY_SECONDS.fullmatch(text):
        return timedelta(seconds=min(int(text[:9]), LONGEST_PAUSE.total_seconds()))
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment.replace(tzinfo=moment.tzinfo or UTC) - now
