"""Error responses of Stripe, recovery by reads, and limits of the adapter."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import OutcomeUnknown, ProtocolError, PspTimeout, RateLimited
from integrator.psp.port import Connection
from integrator.psp.stripe import StripeAdapter
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.object_search import MAX_PAGES_OF_PAYMENT
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Absent, Approved, Declined, Lookup, Pending
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe import objects

SETTINGS = StripeSettings.model_validate({"ApiKey": "sk_test_unit", "WebhookSecret": "whsec_unit"})

ScriptedResponse = tuple[int, Any] | Exception
Script = dict[str, list[ScriptedResponse]]


class FakeStripe(httpx.MockTransport):
    """Fake Stripe with responses by `METHOD path`; the last one is repeated. Keeps the requests."""

    def __init__(self, script: Script) -> None:
        self.requests: list[httpx.Request] = []
        self._script = script
        super().__init__(self._respond)

    def _respond(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answers = self._script[f"{request.method} {request.url.path.removeprefix('/v1/')}"]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        headers = {"Stripe-Should-Retry": "false"} if answer[0] == 500 else {}
        return httpx.Response(answer[0], json=answer[1], headers=headers)

    def request_lines(self) -> list[str]:
        return [f"{r.method} {r.url.path.removeprefix('/v1/')}" for r in self.requests]

    def idempotency_keys(self) -> list[str]:
        return [r.headers["Idempotency-Key"] for r in self.requests if r.method == "POST"]


def connect(stripe: httpx.MockTransport) -> Connection:
    config = StripeConfig.model_validate({"INTEGRATOR_STRIPE_URL": "https://stripe.example"})
    return StripeAdapter(config).connect(SETTINGS, httpx.AsyncClient(transport=stripe))


def error_body(code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"type": kind, "message": "No.", **({"code": code} if code else {})}}


UNCONFIRMED = objects.intent("requires_confirmation", metadata={"reference": builders.REFERENCE})
PAID = objects.intent(metadata={"reference": builders.REFERENCE})
STORED_ERROR = (500, error_body(kind="api_error"))
UNEXPECTED_STATE = (400, error_body("payment_intent_unexpected_state"))


async def test_an_intent_is_created_before_it_is_confirmed() -> None:
    stripe = FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [(200, PAID)],
        }
    )
    call = builders.charge(ref=builders.REFERENCE, key="k")
    assert isinstance(await connect(stripe).charge(call), Approved)
    assert stripe.idempotency_keys() == ["k/create", "k/confirm"]
    create, confirm = [request.content.decode() for request in stripe.requests]
    assert "confirm" not in create
    assert "off_session" not in create
    assert "off_session=true" in confirm
    for request in stripe.requests:
        assert request.headers["Stripe-Version"] == "2026-10-28.endive"
        assert request.headers["Authorization"] == "Bearer sk_test_unit"


@pytest.mark.parametrize(
    "answer", [STORED_ERROR, (409, error_body("idempotency_key_in_use")), UNEXPECTED_STATE]
)
async def test_an_intent_is_read_after_an_unknown_confirmation(answer: ScriptedResponse) -> None:
    stripe = FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [answer],
            "GET payment_intents/pi_1": [(200, PAID)],
        }
    )
    outcome = await connect(stripe).charge(builders.charge(ref=builders.REFERENCE))
    assert isinstance(outcome, Approved)


async def test_an_unconfirmed_intent_leaves_the_outcome_unknown() -> None:
    stripe = FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [STORED_ERROR],
            "GET payment_intents/pi_1": [(200, UNCONFIRMED)],
        }
    )
    with pytest.raises(OutcomeUnknown, match="HTTP 500"):
        await connect(stripe).charge(builders.charge(ref=builders.REFERENCE))


async def test_after_a_timeout_nothing_is_read() -> None:
    stripe = FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [httpx.ReadTimeout("slow")],
        }
    )
    with pytest.raises(PspTimeout):
        await connect(stripe).charge(builders.charge(ref=builders.REFERENCE))


async def test_an_existing_capture_is_read() -> None:
    metadata = {"reference": "the-preauth", "capture": builders.REFERENCE}
    done = objects.intent(
        capture_method="manual", metadata=metadata, latest_charge=objects.charge()
    )
    stripe = FakeStripe(
        {
            "POST payment_intents/pi_1/capture": [STORED_ERROR],
            "GET payment_intents/pi_1": [(200, done)],
        }
    )
    call = builders.capture(authorization_id="pi_1", ref=builders.REFERENCE)
    outcome = await connect(stripe).capture(call)
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "ch_1"


async def test_a_capture_of_another_transaction_is_not_returned() -> None:
    metadata = {"reference": "the-preauth", "capture": "another"}
    done = objects.intent(capture_method="manual", metadata=metadata)
    script: Script = {
        "POST payment_intents/pi_1/capture": [UNEXPECTED_STATE],
        "GET payment_intents/pi_1": [(200, done)],
    }
    call = builders.capture(authorization_id="pi_1", ref=builders.REFERENCE)
    outcome = await connect(FakeStripe(script)).capture(call)
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.InvalidPreconditions
    script["POST payment_intents/pi_1/capture"] = [STORED_ERROR]
    with pytest.raises(OutcomeUnknown):
        await connect(FakeStripe(script)).capture(call)


async def test_a_refund_is_searched_after_an_unknown_outcome() -> None:
    ours = objects.refund(metadata={"reference": builders.REFERENCE})
    other = objects.refund(id="re_2", metadata={})
    script: Script = {
        "POST refunds": [STORED_ERROR],
        "GET refunds": [(200, {"data": [other, ours]})],
    }
    call = builders.refund(payment_id="pi_1", ref=builders.REFERENCE)
    outcome = await connect(FakeStripe(script)).refund(call)
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "re_1"
    script["GET refunds"] = [(200, {"data": [other]})]
    with pytest.raises(OutcomeUnknown, match="HTTP 500"):
        await connect(FakeStripe(script)).refund(call)


async def test_a_cancelled_reservation_is_released() -> None:
    done = objects.intent("canceled", metadata={"reference": builders.REFERENCE})
    stripe = FakeStripe(
        {
            "POST payment_intents/pi_1/cancel": [UNEXPECTED_STATE],
            "GET payment_intents/pi_1": [(200, done)],
        }
    )
    call = builders.void("pi_1", ref=builders.REFERENCE)
    assert await connect(stripe).void(call) == Approved(psp_id="pi_1")


@pytest.mark.parametrize(
    "operation",
    [
        lambda c: c.capture(builders.capture(authorization_id="seti_1")),
        lambda c: c.void(builders.void("seti_1")),
        lambda c: c.charge(
            builders.charge(instrument=builders.CARD.model_copy(update={"token": {}}))
        ),
    ],
)
async def test_a_call_without_a_usable_id_is_not_sent(
    operation: Callable[[Connection], Any],
) -> None:
    stripe = FakeStripe({})
    assert isinstance(await operation(connect(stripe)), Declined)
    assert stripe.requests == []


async def test_a_long_key_is_hashed() -> None:
    stripe = FakeStripe({"POST refunds": [(200, objects.refund(metadata={}))]})
    for key in ("k" * 255, "k" * 256, "k" * 256):
        await connect(stripe).refund(builders.refund(payment_id="pi_1", key=key))
    short, *hashed = stripe.idempotency_keys()
    assert short == "k" * 255
    assert hashed[0] == hashed[1]
    assert len(hashed[0]) == 64


async def test_a_search_result_is_read_again() -> None:
    stale = objects.intent("requires_payment_method", last_payment_error=objects.error_detail())
    stripe = FakeStripe(
        {
            "GET payment_intents/search": [(200, {"data": [stale]})],
            "GET payment_intents/pi_1": [(200, PAID)],
        }
    )
    outcome = await connect(stripe).fetch_payment(builders.lookup(builders.REFERENCE))
    assert isinstance(outcome, Approved)


async def test_a_list_without_a_time_is_searched_for_three_pages() -> None:
    pages: list[ScriptedResponse] = [
        (200, {"has_more": True, "data": [objects.refund(id=f"re_{n}", metadata={})]})
        for n in range(9)
    ]
    stripe = FakeStripe({"GET refunds": pages})
    assert await connect(stripe).fetch_refund(builders.lookup()) == Absent(proven=False)
    cursors = [dict(request.url.params).get("starting_after") for request in stripe.requests]
    assert cursors == [None, "re_0", "re_1"]


def parent_lookup(parent: str) -> Lookup:
    return builders.lookup(builders.REFERENCE, parent=parent)


def captured_intent(reference: str | None) -> dict[str, Any]:
    metadata = {} if reference is None else {"capture": reference}
    return objects.intent("succeeded", capture_method="manual", metadata=metadata)


@pytest.mark.parametrize(
    ("intent", "answer"),
    [
        (captured_intent(None), Absent(proven=True)),
        (captured_intent("another"), Absent(proven=True)),
        (None, Absent(proven=False)),
    ],
)
async def test_a_capture_is_proven_absent_at_its_reservation(
    intent: dict[str, Any] | None, answer: Absent
) -> None:
    response = (200, intent) if intent else (404, error_body("resource_missing"))
    stripe = FakeStripe({"GET payment_intents/pi_1": [response]})
    assert await connect(stripe).fetch_payment(parent_lookup("pi_1")) == answer


async def test_a_capture_is_found_at_its_reservation() -> None:
    intent = captured_intent(builders.REFERENCE)
    stripe = FakeStripe({"GET payment_intents/pi_1": [(200, intent)]})
    outcome = await connect(stripe).fetch_payment(parent_lookup("pi_1"))
    assert isinstance(outcome, Approved)


async def test_a_reservation_in_another_currency_proves_nothing() -> None:
    intent = captured_intent(None) | {"currency": "usd"}
    stripe = FakeStripe({"GET payment_intents/pi_1": [(200, intent)]})
    with pytest.raises(ProtocolError):
        await connect(stripe).fetch_payment(parent_lookup("pi_1"))


def refund_pages(*references: str | None) -> list[ScriptedResponse]:
    """Return the refunds of a payment, one on each page."""
    pages: list[ScriptedResponse] = []
    for number, reference in enumerate(references, start=1):
        metadata = {"reference": reference} if reference else {}
        refund = objects.refund(id=f"re_{number}", metadata=metadata)
        pages.append((200, {"has_more": number < len(references), "data": [refund]}))
    return pages


@pytest.mark.parametrize(
    ("parent", "path", "filter_name"),
    [("pi_1", "payment_intents/pi_1", "payment_intent"), ("ch_1", "charges/ch_1", "charge")],
)
async def test_a_refund_is_found_among_all_of_its_payment(
    parent: str, path: str, filter_name: str
) -> None:
    payment = PAID if parent == "pi_1" else objects.charge()
    pages = refund_pages(None, "another", builders.REFERENCE)
    stripe = FakeStripe({f"GET {path}": [(200, payment)], "GET refunds": pages})
    outcome = await connect(stripe).fetch_refund(parent_lookup(parent))
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "re_3"
    filters = [dict(request.url.params).get(filter_name) for request in stripe.requests[1:]]
    assert filters == [parent] * 3


async def test_a_refund_is_proven_absent_if_all_of_its_payment_are_others() -> None:
    pages = refund_pages(None, "another")
    stripe = FakeStripe({"GET payment_intents/pi_1": [(200, PAID)], "GET refunds": pages})
    answer = await connect(stripe).fetch_refund(parent_lookup("pi_1"))
    assert answer == Absent(proven=True)


async def test_a_list_that_is_too_long_proves_nothing() -> None:
    pages = refund_pages(*["another"] * (MAX_PAGES_OF_PAYMENT + 1))
    stripe = FakeStripe({"GET payment_intents/pi_1": [(200, PAID)], "GET refunds": pages})
    with pytest.raises(OutcomeUnknown):
        await connect(stripe).fetch_refund(parent_lookup("pi_1"))


async def test_the_refunds_of_an_unknown_payment_prove_nothing() -> None:
    missing = (404, error_body("resource_missing"))
    stripe = FakeStripe({"GET payment_intents/pi_1": [missing]})
    answer = await connect(stripe).fetch_refund(parent_lookup("pi_1"))
    assert answer == Absent(proven=False)


async def test_an_unknown_id_is_searched_by_reference() -> None:
    stripe = FakeStripe(
        {
            "GET payment_intents/pi_9": [(404, error_body("resource_missing"))],
            "GET payment_intents/search": [(200, {"data": []})],
            "GET payment_intents": [(200, {"data": [PAID]})],
            "GET payment_intents/pi_1": [(200, PAID)],
        }
    )
    outcome = await connect(stripe).fetch_payment(builders.lookup(builders.REFERENCE, "pi_9"))
    assert isinstance(outcome, Approved)


async def test_a_refused_read_is_a_protocol_error() -> None:
    stripe = FakeStripe(
        {"GET payment_intents/pi_1": [(403, error_body("more_permissions_required"))]}
    )
    with pytest.raises(ProtocolError) as refusal:
        await connect(stripe).fetch_payment(builders.lookup(builders.REFERENCE, "pi_1"))
    assert refusal.value.psp_code == "more_permissions_required"


@pytest.mark.parametrize(
    ("capabilities", "roles"),
    [
        (None, {"CreditCard", "Debit"}),
        ({}, {"CreditCard", "Debit"}),
        ({"card_payments": "active"}, {"CreditCard"}),
        ({"card_payments": "pending", "sepa_debit_payments": "active"}, {"Debit"}),
        ({"transfers": "active"}, set()),
    ],
)
async def test_roles_follow_the_accounts_capabilities(
    capabilities: dict[str, str] | None, roles: set[str]
) -> None:
    stripe = FakeStripe({"GET account": [(200, {"id": "acct_1", "capabilities": capabilities})]})
    check = await connect(stripe).verify_settings()
    assert {role.name for role in check.roles} == roles
    assert stripe.request_lines() == ["GET account"]


async def test_a_debit_in_another_currency_is_not_sent() -> None:
    stripe = FakeStripe({})
    outcome = await connect(stripe).authorize(builders.debit(currency="CHF"))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.InvalidCurrency
    assert stripe.requests == []


async def test_an_undecided_intent_is_pending() -> None:
    pending = objects.intent("processing", metadata={"reference": builders.REFERENCE})
    stripe = FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [(200, pending)],
        }
    )
    outcome = await connect(stripe).charge(builders.charge(ref=builders.REFERENCE))
    assert outcome == Pending(psp_id="pi_1")


def test_a_publishable_key_is_refused() -> None:
    form = {"ApiKey": "pk_live_1", "WebhookSecret": "whsec_1"}
    with pytest.raises(ValueError, match="publishable") as refusal:
        StripeSettings.model_validate(form)
    assert "pk_live_1" not in str(refusal.value)


async def test_the_rate_limit_applies_to_stripe_only() -> None:
    form = {"ApiKey": "sk_test_budget", "WebhookSecret": "whsec_1"}
    settings = StripeSettings.model_validate(form)
    stripe = FakeStripe({"GET account": [(200, {"id": "acct_1"})]})
    http = httpx.AsyncClient(transport=stripe)
    at_stripe = StripeAdapter(StripeConfig.model_construct(url=None)).connect(settings, http)
    for _ in range(25):
        await at_stripe.verify_settings()
    with pytest.raises(RateLimited):
        await at_stripe.verify_settings()
    assert {request.url.host for request in stripe.requests} == {"api.stripe.com"}
    emulator_config = StripeConfig.model_validate(
        {"INTEGRATOR_STRIPE_URL": "https://stripe.example"}
    )
    at_emulator = StripeAdapter(emulator_config).connect(settings, http)
    for _ in range(30):
        await at_emulator.verify_settings()
