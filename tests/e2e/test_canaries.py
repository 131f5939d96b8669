"""Recognisable values go into every input; none may be readable in anything that is left behind."""

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
from tests.e2e.platform import CARD, World
from tests.e2e.test_secrets import hits, log_files, temporal_files
from tests.support.billwerk import new_id, pay_at_checkout

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("comes_last")]


SETTLED_SECONDS = 5.0
"""Late results, webhooks and their records have come by then."""


def iban(account: int) -> str:
    """A valid German IBAN of this account."""
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


def common(world: World) -> dict[str, Any]:
    return {
        "webhookTarget": f"{world.billwerk.webhook_target}?key={CANARIES['webhook_secret_path']}",
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
def errors(world: World) -> list[str]:
    """The life of a customer made of canaries, with faults; what went wrong said this."""
    said = [answer.text for answer in played(world) if not answer.is_success]
    said += [answer.text for answer in intrusions(world)]
    time.sleep(SETTLED_SECONDS)
    return said


def played(world: World) -> Iterator[httpx.Response]:
    billwerk, agreement = world.billwerk, new_id()
    sign_up = billwerk.preauth(
        agreement, **common(world), orderData=order(), paymentMeansReference=means()
    )
    opened = billwerk.post("Preauth", sign_up)
    assert opened.status_code == 200, opened.text
    page = str(opened.json()["redirectUrl"])
    pay_at_checkout(page, CARD, "pay", holder=CANARIES["cardholder"])
    data = {"invoice": CANARIES["finalization"]}
    finalize = {"transactionId": sign_up["transactionId"], "finalizationData": data}
    yield billwerk.post("Preauth/Finalize", finalize)
    for ending in ("20.03", "20.04", "20.01", "20.06", "20.10"):
        body = billwerk.payment(agreement, ending, **common(world), invoiceData=invoice())
        yield billwerk.post("Payment", body)
    paid = billwerk.payment(agreement, "30.00", **common(world))
    yield billwerk.post("Payment", paid)
    refund = billwerk.refund(paid["transactionId"], "5.00", **common(world), invoiceData=invoice())
    yield billwerk.post("Refund", refund)
    yield from debits(world)
    migrated = billwerk.preauth(new_id(), **common(world), migrationToken=CANARIES["migration"])
    yield billwerk.post("Preauth", migrated)


def debits(world: World) -> Iterator[httpx.Response]:
    billwerk, agreement = world.billwerk, new_id()
    bearer = {"Holder": CANARIES["holder"], "IBAN": IBAN}
    debit = {"role": "Debit", "initialBearer": bearer}
    yield billwerk.post(
        "Preauth",
        billwerk.preauth(
            agreement, **common(world), paymentMeansReference=debit, requestedAmount="0"
        ),
    )
    yield billwerk.post("Payment", billwerk.debit(agreement, "12.06", **common(world)))
    wrong = {**debit, "initialBearer": {**bearer, "IBAN": IBAN[:-1]}}
    yield billwerk.post(
        "Preauth", billwerk.preauth(new_id(), **common(world), paymentMeansReference=wrong)
    )


def intrusions(world: World) -> Iterator[httpx.Response]:
    """What is refused, with canaries in it."""
    client, c = world.billwerk.client, CANARIES
    merchant = world.stack.run["merchants"]["demo"]
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
    body = world.billwerk.payment(new_id(), "1.00", requestedAmount=c["declined_text"])
    yield world.billwerk.post("Payment", body)
    cancel = {"transactionId": new_id(), "pspSettingsId": c["cancel_extra"]}
    yield world.billwerk.post("Preauth/Cancel", cancel)


def words() -> Iterator[str]:
    yield from CANARIES.values()
    yield IBAN


def found_in(texts: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, word) for name, text in texts.items() for word in words() if word in text]


def test_the_store_shows_that_canaries_can_be_found(world: World, errors: list[str]) -> None:
    """The same search in what the PSP keeps, which is not sealed, finds them."""
    files = sorted(world.stack.data_dir.glob("sandbox_psp.db*"))
    found = {word for _, word in hits(files, words())}
    assert {CANARIES["cardholder"], IBAN, CANARIES["success_secret"]} <= found


def test_no_file_of_ours_shows_one(world: World, errors: list[str], data_dir: Path) -> None:
    stores = sorted(data_dir.glob("integrator.db*"))
    for files in (temporal_files(data_dir), stores, log_files(data_dir)):
        assert files
        assert hits(files, words()) == []


def test_no_error_shows_one(errors: list[str]) -> None:
    assert len(errors) >= 10
    assert found_in({str(number): text for number, text in enumerate(errors)}) == []


def test_no_metric_shows_one(world: World, errors: list[str]) -> None:
    addresses = world.stack.run["metrics"]
    pages = {process: httpx.get(url).text for process, url in addresses.items()}
    assert "integrator_api_requests_total{" in pages["api"]
    assert "integrator_outcomes_total{" in pages["worker"]
    assert found_in(pages) == []


def test_the_documentation_shows_none(world: World, errors: list[str]) -> None:
    pages = {path: world.billwerk.client.get(path).text for path in ("/openapi.json", "/docs")}
    assert found_in(pages) == []


async def test_no_history_shows_one_even_when_decrypted(
    world: World, errors: list[str], data_dir: Path
) -> None:
    """Encryption is the second wall: what is personal does not even get there."""
    settings = Settings(data_dir=data_dir, temporal_address=world.stack.run["temporal"])
    client = await connect(settings, lazy=False)
    codec = EncryptingCodec(KeyRing.from_settings(settings))
    seen = 0
    async for workflow in client.list_workflows():
        handle = client.get_workflow_handle(workflow.id, run_id=workflow.run_id)
        history = await handle.fetch_history()
        opened = await decrypted(history, codec)
        shown = {workflow.id: history.to_json(), f"{workflow.id}, decrypted": opened}
        assert found_in(shown) == []
        seen += "transaction_id" in opened
    assert seen >= 5


async def decrypted(history: WorkflowHistory, codec: PayloadCodec) -> str:
    """Every payload of a history, opened, as one text."""
    sealed = [payload for event in history.events for payload in payloads_in(event)]
    opened = await codec.decode(sealed)
    return "\n".join(payload.data.decode(errors="replace") for payload in opened)


def payloads_in(message: Message) -> Iterator[Payload]:
    """All payloads of a protobuf message, wherever they are."""
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
            yield from (p for one in members if isinstance(one, Message) for p in payloads_in(one))
