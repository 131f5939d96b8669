"""Run sign-up, payment, refund and cancellation with a client generated from the OpenAPI document.

Run by the Python that has the generator's libraries, with the generated package `integrator_client`
on its path. Reads a JSON object (`url`, `token`, `card_agreement`, `webhook_target`, `ids`) from
standard input and prints one with the status of every step.
"""

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from integrator_client import AuthenticatedClient
from integrator_client.api.integration import get_integration_info
from integrator_client.api.payment import create_payment, get_payment
from integrator_client.api.preauth import cancel_preauth, create_preauth, get_preauth
from integrator_client.api.refund import create_refund, get_refund
from integrator_client.models import (
    PayerData,
    PayerDataAddress,
    PaymentCancellationRequest,
    PaymentError,
    PaymentMeansReference,
    PaymentMeansReferenceInitialBearerType0,
    PaymentMeansReferenceRole,
    PaymentRequest,
    PreauthRequest,
    RefundRequest,
)

SECONDS = 60.0
PAYER = PayerData(
    first_name="Mia",
    last_name="Kern",
    address=PayerDataAddress(postal_code="60311", city="Frankfurt am Main", country="DE"),
)
DEBIT, CARD = PaymentMeansReferenceRole.DEBIT, PaymentMeansReferenceRole.CREDITCARD


def main() -> None:
    """Run every step in order and print the statuses."""
    parameters = json.load(sys.stdin)
    ids, target = parameters["ids"], parameters["webhook_target"]
    client = AuthenticatedClient(base_url=parameters["url"], token=parameters["token"])
    statuses: dict[str, object] = {}

    info = get_integration_info.sync(client=client)
    statuses["methods"] = sorted(info.to_dict())

    bearer = PaymentMeansReferenceInitialBearerType0.from_dict(
        {"Holder": "Mia Kern", "IBAN": "DE89370400440532013000"}
    )
    sign_up = PreauthRequest(
        transaction_id=ids[0],
        agreement_id=ids[1],
        currency="EUR",
        requested_amount=49.90,
        is_initial=True,
        payer_data=PAYER,
        payment_means_reference=PaymentMeansReference(role=DEBIT, initial_bearer=bearer),
        transaction_reference_text="Basic plan",
        webhook_target=target,
    )
    statuses["sign-up"] = accepted(create_preauth.sync(client=client, body=sign_up)).status.value

    payment = PaymentRequest(
        transaction_id=ids[2],
        agreement_id=ids[1],
        currency="EUR",
        requested_amount=49.90,
        payer_data=PAYER,
        payment_means_reference=PaymentMeansReference(role=DEBIT),
        transaction_reference_text="Basic plan February",
        planned_execution_date=datetime.now(UTC).date() + timedelta(days=3),
        webhook_target=target,
    )
    statuses["payment at first"] = accepted(
        create_payment.sync(client=client, body=payment)
    ).status.value
    decided_payment = wait_until_decided(lambda: get_payment.sync(ids[2], client=client))
    statuses["payment"] = decided_payment.status.value
    statuses["paid"] = [item.amount for item in decided_payment.payments]

    refund = RefundRequest(
        transaction_id=ids[3],
        payment_transaction_id=ids[2],
        currency="EUR",
        requested_amount=19.00,
        webhook_target=target,
    )
    accepted(create_refund.sync(client=client, body=refund))
    refunded = wait_until_decided(lambda: get_refund.sync(ids[3], client=client))
    statuses["refund"] = refunded.status.value
    statuses["refunded"] = refunded.refunded_amount

    reservation = PreauthRequest(
        transaction_id=ids[4],
        agreement_id=parameters["card_agreement"],
        currency="EUR",
        requested_amount=30.00,
        payer_data=PAYER,
        payment_means_reference=PaymentMeansReference(role=CARD),
        transaction_reference_text="Upgrade",
        webhook_target=target,
    )
    statuses["reservation"] = accepted(
        create_preauth.sync(client=client, body=reservation)
    ).status.value
    cancellation = cancel_preauth.sync(ids[4], client=client, body=PaymentCancellationRequest())
    statuses["cancellation"] = cancellation.cancellation_status.value
    statuses["cancelled"] = get_preauth.sync(ids[4], client=client).status.value

    unknown = get_payment.sync_detailed("no-such-payment", client=client)
    statuses["unknown payment"] = unknown.status_code.value
    assert isinstance(unknown.parsed, PaymentError), unknown
    json.dump(statuses, sys.stdout)


def wait_until_decided(read: Callable[[], Any]) -> Any:
    """Read the transaction until it is neither Initiated nor Pending."""
    deadline = time.monotonic() + SECONDS
    while (transaction := read()).status.value in ("Initiated", "Pending"):
        if time.monotonic() > deadline:
            raise TimeoutError(f"still {transaction.status.value} after {SECONDS} s")
        time.sleep(0.1)
    return accepted(transaction)


def accepted(transaction: Any) -> Any:
    """Return the transaction; raises `RuntimeError` if it is an error."""
    if isinstance(transaction, PaymentError):
        raise RuntimeError(f"the transaction failed: {transaction.to_dict()}")
    return transaction


main()
