"""Parts of the demo that need no stack."""

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

WEBHOOK_URL = "http://127.0.0.1:9/hooks"
PAGE = """<html><form method="post" action="/checkout/cs_1">
<input name="card_number" value=""><input name="holder" value="x"><input name="token" value="t">
<button name="action" value="pay">Pay</button></form><form action="/other"></form></html>"""


def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def read_console(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_transaction_ids_match_the_contract() -> None:
    first, second = transaction_id(), transaction_id()
    assert is_transaction_id(first)
    assert re.fullmatch(r"[0-9]{8}-[0-9a-f]{24}", first)
    assert first != second
    assert len(agreement_id()) == 24


def test_workflow_urls_are_escaped() -> None:
    assert workflow_url("http://ui", "default", "demo", "payment", "20260101-aa") == (
        "http://ui/namespaces/default/workflows/demo%2Fpayment%2F20260101-aa"
    )


def test_request_bodies_match_the_contract() -> None:
    id, agreement = transaction_id(), agreement_id()
    debit = requests.preauth(id, agreement, "Debit", "49.90", WEBHOOK_URL)
    assert debit["paymentMeansReference"]["initialBearer"]["IBAN"] == requests.IBAN
    PreauthRequest.model_validate(debit)
    card = requests.preauth(id, agreement, "CreditCard", "49.90", WEBHOOK_URL)
    assert "initialBearer" not in card["paymentMeansReference"]
    PreauthRequest.model_validate(card)
    capture = requests.capture(id, id, agreement, "49.90", WEBHOOK_URL)
    assert PaymentRequest.model_validate(capture).preauth_transaction_id == id
    monthly = requests.payment(id, agreement, "Debit", "49.90", WEBHOOK_URL, "March")
    assert PaymentRequest.model_validate(monthly).requested_amount == Decimal("49.90")
    assert "plannedExecutionDate" in monthly
    RefundRequest.model_validate(requests.refund(id, id, "10.00", WEBHOOK_URL))


def test_a_summary_has_status_error_and_amounts() -> None:
    body = {
        "status": "Succeeded",
        "requestedAmount": Decimal("25.07"),
        "refundableAmount": 0,
        "chargebacks": [{"amount": Decimal("25.07")}],
    }
    assert summarize(body) == "Succeeded · requested 25.07 · charged back 25.07"
    assert summarize({"status": "Failed", "errorCode": "Rejected"}) == "Failed · Rejected"
    assert summarize({}) == ""


def test_the_first_form_of_a_page_is_parsed() -> None:
    form = checkout.parse_form(PAGE)
    assert form.action == "/checkout/cs_1"
    assert form.fields == {"card_number": "", "holder": "x", "token": "t"}


async def test_the_checkout_form_is_submitted_with_card_data() -> None:
    posted: list[dict[str, str]] = []

    def psp(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, text=PAGE)
        assert str(request.url) == "http://psp/checkout/cs_1"
        posted.append(checkout.query_parameters(f"?{request.content.decode()}"))
        return httpx.Response(303, headers={"Location": "https://shop.example/ok?a=1&session=s"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(psp)) as browser:
        return_url = await checkout.submit_payment(
            browser, "http://psp/checkout/cs_1", Timeline(console())
        )
    assert posted == [
        {
            "card_number": checkout.CARD["card_number"],
            "holder": checkout.CARD["holder"],
            "token": "t",
            "action": "pay",
        }
    ]
    assert checkout.query_parameters(return_url) == {"a": "1", "session": "s"}


async def test_a_checkout_page_without_a_form_raises() -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(404, text="<p>gone</p>"))
    async with httpx.AsyncClient(transport=transport) as browser:
        with pytest.raises(DevStackError, match="HTTP 404"):
            await checkout.submit_payment(browser, "http://psp/checkout/cs_1", Timeline(console()))


async def test_amounts_are_sent_and_parsed_exactly() -> None:
    def api(request: httpx.Request) -> httpx.Response:
        assert request.content == b'{"requestedAmount": 10.00}'
        assert request.headers["Authorization"] == "Bearer token"
        return httpx.Response(422, text='{"status": "Failed", "errorCode": "Rejected", "a": 1.10}')

    output = console()
    async with httpx.AsyncClient(transport=httpx.MockTransport(api)) as http:
        billing = BillingClient(http, "http://api", "token", Timeline(output))
        response = await billing.post("/api/Refund", {"requestedAmount": Decimal("10.00")})
    assert response.transaction_status == "Failed, Rejected"
    assert str(response.body["a"]) == "1.10"
    assert "POST /api/Refund" in read_console(output)
    assert "token" not in read_console(output)


@pytest.mark.parametrize(
    "body",
    [{"TransactionId": "t", "AgreementId": None, "Type": 2}, {"transactionId": "t", "type": "x"}],
)
async def test_webhooks_are_counted_by_transaction(body: dict[str, object]) -> None:
    output = console()
    async with (
        webhook_receiver(Timeline(output)) as webhooks,
        httpx.AsyncClient(trust_env=False) as http,
    ):
        assert (await http.post(webhooks.url, json=body)).status_code == 204
        await webhooks.wait_for_more("t", 0)
        assert (webhooks.count("t"), webhooks.count("other")) == (1, 0)
    assert "webhook" in read_console(output)


def test_the_result_table_marks_unexpected_results() -> None:
    output = console()
    passed, failed = StepResult("Capture", "Succeeded", "Succeeded"), StepResult("Refund", "a", "b")
    assert print_results(output, [passed])
    assert not print_results(output, [passed, failed])
    assert "1 as expected, 1 not." in read_console(output)
    assert not print_results(output, [])


def test_isolated_settings_share_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("own")
    original = Settings(
        api_port=1, task_queue="theirs", temporal_address="elsewhere:1", profile="development"
    )
    isolated = isolated_settings(original, folder)
    assert isolated.data_dir == folder
    assert isolated.temporal_address is None
    assert isolated.database_url is None
    assert isolated.task_queue == "integrator"
    ports = [name for name in Settings.model_fields if name.endswith("_port")]
    assert len({getattr(isolated, name) for name in ports}) == len(ports) == 7
