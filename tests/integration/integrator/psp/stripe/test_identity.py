"""Objects of another payment, transaction or currency are errors, never money."""

import json
from typing import Any

import httpx
import pytest

from integrator.psp.errors import ProtocolError
from integrator.psp.stripe import ADAPTER
from integrator.psp.types import Approved, FactKind
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe import objects
from tests.integration.integrator.psp.stripe.test_client import (
    SETTINGS,
    FakeStripe,
    Script,
    connect,
)

OURS = {"reference": builders.REFERENCE}
INTENT = objects.intent(metadata=OURS)
REFUND = objects.refund(metadata=OURS, payment_intent=INTENT)
FOREIGN_REFUNDS: list[dict[str, Any]] = [
    {"metadata": {"reference": "another"}},
    {"currency": "usd"},
    {"amount": -1900},
    {"amount": "1900"},
    {"payment_intent": "pi_2"},
    {"payment_intent": INTENT | {"id": "pi_2"}},
]


@pytest.mark.parametrize("values", FOREIGN_REFUNDS)
async def test_a_foreign_refund_is_an_error(values: dict[str, Any]) -> None:
    foreign = REFUND | values
    script: Script = {
        "POST refunds": [(200, foreign)],
        "GET refunds/re_1": [(200, foreign)],
        "GET refunds": [(200, {"data": [foreign]})],
        "GET payment_intents/pi_1": [(200, INTENT)],
    }
    connection = connect(FakeStripe(script))
    with pytest.raises(ProtocolError):
        await connection.refund(builders.refund(payment_id="pi_1", ref=builders.REFERENCE))
    with pytest.raises(ProtocolError):
        await connection.fetch_refund(builders.lookup(builders.REFERENCE, "re_1", parent="pi_1"))


@pytest.mark.parametrize("values", FOREIGN_REFUNDS[1:])
async def test_a_foreign_refund_is_an_error_in_the_list(values: dict[str, Any]) -> None:
    script: Script = {
        "GET refunds": [(200, {"data": [REFUND | values]})],
        "GET payment_intents/pi_1": [(200, INTENT)],
    }
    lookup = builders.lookup(builders.REFERENCE, parent="pi_1")
    with pytest.raises(ProtocolError):
        await connect(FakeStripe(script)).fetch_refund(lookup)


async def test_a_refund_of_another_charge_is_an_error() -> None:
    script: Script = {"POST refunds": [(200, REFUND | {"charge": "ch_2"})]}
    call = builders.refund(payment_id="ch_1", ref=builders.REFERENCE)
    with pytest.raises(ProtocolError):
        await connect(FakeStripe(script)).refund(call)


@pytest.mark.parametrize(
    ("intent", "parent"),
    [(INTENT, "pi_1"), (INTENT | {"capture_method": "manual"}, "ch_1"), (None, "ch_1")],
)
async def test_a_refund_names_its_payment(intent: dict[str, Any] | None, parent: str) -> None:
    script: Script = {"POST refunds": [(200, REFUND | {"payment_intent": intent})]}
    call = builders.refund(payment_id=parent, ref=builders.REFERENCE)
    outcome = await connect(FakeStripe(script)).refund(call)
    assert isinstance(outcome, Approved)
    [fact] = outcome.facts
    assert (fact.currency, fact.reference) == ("EUR", builders.REFERENCE)
    assert fact.parent_psp_id == parent


def disputed(*disputes: dict[str, Any]) -> FakeStripe:
    charge = objects.charge(disputed=True, metadata=OURS)
    return FakeStripe(
        {
            "GET payment_intents/pi_1": [(200, INTENT | {"latest_charge": charge})],
            "GET disputes": [(200, {"data": list(disputes)})],
        }
    )


LOOKUP = builders.lookup(builders.REFERENCE, "pi_1")
TAKEN = objects.dispute("lost", objects.balance_transaction(-11900))


@pytest.mark.parametrize(
    "values", [{"currency": "usd", "amount": 13000}, {"charge": "ch_2"}, {"payment_intent": "pi_2"}]
)
async def test_a_foreign_dispute_is_an_error(values: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        await connect(disputed(TAKEN | values)).fetch_payment(LOOKUP)


async def test_all_pages_of_disputes_are_read() -> None:
    stripe = FakeStripe(
        {
            "GET payment_intents/pi_1": [
                (200, INTENT | {"latest_charge": objects.charge(disputed=True)})
            ],
            "GET disputes": [
                (200, {"data": [objects.dispute("won")], "has_more": True}),
                (200, {"data": [TAKEN | {"id": "dp_2"}]}),
            ],
        }
    )
    outcome = await connect(stripe).fetch_payment(LOOKUP)
    assert isinstance(outcome, Approved)
    assert [fact.kind for fact in outcome.facts] == [FactKind.PAID, FactKind.CHARGED_BACK]


@pytest.mark.parametrize(
    "charge",
    [objects.charge(currency="usd"), objects.charge(payment_intent="pi_2")],
)
async def test_a_foreign_charge_is_an_error(charge: dict[str, Any]) -> None:
    for intent in (INTENT, INTENT | {"capture_method": "manual", "status": "requires_capture"}):
        script: Script = {"GET payment_intents/pi_1": [(200, intent | {"latest_charge": charge})]}
        connection = connect(FakeStripe(script))
        with pytest.raises(ProtocolError):
            await connection.fetch_authorization(LOOKUP)


@pytest.mark.parametrize(
    "values",
    [
        {"currency": "usd"},
        {"payment_intent": INTENT | {"id": "pi_2", "capture_method": "manual"}},
        {"payment_intent": INTENT | {"metadata": {"reference": "another"}}},
        {"payment_intent": INTENT | {"currency": "usd"}},
    ],
)
async def test_a_foreign_capture_is_an_error(values: dict[str, Any]) -> None:
    stripe = FakeStripe({"GET charges/ch_1": [(200, objects.charge() | values)]})
    lookup = builders.lookup(builders.REFERENCE, "ch_1", parent="pi_1")
    with pytest.raises(ProtocolError):
        await connect(stripe).fetch_payment(lookup)


async def test_an_action_answered_with_another_object_is_an_error() -> None:
    other = INTENT | {"id": "pi_2", "metadata": {"capture": builders.REFERENCE}}
    script: Script = {
        "POST payment_intents": [(200, INTENT | {"status": "requires_confirmation"})],
        "POST payment_intents/pi_1/confirm": [(200, other | {"metadata": OURS})],
        "POST payment_intents/pi_1/capture": [(200, other | {"capture_method": "manual"})],
        "POST payment_intents/pi_1/cancel": [(200, other | {"status": "canceled"})],
        "POST checkout/sessions/cs_1/expire": [(200, objects.session("expired", id="cs_2"))],
    }
    connection, ref = connect(FakeStripe(script)), builders.REFERENCE
    for action in (
        connection.charge(builders.charge(ref=ref)),
        connection.capture(builders.capture(authorization_id="pi_1", ref=ref)),
        connection.void(builders.void("pi_1", ref=ref)),
        connection.void(builders.void("cs_1", ref=ref)),
    ):
        with pytest.raises(ProtocolError, match="another object"):
            await action


@pytest.mark.parametrize("values", [{"metadata": {"reference": "another"}}, {"currency": "usd"}])
async def test_a_session_with_a_foreign_intent_is_an_error(values: dict[str, Any]) -> None:
    intent = objects.intent("requires_capture", capture_method="manual", metadata=OURS) | values
    session = objects.session(
        "complete", client_reference_id=builders.REFERENCE, payment_intent=intent
    )
    stripe = FakeStripe({"GET checkout/sessions/cs_1": [(200, session)]})
    with pytest.raises(ProtocolError):
        await connect(stripe).fetch_authorization(builders.lookup(builders.REFERENCE, "cs_1"))


@pytest.mark.parametrize(
    "values",
    [
        {"created": None},
        {"created": "now"},
        {"customer": {"id": "cus_1", "object": "customer"}},
        {"customer": 7},
        {"payment_method": {"id": "pm_1"}},
        {"last_payment_error": {"type": "NEW KIND"}},
        {"cancellation_reason": {}},
        {"latest_charge": objects.charge(failure_code=[], balance_transaction={"fee": -1})},
        {"latest_charge": objects.charge(payment_method_details=None, created=None)},
    ],
)
async def test_bookkeeping_never_decides_whether_a_payment_is_read(values: dict[str, Any]) -> None:
    stripe = FakeStripe({"GET payment_intents/pi_1": [(200, INTENT | values)]})
    outcome = await connect(stripe).fetch_payment(LOOKUP)
    assert isinstance(outcome, Approved)
    assert [(fact.id, str(fact.amount)) for fact in outcome.facts] == [("ch_1", "119.00")]


@pytest.mark.parametrize(
    "values", [{"created": None}, {"failure_reason": 1}, {"balance_transaction": {"amount": "x"}}]
)
async def test_bookkeeping_never_decides_whether_a_refund_is_read(values: dict[str, Any]) -> None:
    stripe = FakeStripe({"GET refunds/re_1": [(200, REFUND | values)]})
    lookup = builders.lookup(builders.REFERENCE, "re_1", parent="pi_1")
    assert isinstance(await connect(stripe).fetch_refund(lookup), Approved)


async def test_half_of_a_surrogate_pair_does_not_hide_a_payment() -> None:
    body = json.dumps(INTENT | {"description": "ODD", "texts": ["ODD"]}).replace("ODD", "\\ud83d")
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=body.encode()))
    connection = ADAPTER.connect(SETTINGS, httpx.AsyncClient(transport=transport))
    assert isinstance(await connection.fetch_payment(LOOKUP), Approved)
