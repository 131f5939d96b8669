"""Test with canary values in every input: none may be readable in any stored or logged data."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from stdnum import iban as iban_rules
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHistory
from temporalio.converter import PayloadCodec

from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.temporal.client import connect
from integrator.temporal.payload_codec import EncryptingCodec
from tests.e2e.stack.environment import CARD, Environment
from tests.e2e.stack.test_secrets import hits, log_files, temporal_files
from tests.support.billwerk import new_id, submit_checkout

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("run_last")]


SETTLING_SECONDS = 5.0
"""Late results, webhooks and their records have arrived by then."""


def iban(account: int) -> str:
    """Return a valid German IBAN of this account."""
    bban = f"37040044{account:010}"
    return f"DE{iban_rules.calc_check_digits(f'DE00{bban}')}{bban}"


IBAN = iban(777_000_777)

CANARIES: Mapping[str, str] = {
    name: f"Kanarie{number:02}{name.replace('_', '')}"
    for number, name in enumerate(
        (
            *("first_name", "last_name", "company", "customer_number", "vat_id", "phone"),
            *("street", "city", "state", "email", "holder", "cardholder", "payer_extra"),
            *("success_secret", "error_secret", "abort_secret", "webhook_secret_path"),
            *("host_url", "terms_url", "reference_text", "invoice_text", "plan_name"),
            *("contract_id", "line_text", "invoice_description", "finalization", "cancel_extra"),
            *("unknown_member", "migration", "query_token", "broken_json", "wrong_token"),
            *("forged_notification", "settings_value", "unknown_setting", "declined_text"),
        )
    )
}
assert len(CANARIES) >= 30


def payer() -> dict[str, Any]:
    c = CANARIES
    return {
        "externalCustomerId": c["customer_number"],
        "companyName": c["company"],
        "firstName": c["first_name"],
        "lastName": c["last_name"],
        "vatId": c["vat_id"],
        "emailAddress": f"{c['email']}@example.org",
        "phoneNumber": c["phone"],
        "language": "de",
        "address": {
            "street": c["street"],
            "houseNumber": "7",
            "postalCode": "60311",
            "city": c["city"],
            "state": c["state"],
            "country": "DE",
        },
        "unknownPayerMember": c["payer_extra"],
    }


def common(environment: Environment) -> dict[str, Any]:
    target = environment.billwerk.webhook_target
    return {
        "webhookTarget": f"{target}?key={CANARIES['webhook_secret_path']}",
        "payerData": payer(),
        "transactionReferenceText": CANARIES["reference_text"],
        "transactionInvoiceReferenceText": CANARIES["invoice_text"],
        "unknownMember": {"nested": CANARIES["unknown_member"]},
    }


def order() -> dict[str, Any]:
    return {"planName": CANARIES["plan_name"], "externalContractId": CANARIES["contract_id"]}


def invoice() -> dict[str, Any]:
    line = {"description": CANARIES["line_text"], "totalGross": "20.00"}
    return {"description": CANARIES["invoice_description"], "lineItems": [line]}


def means() -> dict[str, Any]:
    c = CANARIES
    return {
        "role": "CreditCard",
        "successReturnUrl": f"https://shop.example/ok?s={c['success_secret']}",
        "errorReturnUrl": f"https://shop.example/error?s={c['error_secret']}",
        "abortReturnUrl": f"https://shop.example/abort?s={c['abort_secret']}",
        "hostUrl": f"https://shop.example/{c['host_url']}",
        "termsOfServiceUrl": f"https://shop.example/{c['terms_url']}",
    }


@pytest.fixture(scope="module")
def errors(environment: Environment) -> list[str]:
    """Error texts of a customer's requests with canaries, including faults."""
    texts = [answer.text for answer in run_requests(environment) if not answer.is_success]
    texts += [answer.text for answer in run_rejected_requests(environment)]
    time.sleep(SETTLING_SECONDS)
    return texts


def run_requests(environment: Environment) -> Iterator[httpx.Response]:
    billwerk, agreement = environment.billwerk, new_id()
    sign_up = billwerk.preauth(
        agreement, **common(environment), orderData=order(), paymentMeansReference=means()
    )
    opened = billwerk.post("Preauth", sign_up)
    assert opened.status_code == 200, opened.text
    page = str(opened.json()["redirectUrl"])
    submit_checkout(page, CARD, "pay", holder=CANARIES["cardholder"])
    data = {"invoice": CANARIES["finalization"]}
    finalize = {"transactionId": sign_up["transactionId"], "finalizationData": data}
    yield billwerk.post("Preauth/Finalize", finalize)
    for ending in ("20.03", "20.04", "20.01", "20.06", "20.10"):
        body = billwerk.payment(agreement, ending, **common(environment), invoiceData=invoice())
        yield billwerk.post("Payment", body)
    paid = billwerk.payment(agreement, "30.00", **common(environment))
    yield billwerk.post("Payment", paid)
    refund = billwerk.refund(
        paid["transactionId"], "5.00", **common(environment), invoiceData=invoice()
    )
    yield billwerk.post("Refund", refund)
    yield from debits(environment)
    migrated = billwerk.preauth(
        new_id(), **common(environment), migrationToken=CANARIES["migration"]
    )
    yield billwerk.post("Preauth", migrated)


def debits(environment: Environment) -> Iterator[httpx.Response]:
    billwerk, agreement = environment.billwerk, new_id()
    bearer = {"Holder": CANARIES["holder"], "IBAN": IBAN}
    debit = {"role": "Debit", "initialBearer": bearer}
    yield billwerk.post(
        "Preauth",
        billwerk.preauth(
            agreement, **common(environment), paymentMeansReference=debit, requestedAmount="0"
        ),
    )
    yield billwerk.post("Payment", billwerk.debit(agreement, "12.06", **common(environment)))
    wrong = {**debit, "initialBearer": {**bearer, "IBAN": IBAN[:-1]}}
    yield billwerk.post(
        "Preauth", billwerk.preauth(new_id(), **common(environment), paymentMeansReference=wrong)
    )


def run_rejected_requests(environment: Environment) -> Iterator[httpx.Response]:
    """Make requests with canaries that are refused."""
    client, c = environment.billwerk.client, CANARIES
    merchant = environment.stack.run["merchants"]["demo"]
    yield client.get(f"/api/Payment/{new_id()}?token={c['query_token']}")
    yield client.post(
        "/api/Payment",
        content=f'{{"payerData": {{"lastName": "{c["broken_json"]}"'.encode(),
        headers={"Content-Type": "application/json"},
    )
    yield client.get("/api/Settings", headers={"Authorization": f"Bearer {c['wrong_token']}"})
    yield client.post(
        f"/api/notifications/sandbox/{merchant['psp_settings_id']}",
        json={"id": "evt_1", "type": "charge.succeeded", "data": c["forged_notification"]},
        headers={"Sandbox-Signature": f"t=1,v1={c['forged_notification']}"},
    )
    entries = [
        {"keyName": "ApiKey", "keyValue": c["settings_value"]},
        {"keyName": "WebhookSecret", "keyValue": c["settings_value"]},
        {"keyName": c["unknown_setting"], "keyValue": c["unknown_setting"]},
    ]
    yield client.put("/api/Settings", json={"merchantSettings": entries})
    body = environment.billwerk.payment(new_id(), "1.00", requestedAmount=c["declined_text"])
    yield environment.billwerk.post("Payment", body)
    cancel = {"transactionId": new_id(), "pspSettingsId": c["cancel_extra"]}
    yield environment.billwerk.post("Preauth/Cancel", cancel)


def canary_values() -> Iterator[str]:
    yield from CANARIES.values()
    yield IBAN


def found_in(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [
        (name, word) for name, text in texts.items() for word in canary_values() if word in text
    ]


def test_the_search_finds_canaries_in_the_sandbox_database(
    environment: Environment, errors: list[str]
) -> None:
    """The same search finds them in the PSP's data, which is not encrypted."""
    files = sorted(environment.stack.data_dir.glob("sandbox_psp.db*"))
    hit_values = {word for _, word in hits(files, canary_values())}
    assert {CANARIES["cardholder"], IBAN, CANARIES["success_secret"]} <= hit_values


def test_no_file_of_ours_contains_a_canary(
    environment: Environment, errors: list[str], data_dir: Path
) -> None:
    stores = sorted(data_dir.glob("integrator.db*"))
    for files in (temporal_files(data_dir), stores, log_files(data_dir)):
        assert files
        assert hits(files, canary_values()) == []


def test_no_error_contains_a_canary(errors: list[str]) -> None:
    assert len(errors) >= 10
    assert found_in({str(number): text for number, text in enumerate(errors)}) == []


def test_no_metric_contains_a_canary(environment: Environment, errors: list[str]) -> None:
    addresses = environment.stack.run["metrics"]
    pages = {process: httpx.get(url).text for process, url in addresses.items()}
    assert "integrator_api_requests_total{" in pages["api"]
    assert "integrator_outcomes_total{" in pages["worker"]
    assert found_in(pages) == []


def test_the_documentation_contains_no_canary(environment: Environment, errors: list[str]) -> None:
    pages = {
        path: environment.billwerk.client.get(path).text for path in ("/openapi.json", "/docs")
    }
    assert found_in(pages) == []


async def test_no_decrypted_history_contains_a_canary(
    environment: Environment, errors: list[str], data_dir: Path
) -> None:
    """Encryption is the second protection: personal data does not reach histories at all."""
    settings = Settings(data_dir=data_dir, temporal_address=environment.stack.run["temporal"])
    client = await connect(settings, lazy=False)
    codec = EncryptingCodec(KeyRing.from_settings(settings))
    checked = 0
    async for workflow in client.list_workflows():
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        history = await handle.fetch_history()
        opened = await decrypted(history, codec)
        shown = {workflow.id: history.to_json(), f"{workflow.id}, decrypted": opened}
        assert found_in(shown) == []
        checked += "transaction_id" in opened
    assert checked >= 5


async def decrypted(history: WorkflowHistory, codec: PayloadCodec) -> str:
    """Return all payloads of a history, decrypted, as one text."""
    encrypted = [payload for event in history.events for payload in payloads_in(event)]
    payloads = await codec.decode(encrypted)
    return "\n".join(payload.data.decode(errors="replace") for payload in payloads)


def payloads_in(message: Message) -> Iterator[Payload]:
    """Yield all payloads of a protobuf message at any depth."""
    if isinstance(message, Payload):
        yield message
        return
    for field, value in message.ListFields():
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        if isinstance(value, Message):
            yield from payloads_in(value)
        else:
            members = value.values() if hasattr(value, "values") else value
            yield from (
                p for member in members if isinstance(member, Message) for p in payloads_in(member)
            )
