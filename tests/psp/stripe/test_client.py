"""What becomes of a call when Stripe's answer is not the expected one."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import OutcomeUnknown, ProtocolError, PspTimeout, RateLimited
from integrator.psp.port import Connection
from integrator.psp.stripe import StripeAdapter
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.stripe.settings import StripeSettings
from integrator.psp.types import Approved, Declined, Pending
from tests.psp import builders
from tests.psp.stripe import objects

SETTINGS = StripeSettings.model_validate({"ApiKey": "sk_test_unit", "WebhookSecret": "whsec_unit"})

Answer = tuple[int, Any] | Exception
Script = dict[str, list[Answer]]


class Stripe(httpx.MockTransport):
    """Answers `METHOD path` by script, the last answer again and again; keeps the requests."""

    def __init__(self, script: Script) -> None:
        self.seen: list[httpx.Request] = []
        self._script = script
        super().__init__(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        answers = self._script[f"{request.method} {request.url.path.removeprefix('/v1/')}"]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, Exception):
            raise answer
        headers = {"Stripe-Should-Retry": "false"} if answer[0] == 500 else {}
        return httpx.Response(answer[0], json=answer[1], headers=headers)

    def paths(self) -> list[str]:
        return [f"{r.method} {r.url.path.removeprefix('/v1/')}" for r in self.seen]

    def keys(self) -> list[str]:
        return [r.headers["Idempotency-Key"] for r in self.seen if r.method == "POST"]


def connected(stripe: Stripe) -> Connection:
    config = StripeConfig.model_validate({"INTEGRATOR_STRIPE_URL": "https://stripe.example"})
    return StripeAdapter(config).connect(SETTINGS, httpx.AsyncClient(transport=stripe))


def error(code: str | None = None, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"type": kind, "message": "No.", **({"code": code} if code else {})}}


UNCONFIRMED = objects.intent("requires_confirmation", metadata={"reference": builders.REFERENCE})
PAID = objects.intent(metadata={"reference": builders.REFERENCE})
STORED = (500, error(kind="api_error"))
STATE = (400, error("payment_intent_unexpected_state"))


async def test_the_object_comes_first_then_the_attempt() -> None:
    stripe = Stripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [(200, PAID)],
        }
    )
    call = builders.charge(ref=builders.REFERENCE, key="k")
    assert isinstance(await connected(stripe).charge(call), Approved)
    assert stripe.keys() == ["k/create", "k/confirm"]
    create, confirm = [request.content.decode() for request in stripe.seen]
    assert "confirm" not in create
    assert "off_session" not in create
    assert "off_session=true" in confirm
    for request in stripe.seen:
        assert request.headers["Stripe-Version"] == "2026-10-28.endive"
        assert request.headers["Authorization"] == "Bearer sk_test_unit"


@pytest.mark.parametrize("answer", [STORED, (409, error("idempotency_key_in_use")), STATE])
async def test_an_attempt_without_an_answer_is_read(answer: Answer) -> None:
    stripe = Stripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [answer],
            "GET payment_intents/pi_1": [(200, PAID)],
        }
    )
    outcome = await connected(stripe).charge(builders.charge(ref=builders.REFERENCE))
    assert isinstance(outcome, Approved)


async def test_an_attempt_that_may_still_come_stays_unknown() -> None:
    stripe = Stripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [STORED],
            "GET payment_intents/pi_1": [(200, UNCONFIRMED)],
        }
    )
    with pytest.raises(OutcomeUnknown, match="HTTP 500"):
        await connected(stripe).charge(builders.charge(ref=builders.REFERENCE))


async def test_after_a_timeout_nothing_more_is_asked() -> None:
    stripe = Stripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [httpx.ReadTimeout("slow")],
        }
    )
    with pytest.raises(PspTimeout):
        await connected(stripe).charge(builders.charge(ref=builders.REFERENCE))


async def test_a_capture_that_was_made_is_read() -> None:
    metadata = {"reference": "the-preauth", "capture": builders.REFERENCE}
    done = objects.intent(
        capture_method="manual", metadata=metadata, latest_charge=objects.charge()
    )
    stripe = Stripe(
        {
            "POST payment_intents/pi_1/capture": [STORED],
            "GET payment_intents/pi_1": [(200, done)],
        }
    )
    call = builders.capture(of="pi_1", ref=builders.REFERENCE)
    outcome = await connected(stripe).capture(call)
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "ch_1"


async def test_somebody_elses_capture_is_not_ours() -> None:
    metadata = {"reference": "the-preauth", "capture": "another"}
    done = objects.intent(capture_method="manual", metadata=metadata)
    script: Script = {
        "POST payment_intents/pi_1/capture": [STATE],
        "GET payment_intents/pi_1": [(200, done)],
    }
    call = builders.capture(of="pi_1", ref=builders.REFERENCE)
    outcome = await connected(Stripe(script)).capture(call)
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.InvalidPreconditions
    script["POST payment_intents/pi_1/capture"] = [STORED]
    with pytest.raises(OutcomeUnknown):
        await connected(Stripe(script)).capture(call)


async def test_a_refund_without_an_answer_is_looked_for() -> None:
    mine = objects.refund(metadata={"reference": builders.REFERENCE})
    other = objects.refund(id="re_2", metadata={})
    script: Script = {"POST refunds": [STORED], "GET refunds": [(200, {"data": [other, mine]})]}
    call = builders.refund(of="pi_1", ref=builders.REFERENCE)
    outcome = await connected(Stripe(script)).refund(call)
    assert isinstance(outcome, Approved)
    assert outcome.psp_id == "re_1"
    script["GET refunds"] = [(200, {"data": [other]})]
    with pytest.raises(OutcomeUnknown, match="HTTP 500"):
        await connected(Stripe(script)).refund(call)


async def test_a_cancelled_reservation_is_given_back() -> None:
    done = objects.intent("canceled", metadata={"reference": builders.REFERENCE})
    stripe = Stripe(
        {"POST payment_intents/pi_1/cancel": [STATE], "GET payment_intents/pi_1": [(200, done)]}
    )
    call = builders.void("pi_1", ref=builders.REFERENCE)
    assert await connected(stripe).void(call) == Approved(psp_id="pi_1")


@pytest.mark.parametrize(
    "operation",
    [
        lambda c: c.capture(builders.capture(of="seti_1")),
        lambda c: c.void(builders.void("seti_1")),
        lambda c: c.charge(
            builders.charge(instrument=builders.CARD.model_copy(update={"token": {}}))
        ),
    ],
)
async def test_what_names_nothing_is_not_sent(operation: Callable[[Connection], Any]) -> None:
    stripe = Stripe({})
    assert isinstance(await operation(connected(stripe)), Declined)
    assert stripe.seen == []


async def test_a_key_fits_stripes_limit() -> None:
    stripe = Stripe({"POST refunds": [(200, objects.refund(metadata={}))]})
    for key in ("k" * 255, "k" * 256, "k" * 256):
        await connected(stripe).refund(builders.refund(of="pi_1", key=key))
    short, *hashed = stripe.keys()
    assert short == "k" * 255
    assert hashed[0] == hashed[1]
    assert len(hashed[0]) == 64


async def test_a_search_result_is_read_again() -> None:
    stale = objects.intent("requires_payment_method", last_payment_error=objects.problem())
    stripe = Stripe(
        {
            "GET payment_intents/search": [(200, {"data": [stale]})],
            "GET payment_intents/pi_1": [(200, PAID)],
        }
    )
    outcome = await connected(stripe).fetch_payment(builders.lookup(builders.REFERENCE))
    assert isinstance(outcome, Approved)


async def test_lists_are_gone_through_for_a_while() -> None:
    pages: list[Answer] = [
        (200, {"has_more": True, "data": [objects.refund(id=f"re_{n}", metadata={})]})
        for n in range(9)
    ]
    stripe = Stripe({"GET refunds": pages})
    assert await connected(stripe).fetch_refund(builders.lookup()) is None
    asked = [dict(request.url.params).get("starting_after") for request in stripe.seen]
    assert asked == [None, "re_0", "re_1"]


async def test_an_id_that_stripe_does_not_know_is_looked_for_by_reference() -> None:
    stripe = Stripe(
        {
            "GET payment_intents/pi_9": [(404, error("resource_missing"))],
            "GET payment_intents/search": [(200, {"data": []})],
            "GET payment_intents": [(200, {"data": [PAID]})],
        }
    )
    outcome = await connected(stripe).fetch_payment(builders.lookup(builders.REFERENCE, "pi_9"))
    assert isinstance(outcome, Approved)


async def test_a_read_that_is_refused_is_no_answer() -> None:
    stripe = Stripe({"GET payment_intents/pi_1": [(403, error("more_permissions_required"))]})
    with pytest.raises(ProtocolError) as refusal:
        await connected(stripe).fetch_payment(builders.lookup(builders.REFERENCE, "pi_1"))
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
async def test_an_account_offers_what_it_may(
    capabilities: dict[str, str] | None, roles: set[str]
) -> None:
    stripe = Stripe({"GET account": [(200, {"id": "acct_1", "capabilities": capabilities})]})
    found = await connected(stripe).verify_settings()
    assert {role.name for role in found.roles} == roles
    assert stripe.paths() == ["GET account"]


async def test_a_debit_in_another_currency_is_not_sent() -> None:
    stripe = Stripe({})
    outcome = await connected(stripe).authorize(builders.debit(currency="CHF"))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.InvalidCurrency
    assert stripe.seen == []


async def test_an_undecided_answer_is_pending() -> None:
    pending = objects.intent("processing", metadata={"reference": builders.REFERENCE})
    stripe = Stripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [(200, pending)],
        }
    )
    outcome = await connected(stripe).charge(builders.charge(ref=builders.REFERENCE))
    assert outcome == Pending(psp_id="pi_1")


def test_a_publishable_key_is_refused() -> None:
    form = {"ApiKey": "pk_live_1", "WebhookSecret": "whsec_1"}
    with pytest.raises(ValueError, match="publishable") as refusal:
        StripeSettings.model_validate(form)
    assert "pk_live_1" not in str(refusal.value)


async def test_stripes_own_limits_are_kept_at_stripe_only() -> None:
    form = {"ApiKey": "sk_test_budget", "WebhookSecret": "whsec_1"}
    settings = StripeSettings.model_validate(form)
    stripe = Stripe({"GET account": [(200, {"id": "acct_1"})]})
    http = httpx.AsyncClient(transport=stripe)
    at_stripe = StripeAdapter(StripeConfig.model_construct(url=None)).connect(settings, http)
    for _ in range(25):
        await at_stripe.verify_settings()
    with pytest.raises(RateLimited):
        await at_stripe.verify_settings()
    assert {request.url.host for request in stripe.seen} == {"api.stripe.com"}
    stand_in = StripeConfig.model_validate({"INTEGRATOR_STRIPE_URL": "https://stripe.example"})
    elsewhere = StripeAdapter(stand_in).connect(settings, http)
    for _ in range(30):
        await elsewhere.verify_settings()
