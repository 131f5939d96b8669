"""Test the delivery of change notifications and the pauses between attempts."""

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.webhooks import (
    FIRST_PAUSE,
    JITTER,
    LONGEST_PAUSE,
    WebhookActivities,
    delivery_error,
    parse_retry_after,
    retry_pause,
)
from integrator.contract.webhook import WebhookForm
from integrator.store import Store
from tests.integration.activities.conftest import CHARGE, PREAUTH, REFUND, TransactionFactory
from workflows import activity_plans
from workflows.messages import WebhookCall, WebhookReply

TARGET = "https://transform.example/hooks/psp"
Answer = Callable[[httpx.Request], httpx.Response]


class Receiver:
    """Fake webhook target: records requests and returns the configured response."""

    def __init__(self) -> None:
        self.requests: list[httpx.Request] = []
        self.answer: Answer = lambda request: httpx.Response(200)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
async def http(receiver: Receiver) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.MockTransport(receiver)) as client:
        yield client


@pytest.fixture
def webhooks(store: Store, http: httpx.AsyncClient) -> WebhookActivities:
    return WebhookActivities(store, http, WebhookForm.PASCAL)


async def deliver(
    webhooks: WebhookActivities, transaction_id: str = CHARGE, attempt: int = 1
) -> WebhookReply:
    env = ActivityEnvironment()
    env.info = replace(env.info, attempt=attempt)
    call = WebhookCall(merchant_id="demo", transaction_id=transaction_id, version=1)
    reply: WebhookReply = await env.run(webhooks.deliver_webhook, call)
    return reply


async def catch_error(webhooks: WebhookActivities, attempt: int = 1) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await deliver(webhooks, attempt=attempt)
    return caught.value


def failing_with(error: Exception) -> Answer:
    def answer(request: httpx.Request) -> httpx.Response:
        raise error

    return answer


# --- what is sent -------------------------------------------------------------------------------


async def test_the_body_is_the_samples_form(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver
) -> None:
    await factory.charge()
    await deliver(webhooks)
    (request,) = receiver.requests
    assert (request.method, str(request.url)) == ("POST", TARGET)
    assert request.headers["Content-Type"] == "application/json; charset=utf-8"
    assert json.loads(request.content) == {"TransactionId": CHARGE, "AgreementId": None, "Type": 2}


async def test_the_other_form_can_be_chosen(
    factory: TransactionFactory, store: Store, http: httpx.AsyncClient, receiver: Receiver
) -> None:
    await factory.charge()
    await deliver(WebhookActivities(store, http, WebhookForm.CAMEL))
    body = json.loads(receiver.requests[0].content)
    assert body == {"transactionId": CHARGE, "type": "Payment"}


async def test_each_kind_has_its_type(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver
) -> None:
    await factory.charge()
    await factory.refund()
    for transaction_id in (PREAUTH, CHARGE, REFUND):
        await deliver(webhooks, transaction_id)
    assert [json.loads(r.content)["Type"] for r in receiver.requests] == [1, 2, 3]


async def test_no_credentials_are_sent(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver
) -> None:
    await factory.charge()
    await deliver(webhooks)
    assert "Authorization" not in receiver.requests[0].headers


# --- what counts as delivered -------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver, status: int
) -> None:
    receiver.answer = lambda request: httpx.Response(status)
    await factory.charge()
    before = datetime.now(UTC)
    reply = await deliver(webhooks, attempt=3)
    assert reply.attempt == 3
    assert before <= reply.delivered_at <= datetime.now(UTC)


@pytest.mark.parametrize("status", [301, 302, 307, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_every_other_status_is_retried(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver, status: int
) -> None:
    headers = {"Location": "https://elsewhere.example/"}
    receiver.answer = lambda request: httpx.Response(status, headers=headers, text="token=s3cret")
    await factory.charge()
    error = await catch_error(webhooks)
    assert (error.type, error.non_retryable) == ("WebhookNotDelivered", False)
    assert error.message == f"The target answered {status}."
    assert len(receiver.requests) == 1


FAULTS = [
    httpx.ConnectError(f"refused by {TARGET}"),
    httpx.ConnectTimeout(TARGET),
    httpx.ReadTimeout(TARGET),
    httpx.PoolTimeout(TARGET),
    httpx.RemoteProtocolError(TARGET),
    httpx.InvalidURL(TARGET),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_an_unreachable_target_is_retried_and_not_named(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver, fault: Exception
) -> None:
    receiver.answer = failing_with(fault)
    await factory.charge()
    error = await catch_error(webhooks)
    assert (error.type, error.non_retryable) == ("WebhookNotDelivered", False)
    assert "transform.example" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


async def test_a_closed_port_is_retried(factory: TransactionFactory, store: Store) -> None:
    await factory.charge()
    async with httpx.AsyncClient(transport=_Closed()) as http:
        error = await catch_error(WebhookActivities(store, http, WebhookForm.PASCAL))
    assert error.message == "The target is not reachable (ConnectError)."


class _Closed(httpx.AsyncHTTPTransport):
    """Sends everything to a closed port."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.url = httpx.URL("http://127.0.0.1:1/")
        return await super().handle_async_request(request)


async def test_an_unknown_transaction_is_an_error(webhooks: WebhookActivities) -> None:
    assert (await catch_error(webhooks)).type == "NotFound"


# --- the pauses ---------------------------------------------------------------------------------


def test_pauses_grow_up_to_four_hours() -> None:
    pauses = [retry_pause(attempt, 0) for attempt in range(1, 40)]
    assert pauses[0] == FIRST_PAUSE
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE


@pytest.mark.parametrize("attempt", [1, 4, 9, 500, 10**9])
def test_jitter_stays_within_bounds(attempt: int) -> None:
    middle = retry_pause(attempt, 0)
    assert retry_pause(attempt, JITTER) == middle * (1 + JITTER)
    assert retry_pause(attempt, -JITTER) == middle * (1 - JITTER)


def test_pauses_are_jittered() -> None:
    assert len({delivery_error("x", 5).next_retry_delay for _ in range(10)}) > 1


def test_no_pause_can_end_the_attempts_before_76_hours() -> None:
    longest = LONGEST_PAUSE * (1 + JITTER) + activity_plans.DELIVER_WEBHOOK.start_to_close
    assert activity_plans.WEBHOOK_RETRY_WINDOW - longest >= timedelta(hours=76)


@pytest.mark.parametrize("jitter", [-JITTER, 0, JITTER])
def test_the_last_attempt_comes_after_76_hours(jitter: float) -> None:
    slowest = activity_plans.DELIVER_WEBHOOK.start_to_close
    elapsed, attempt = timedelta(0), 1
    while elapsed + retry_pause(attempt, jitter) + slowest <= activity_plans.WEBHOOK_RETRY_WINDOW:
        elapsed += retry_pause(attempt, jitter) + slowest
        attempt += 1
    assert elapsed >= timedelta(hours=76)
    assert attempt < 50


def test_the_budget_is_that_of_the_activity() -> None:
    assert activity_plans.DELIVER_WEBHOOK.schedule_to_close == activity_plans.WEBHOOK_RETRY_WINDOW
    assert activity_plans.DELIVER_WEBHOOK.retry.maximum_attempts == 0


async def test_the_attempts_number_decides_the_pause(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver
) -> None:
    receiver.answer = lambda request: httpx.Response(500)
    await factory.charge()
    delay = (await catch_error(webhooks, attempt=4)).next_retry_delay
    assert delay is not None
    assert retry_pause(4, -JITTER) <= delay <= retry_pause(4, JITTER)


# --- the receiver's delay -----------------------------------------------------------------------

NOW = datetime(2026, 1, 15, 9, tzinfo=UTC)


def throttled_response(retry_after: bytes) -> httpx.Response:
    return httpx.Response(503, headers=[(b"Retry-After", retry_after)])


@pytest.mark.parametrize(
    ("retry_after", "expected"),
    [
        (b"120", timedelta(minutes=2)),
        (b" 120 ", timedelta(minutes=2)),
        (b"0", timedelta(0)),
        (b"999999999999", LONGEST_PAUSE),
        (b"9" * 5000, LONGEST_PAUSE),
        (b"Thu, 15 Jan 2026 09:30:00 GMT", timedelta(minutes=30)),
        (b"Thu, 15 Jan 2026 10:30:00 +0100", timedelta(minutes=30)),
        (b"Thu, 15 Jan 2026 08:59:00 -0000", timedelta(minutes=-1)),
        (b"", None),
        (b"soon", None),
        (b"-5", None),
        (b"1.5", None),
        ("²".encode("latin-1"), None),
        ("٣".encode(), None),
        (b"Thu, 99 Jan 2026 99:99:99 GMT", None),
        (b"Thu, 15 Jan 99999 09:00:00 GMT", None),
        (b"Thu, 15 Jan 2026 09:00:00 +99999999999999999", None),
    ],
)
def test_retry_after_is_parsed_in_seconds_or_as_a_date(
    retry_after: bytes, expected: timedelta | None
) -> None:
    assert parse_retry_after(throttled_response(retry_after), NOW) == expected


def test_a_missing_retry_after_is_none() -> None:
    assert parse_retry_after(httpx.Response(503), NOW) is None


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [
        (b"120", timedelta(minutes=2)),
        (b"999999999", LONGEST_PAUSE),
        (b"Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_PAUSE),
    ],
)
async def test_retry_after_is_honoured_within_bounds(
    factory: TransactionFactory,
    webhooks: WebhookActivities,
    receiver: Receiver,
    retry_after: bytes,
    delay: timedelta,
) -> None:
    receiver.answer = lambda request: throttled_response(retry_after)
    await factory.charge()
    assert (await catch_error(webhooks)).next_retry_delay == delay


@pytest.mark.parametrize("retry_after", [b"0", b"Thu, 15 Jan 1970 09:00:00 GMT"])
async def test_a_retry_after_below_our_own_pause_changes_nothing(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver, retry_after: bytes
) -> None:
    receiver.answer = lambda request: throttled_response(retry_after)
    await factory.charge()
    delay = (await catch_error(webhooks)).next_retry_delay
    assert delay is not None
    assert abs(delay - FIRST_PAUSE) <= FIRST_PAUSE * JITTER


async def test_an_unreadable_retry_after_leaves_the_usual_pause(
    factory: TransactionFactory, webhooks: WebhookActivities, receiver: Receiver
) -> None:
    receiver.answer = lambda request: throttled_response(b"\xb2")
    await factory.charge()
    delay = (await catch_error(webhooks)).next_retry_delay
    assert delay is not None
    assert retry_pause(1, -JITTER) <= delay <= retry_pause(1, JITTER)
