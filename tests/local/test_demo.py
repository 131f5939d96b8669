"""The parts of the demo that need no stack."""

import io
import re
from decimal import Decimal

import httpx
import pytest
from rich.console import Console

from devtools.devstack.demo import checkout, requests
from devtools.devstack.demo.billing_client import BillingClient
from devtools.devstack.demo.context import StepResult
from devtools.devstack.demo.ids import agreement_id, transaction_id, workflow_url
from devtools.devstack.demo.main import isolated_settings
from devtools.devstack.demo.results import print_results
from devtools.devstack.demo.timeline import Timeline, summarize
from devtools.devstack.demo.webhooks import webhook_receiver
from devtools.devstack.errors import DevStackError
from integrator.contract.ids import is_transaction_id
from integrator.contract.requests import PaymentRequest, PreauthRequest, RefundRequest
from integrator.settings import Settings

HOOK = "http://127.0.0.1:9/hooks"
PAGE = """<html><form method="post" action="/checkout/cs_1">
<input name="card_number" value=""><input name="holder" value="x"><input name="token" value="t">
<button name="action" value="pay">Pay</button></form><form action="/other"></form></html>"""


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def text_of(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_transaction_ids_are_those_of_the_contract() -> None:
    first, second = transaction_id(), transaction_id()
    assert is_transaction_id(first)
    assert re.fullmatch(r"[0-9]{8}-[0-9a-f]{24}", first)
    assert first != second
    assert len(agreement_id()) == 24


def test_links_lead_to_the_workflow() -> None:
    assert workflow_url("http://ui", "default", "demo", "payment", "20260101-aa") == (
        "http://ui/namespaces/default/workflows/demo%2Fpayment%2F20260101-aa"
    )


def test_request_bodies_are_those_of_the_contract() -> None:
    id, agreement = transaction_id(), agreement_id()
    debit = requests.preauth(id, agreement, "Debit", "49.90", HOOK)
    assert debit["paymentMeansReference"]["initialBearer"]["IBAN"] == requests.IBAN
    PreauthRequest.model_validate(debit)
    card = requests.preauth(id, agreement, "CreditCard", "49.90", HOOK)
    assert "initialBearer" not in card["paymentMeansReference"]
    PreauthRequest.model_validate(card)
    capture = requests.capture(id, id, agreement, "49.90", HOOK)
    assert PaymentRequest.model_validate(capture).preauth_transaction_id == id
    monthly = requests.payment(id, agreement, "Debit", "49.90", HOOK, "March")
    assert PaymentRequest.model_validate(monthly).requested_amount == Decimal("49.90")
    assert "plannedExecutionDate" in monthly
    RefundRequest.model_validate(requests.refund(id, id, "10.00", HOOK))


def test_a_summary_has_what_matters() -> None:
    body = {
        "status": "Succeeded",
        "requestedAmount": Decimal("25.07"),
        "refundableAmount": 0,
        "chargebacks": [{"amount": Decimal("25.07")}],
    }
    assert summarize(body) == "Succeeded · requested 25.07 · charged back 25.07"
    assert summarize({"status": "Failed", "errorCode": "Rejected"}) == "Failed · Rejected"
    assert summarize({}) == ""


def test_the_first_form_of_a_page_is_read() -> None:
    form = checkout.parse_form(PAGE)
    assert form.action == "/checkout/cs_1"
    assert form.fields == {"card_number": "", "holder": "x", "token": "t"}


async def test_the_customer_pays_like_a_browser() -> None:
    posted: list[dict[str, str]] = []

    def psp(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, text=PAGE)
        assert str(request.url) == "http://psp/checkout/cs_1"
        posted.append(checkout.query_parameters(f"?{request.content.decode()}"))
        return httpx.Response(303, headers={"Location": "https://shop.example/ok?a=1&session=s"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(psp)) as browser:
        back = await checkout.submit_payment(browser, "http://psp/checkout/cs_1", Timeline(console()))
    assert posted == [
        {
            "card_number": checkout.CARD["card_number"],
            "holder": checkout.CARD["holder"],
            "token": "t",
            "action": "pay",
        }
    ]
    assert checkout.query_parameters(back) == {"a": "1", "session": "s"}


async def test_a_page_without_a_form_ends_the_story() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(404, text="<p>gone</p>"))
    async with httpx.AsyncClient(transport=transport) as browser:
        with pytest.raises(DevStackError, match="HTTP 404"):
            await checkout.submit_payment(browser, "http://psp/checkout/cs_1", Timeline(console()))


async def test_amounts_travel_digit_for_digit() -> None:
    def api(request: httpx.Request) -> httpx.Response:
        assert request.content == b'{"requestedAmount": 10.00}'
        assert request.headers["Authorization"] == "Bearer token"
        return httpx.Response(422, text='{"status": "Failed", "errorCode": "Rejected", "a": 1.10}')

    shown = console()
    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as http:
        platform = BillingClient(http, "http://api", "token", Timeline(shown))
        reply = await platform.post("/api/Refund", {"requestedAmount": Decimal("10.00")})
    assert reply.transaction_status == "Failed, Rejected"
    assert str(reply.body["a"]) == "1.10"
    assert "POST /api/Refund" in text_of(shown)
    assert "token" not in text_of(shown)


@pytest.mark.parametrize(
    "body",
    [{"TransactionId": "t", "AgreementId": None, "Type": 2}, {"transactionId": "t", "type": "x"}],
)
async def test_webhooks_are_counted_by_transaction(body: dict[str, object]) -> None:
    shown = console()
    async with webhook_receiver(Timeline(shown)) as webhooks, httpx.AsyncClient(trust_env=False) as http:
        assert (await http.post(webhooks.url, json=body)).status_code == 204
        await webhooks.wait_for_more("t", 0)
        assert (webhooks.count("t"), webhooks.count("other")) == (1, 0)
    assert "webhook" in text_of(shown)


def test_the_table_tells_good_from_bad() -> None:
    shown = console()
    good, bad = StepResult("Capture", "Succeeded", "Succeeded"), StepResult("Refund", "a", "b")
    assert print_results(shown, [good])
    assert not print_results(shown, [good, bad])
    assert "1 as expected, 1 not." in text_of(shown)
    assert not print_results(shown, [])


def test_a_stack_of_its_own_shares_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("own")
    theirs = Settings(
        api_port=1, task_queue="theirs", temporal_address="elsewhere:1", profile="development"
    )
    own = isolated_settings(theirs, folder)
    assert own.data_dir == folder
    assert own.temporal_address is None
    assert own.database_url is None
    assert own.task_queue == "integrator"
    ports = [name for name in Settings.model_fields if name.endswith("_port")]
    assert len({getattr(own, name) for name in ports}) == len(ports) == 7
