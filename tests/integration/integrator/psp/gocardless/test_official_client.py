"""GoCardless' official Python client against the emulator, and its signatures against ours."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from integrator.psp.errors import NotificationRejected
from integrator.psp.gocardless import ADAPTER
from integrator.psp.gocardless.settings import GoCardlessSettings
from tests.integration.devtools.sandbox_psp.driver import WebhookReceiver
from tests.integration.integrator.psp.gocardless import objects

gocardless_pro = pytest.importorskip("gocardless_pro")
from gocardless_pro import errors, webhooks  # noqa: E402
from gocardless_pro.api_client import ApiClient  # noqa: E402

IBAN = "DE89370400440532013000"
TIMEOUT_SECONDS = 8.0
SECRET = "secret_official"


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    receiver = WebhookReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def client(sandbox_url: str, receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return the client, patched to keep the path of its base URL."""
    account = {
        "api_key": f"sandbox_{uuid4().hex}",
        "webhook_secret": SECRET,
        "webhook_url": f"{receiver.url}/gocardless",
        "dialect": "gocardless",
    }
    httpx.put(f"{sandbox_url}/_control/accounts", json=account).raise_for_status()
    monkeypatch.setattr(ApiClient, "_url_for", lambda self, path: self.base_url + path)
    return gocardless_pro.Client(
        access_token=account["api_key"], base_url=f"{sandbox_url}/gocardless"
    )


def wait_for(read: Any) -> Any:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not (found := read()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)
    return found


def create_mandate(client: Any) -> Any:
    """Create a mandate step by step."""
    params = {"mandate_request": {"scheme": "sepa_core", "currency": "EUR"}}
    request = client.billing_requests.create(params=params)
    customer = {"email": "mia@example.org", "given_name": "Mia", "family_name": "Kern"}
    client.billing_requests.collect_customer_details(request.id, params={"customer": customer})
    account = {"account_holder_name": "Mia Kern", "iban": IBAN}
    client.billing_requests.collect_bank_account(request.id, params=account)
    ready = client.billing_requests.confirm_payer_details(request.id)
    assert ready.status == "ready_to_fulfil"
    done = client.billing_requests.fulfil(request.id)
    assert done.status == "fulfilled"
    return client.mandates.get(done.links.mandate_request_mandate)


def test_lifecycle_of_a_payment(client: Any) -> None:
    (creditor,) = client.creditors.list().records
    assert {scheme["scheme"] for scheme in creditor.scheme_identifiers} >= {"sepa", "autogiro"}
    mandate = create_mandate(client)
    links = {"mandate": mandate.id}
    payment = client.payments.create(params={"amount": 1000, "currency": "EUR", "links": links})
    assert payment.status == "pending_submission"
    wait_for(lambda: client.payments.get(payment.id).status == "confirmed")
    refund = client.refunds.create(
        params={
            "amount": 300,
            "total_amount_confirmation": 300,
            "links": {"payment": payment.id},
        }
    )
    run = client.scenario_simulators.run
    run("refund_paid", params={"links": {"resource": refund.id}})
    run("refund_bounced", params={"links": {"resource": refund.id}})
    assert client.refunds.get(refund.id).status == "bounced"
    run("payment_paid_out", params={"links": {"resource": payment.id}})
    run("payment_late_failure", params={"links": {"resource": payment.id}})
    events = [event.action for event in client.events.list(params={"payment": payment.id}).records]
    assert events == ["failed", "paid_out", "confirmed", "created"]
    event_ids = [event.id for event in client.events.all(params={"limit": 3})]
    assert len(event_ids) == len(set(event_ids)) == 10


def test_error_classes(client: Any) -> None:
    mandate = create_mandate(client)
    params = {"amount": 1000, "currency": "EUR", "links": {"mandate": mandate.id}}
    key = {"Idempotency-Key": uuid4().hex}
    first = client.payments.create(params=params, headers=key)
    assert client.payments.create(params=params, headers=key).id == first.id
    with pytest.raises(errors.ValidationFailedError):
        client.payments.create(params={**params, "charge_date": "2020-01-01"})
    with pytest.raises(errors.InvalidApiUsageError):
        client.payments.get("PM000")
    client.mandates.cancel(mandate.id)
    with pytest.raises(errors.InvalidStateError) as caught:
        client.payments.create(params=params)
    assert caught.value.errors[0]["reason"] == "mandate_is_inactive"
    unauthorized = gocardless_pro.Client(access_token="x", base_url=client._api_client.base_url)
    with pytest.raises(errors.AuthenticationError):
        unauthorized.creditors.list()


def test_the_client_accepts_signatures_of_the_emulator(
    client: Any, receiver: WebhookReceiver
) -> None:
    create_mandate(client)
    deliveries = wait_for(lambda: list(receiver.deliveries["/gocardless"]))
    for headers, body in deliveries:
        digest = headers["Webhook-Signature"]
        parsed = webhooks.parse_with_meta(body.decode(), SECRET, digest)
        assert parsed.webhook_id.startswith("WB")
        form = {"AccessToken": "sandbox_x", "WebhookSecret": SECRET}
        settings = GoCardlessSettings.model_validate(form)
        notification_events = ADAPTER.parse_notification(settings, headers, body, datetime.now(UTC))
        assert [notification.event_id for notification in notification_events] == [
            event.id for event in parsed.events
        ]
        with pytest.raises(errors.InvalidSignatureError):
            webhooks.parse(body.decode() + " ", SECRET, digest)


def test_client_and_adapter_accept_the_same_signatures() -> None:
    body = objects.webhook(objects.event("confirmed"))
    good = objects.signature(body)
    form = {"AccessToken": "sandbox_x", "WebhookSecret": objects.SECRET}
    settings = GoCardlessSettings.model_validate(form)
    assert webhooks.parse(body.decode(), objects.SECRET, good["Webhook-Signature"])
    assert ADAPTER.parse_notification(settings, good, body, datetime.now(UTC))
    for altered in (body + b" ", json.dumps(json.loads(body), indent=1).encode()):
        with pytest.raises(errors.InvalidSignatureError):
            webhooks.parse(altered.decode(), objects.SECRET, good["Webhook-Signature"])
        with pytest.raises(NotificationRejected):
            ADAPTER.parse_notification(settings, good, altered, datetime.now(UTC))
