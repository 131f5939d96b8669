"""What the adapter sends to Stripe: payers' data, texts, types of methods and dates."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe import ADAPTER
from integrator.psp.toolkit import time_formats
from integrator.psp.types import (
    Address,
    Approved,
    Charge,
    Declined,
    Instrument,
    Payer,
    Pending,
    RedirectRequired,
)
from tests.integration.integrator.psp import builders
from tests.integration.integrator.psp.stripe import contract, objects
from tests.integration.integrator.psp.stripe.test_client import (
    UNCONFIRMED,
    FakeStripe,
    Script,
    connect,
)

OURS = {"reference": builders.REFERENCE}
SETUP = {
    "id": "seti_1",
    "object": "setup_intent",
    "status": "succeeded",
    "customer": "cus_1",
    "metadata": OURS,
    "mandate": "mandate_1",
    "payment_method": {"id": "pm_1", "type": "sepa_debit"},
}
SESSION = objects.session(
    client_reference_id=builders.REFERENCE, expires_at=objects.CREATED + 9_000_000
)
ADDRESS = Address(
    line1="Bahnhofstrasse 1", line2="Hinterhaus", postal_code="8001", city="Zürich", state="ZH"
)
BLANK = Payer(
    name=" ",
    email="",
    language="",
    country=" ",
    company_name="\t",
    address=Address(line1="", city=" "),
)


def sent(request: httpx.Request) -> dict[str, str]:
    return dict(parse_qsl(request.content.decode(), keep_blank_values=True))


def refusal(param: str | None, message: str = "Invalid value.", **values: Any) -> tuple[int, Any]:
    error = {"type": "invalid_request_error", "message": message, "param": param, **values}
    return 400, {"error": {name: value for name, value in error.items() if value is not None}}


def sign_up() -> FakeStripe:
    return FakeStripe(
        {
            "POST customers": [(200, {"id": "cus_1"})],
            "POST setup_intents": [(200, SETUP)],
            "POST checkout/sessions": [(200, SESSION)],
        }
    )


async def test_a_swiss_account_is_sent_with_the_payers_address() -> None:
    stripe = sign_up()
    payer = Payer(name="Mia Kern", email="mia@example.org", country="CH", address=ADDRESS)
    call = builders.debit(iban="CH9300762011623852957", payer=payer, ref=builders.REFERENCE)
    assert isinstance(await connect(stripe).authorize(call), Approved)
    customer, setup = map(sent, stripe.requests)
    members = {"line1", "line2", "postal_code", "city", "state", "country"}
    for prefix, form in (
        ("address", customer),
        ("payment_method_data[billing_details][address]", setup),
    ):
        address = {name: form[f"{prefix}[{name}]"] for name in members}
        assert address == {**ADDRESS.model_dump(), "country": "CH"}
    assert [contract.find_request_errors(request) for request in stripe.requests] == [[], []]


async def test_a_company_is_the_customer() -> None:
    stripe = sign_up()
    company = "Müller & Söhne GmbH & Co. KG"
    payer = Payer(name=company, company_name=company, email="office@example.org")
    await connect(stripe).authorize(builders.debit(payer=payer, ref=builders.REFERENCE))
    customer, setup = map(sent, stripe.requests)
    assert customer["name"] == company
    assert setup["payment_method_data[billing_details][name]"] == "Mia Kern"


@pytest.mark.parametrize("amount", ["119.00", "0"])
async def test_nothing_blank_is_sent(amount: str) -> None:
    stripe = sign_up()
    fields: dict[str, Any] = {"payer": BLANK, "ref": builders.REFERENCE, "text": "  "}
    await connect(stripe).authorize(builders.authorize(amount, **fields))
    await connect(stripe).authorize(builders.debit(**fields))
    forms = [sent(request) for request in stripe.requests]
    assert len(forms) == 3
    assert [name for form in forms for name, value in form.items() if not value.strip()] == []
    names = {name for form in forms for name in form}
    assert not any("email" in name or "address" in name for name in names)


async def test_no_blank_reaches_a_payment() -> None:
    stripe = FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [(200, objects.intent(metadata=OURS))],
        }
    )
    call = builders.charge(ref=builders.REFERENCE, text="\n")
    await connect(stripe).charge(call)
    assert "description" not in sent(stripe.requests[0])


async def test_blanks_around_an_email_are_removed() -> None:
    stripe = sign_up()
    call = builders.authorize(payer=Payer(email=" mia@example.org "), ref=builders.REFERENCE)
    await connect(stripe).authorize(call)
    assert sent(stripe.requests[0])["customer_email"] == "mia@example.org"


async def test_half_of_a_surrogate_pair_is_replaced() -> None:
    stripe = sign_up()
    call = builders.authorize(text="Gl\ud83cck\x00", ref=builders.REFERENCE)
    await connect(stripe).authorize(call)
    assert sent(stripe.requests[0])["payment_intent_data[description]"] == "Gl\ufffdck\ufffd"


@pytest.mark.parametrize(
    ("param", "message", "left_out"),
    [
        ("payment_intent_data[description]", "Too long.", "payment_intent_data[description]"),
        ("customer_email", "Invalid email address: x", "customer_email"),
        (None, "Invalid email address: x", "customer_email"),
        ("locale", "Invalid locale.", "locale"),
    ],
)
async def test_a_checkout_is_opened_without_what_is_refused(
    param: str | None, message: str, left_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    stripe = FakeStripe({"POST checkout/sessions": [refusal(param, message), (200, SESSION)]})
    call = builders.authorize(text="Order 4711", ref=builders.REFERENCE, key="k")
    assert isinstance(await connect(stripe).authorize(call), RedirectRequired)
    first, second = map(sent, stripe.requests)
    if param is not None:
        assert set(first) - set(second) == {left_out}
    assert left_out not in second
    assert stripe.idempotency_keys() == ["k", "k/reduced-1"]
    assert left_out in caplog.text
    assert "mia.kern" not in caplog.text


async def test_a_product_without_its_text_has_the_reference() -> None:
    name = "line_items[0][price_data][product_data][name]"
    stripe = FakeStripe({"POST checkout/sessions": [refusal(name), (200, SESSION)]})
    call = builders.authorize(text="Order 4711", ref=builders.REFERENCE)
    await connect(stripe).authorize(call)
    assert [sent(request)[name] for request in stripe.requests] == [
        "Order 4711",
        builders.REFERENCE,
    ]


async def test_several_refused_parameters_are_left_out_one_after_the_other() -> None:
    prefix = "payment_method_data[billing_details][address]"
    answers = [refusal("description"), refusal(f"{prefix}[state]"), (200, SETUP)]
    stripe = FakeStripe(
        {"POST customers": [(200, {"id": "cus_1"})], "POST setup_intents": list(answers)}
    )
    payer = Payer(email="mia@example.org", country="CH", address=ADDRESS)
    call = builders.debit(payer=payer, text="Order 4711", ref=builders.REFERENCE, key="k")
    assert isinstance(await connect(stripe).authorize(call), Approved)
    last = sent(stripe.requests[-1])
    assert "description" not in last
    assert f"{prefix}[state]" not in last
    assert last[f"{prefix}[line1]"] == "Bahnhofstrasse 1"
    assert stripe.idempotency_keys() == ["k/customer", "k", "k/reduced-1", "k/reduced-2"]


@pytest.mark.parametrize("param", ["address[state]", "billing_details[address][state]"])
async def test_a_shortened_name_of_a_refused_parameter_is_understood(param: str) -> None:
    stripe = FakeStripe(
        {
            "POST customers": [(200, {"id": "cus_1"})],
            "POST setup_intents": [refusal(param), (200, SETUP)],
        }
    )
    payer = Payer(email="mia@example.org", country="CH", address=ADDRESS)
    await connect(stripe).authorize(builders.debit(payer=payer, ref=builders.REFERENCE))
    first, second = map(sent, stripe.requests[1:])
    assert set(first) - set(second) == {"payment_method_data[billing_details][address][state]"}


@pytest.mark.parametrize(
    "answer",
    [
        refusal("description"),
        refusal(None, "The description is too long."),
        refusal(None, "Unsupported.", code="invalid_characters"),
    ],
)
async def test_a_payment_is_made_without_a_refused_text(answer: tuple[int, Any]) -> None:
    stripe = FakeStripe(
        {
            "POST payment_intents": [answer, (200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": [(200, objects.intent(metadata=OURS))],
        }
    )
    call = builders.charge(ref=builders.REFERENCE, key="k", text="Order 4711")
    assert isinstance(await connect(stripe).charge(call), Approved)
    assert stripe.idempotency_keys() == ["k/create", "k/create/reduced-1", "k/confirm"]


@pytest.mark.parametrize(
    "answer",
    [
        refusal("amount"),
        refusal("payment_method"),
        refusal("description", code="parameter_missing"),
        (402, {"error": {"type": "card_error", "param": "description"}}),
    ],
)
async def test_other_refusals_are_final(answer: tuple[int, Any]) -> None:
    stripe = FakeStripe({"POST payment_intents": [answer]})
    call = builders.charge(ref=builders.REFERENCE, text="Order 4711")
    assert isinstance(await connect(stripe).charge(call), Declined)
    assert len(stripe.requests) == 1


async def test_a_text_that_is_refused_again_is_final() -> None:
    stripe = FakeStripe({"POST payment_intents": [refusal("description")]})
    call = builders.charge(ref=builders.REFERENCE, text="Order 4711")
    assert isinstance(await connect(stripe).charge(call), Declined)
    assert len(stripe.requests) == 2


def test_a_belgian_account_without_national_check_digits_is_accepted() -> None:
    for iban in ("BE08510007547063", "be08 5100 0754 7063"):
        ADAPTER.check_initial_bearer(Role.Debit, {"Holder": "Mia Kern", "IBAN": iban})


LINK = {
    "id": "pm_2",
    "object": "payment_method",
    "type": "link",
    "customer": "cus_1",
    "billing_details": {"name": "Mia Kern"},
    "link": {"email": "mia@example.org"},
}


def charge_script(*answers: tuple[int, Any]) -> Script:
    return {
        "POST payment_intents": list(answers),
        "POST payment_intents/pi_1/confirm": [(200, objects.intent(metadata=OURS))],
        "GET payment_methods/pm_1": [(200, LINK | {"id": "pm_1"})],
    }


async def stored_link() -> Instrument:
    intent = objects.intent(
        "requires_capture", capture_method="manual", metadata=OURS, payment_method=LINK
    )
    session = objects.session(
        "complete", client_reference_id=builders.REFERENCE, payment_intent=intent
    )
    stripe = FakeStripe({"GET checkout/sessions/cs_1": [(200, session)]})
    outcome = await connect(stripe).fetch_authorization(builders.lookup(builders.REFERENCE, "cs_1"))
    assert isinstance(outcome, Approved)
    assert outcome.instrument is not None
    return outcome.instrument


async def test_a_link_method_is_charged_by_its_own_type() -> None:
    instrument = await stored_link()
    assert instrument.token == {"payment_method": "pm_2", "customer": "cus_1", "type": "link"}
    assert instrument.bearer == {"CardType": "link", "Holder": "Mia Kern"}
    stripe = FakeStripe(charge_script((200, UNCONFIRMED)))
    await connect(stripe).charge(builders.charge(ref=builders.REFERENCE, instrument=instrument))
    assert sent(stripe.requests[0])["allowed_payment_method_types[0]"] == "link"
    assert contract.find_request_errors(stripe.requests[0]) == []


WRONG_TYPE = refusal("payment_method", code="payment_intent_incompatible_payment_method")


async def test_the_type_of_an_older_token_is_read() -> None:
    stripe = FakeStripe(charge_script(WRONG_TYPE, (200, UNCONFIRMED)))
    call = builders.charge(ref=builders.REFERENCE, key="k")
    assert isinstance(await connect(stripe).charge(call), Approved)
    assert stripe.idempotency_keys() == ["k/create", "k/create/link", "k/confirm"]
    assert sent(stripe.requests[2])["allowed_payment_method_types[0]"] == "link"


@pytest.mark.parametrize("method", [{"type": "card"}, {"type": "sepa_debit"}, None])
async def test_a_method_of_the_usual_type_is_refused(method: dict[str, str] | None) -> None:
    script = charge_script(WRONG_TYPE)
    missing = refusal("id", code="resource_missing")[1]
    script["GET payment_methods/pm_1"] = [(200, LINK | method) if method else (404, missing)]
    outcome = await connect(FakeStripe(script)).charge(builders.charge(ref=builders.REFERENCE))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.BearerInvalid


async def test_a_link_method_is_migrated() -> None:
    stripe = FakeStripe({"GET payment_methods/pm_2": [(200, LINK)]})
    for role, expected in ((Role.CreditCard, Approved), (Role.Debit, Declined)):
        call = builders.authorize("0", migration_token="pm_2", role=role)
        assert isinstance(await connect(stripe).authorize(call), expected)


NOW = datetime(2026, 1, 15, 23, 59, tzinfo=UTC)
PROCESSING = objects.intent("processing", metadata=OURS)
DATE = "payment_method_options[sepa_debit][target_date]"


def debit(execute_on: date) -> Charge:
    return builders.charge(
        "49.90", role=Role.Debit, ref=builders.REFERENCE, key="k", execute_on=execute_on
    )


def debit_script(*answers: tuple[int, Any], current: Any = PROCESSING) -> FakeStripe:
    return FakeStripe(
        {
            "POST payment_intents": [(200, UNCONFIRMED)],
            "POST payment_intents/pi_1/confirm": list(answers),
            "GET payment_intents/pi_1": [(200, current)],
        }
    )


@pytest.mark.parametrize(("minutes", "dated"), [(0, True), (1, False)])
async def test_the_day_is_that_of_the_request(
    minutes: int, dated: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_formats, "now", lambda: NOW + timedelta(minutes=minutes))
    stripe = debit_script((200, PROCESSING))
    call = debit(NOW.date() + timedelta(days=3))
    assert isinstance(await connect(stripe).charge(call), Pending)
    assert (DATE in sent(stripe.requests[-1])) is dated


async def test_a_confirmation_repeated_after_midnight_reads_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(time_formats, "now", lambda: NOW + timedelta(minutes=1))
    reused = (400, {"error": {"type": "idempotency_error", "message": "Other parameters."}})
    outcome = await connect(debit_script(reused)).charge(debit(NOW.date() + timedelta(days=3)))
    assert outcome == Pending(psp_id="pi_1")


@pytest.mark.parametrize(("days", "outcome"), [(3, Pending), (4, Declined)])
async def test_the_nearest_date_is_left_out_if_it_is_refused(
    days: int, outcome: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_formats, "now", lambda: NOW)
    stripe = debit_script(refusal(DATE), (200, PROCESSING), current=UNCONFIRMED)
    assert isinstance(
        await connect(stripe).charge(debit(NOW.date() + timedelta(days=days))), outcome
    )
    if outcome is Pending:
        assert DATE not in sent(stripe.requests[-1])
        assert stripe.idempotency_keys()[1:] == ["k/confirm", "k/confirm/undated"]
