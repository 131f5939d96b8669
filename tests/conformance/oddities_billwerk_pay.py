"""What Billwerk+ Pay really sends and refuses, beside the examples of its documentation."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import (
    Delivery,
    Distort,
    Distortion,
    OddEvent,
    StubResponse,
    TextRefusal,
)
from integrator.psp.types import Operation, Payer
from tests.conformance.emulator_harness import EmulatorHarness
from tests.conformance.json_changes import (
    JsonObject,
    change_objects,
    null_members,
    set_members,
)

_NULLS = {
    "source": None,
    "order_lines": None,
    "card_transaction": None,
    "credit_notes": None,
    "credit_note_lines": None,
    "error": None,
    "error_state": None,
    "acquirer_message": None,
}


def psp_error(status: int, code: int, **extra: str) -> StubResponse:
    """Return an error in the PSP's format."""
    body = {
        "code": code,
        "error": "Refused by the PSP",
        "path": "/v1/charge",
        "timestamp": "2026-01-22T09:00:00.000+00:00",
        "http_status": status,
        "http_reason": "Reason",
        "request_id": "de03e86d0a6d44359b249340f967ddc9",
    }
    return StubResponse.json(status, {**body, **extra})


class BillwerkPayOddities(EmulatorHarness):
    """Part of Billwerk+ Pay's harness. What a dispute returns has no member of its own."""

    def distortions(self) -> Mapping[Distortion, Distort]:
        """Change invoices with their transactions, refunds and disputes."""
        odd = {"error": 7, "error_state": [], "acquirer_message": 7, "settled": "later"}
        return {
            Distortion.CHARGEBACK_CURRENCY: set_members(_is_dispute, currency="USD"),
            Distortion.CHARGEBACK_PARENT: set_members(_is_dispute, invoice="another"),
            Distortion.CHARGEBACK_SIGN: change_objects(_negate_outcome),
            Distortion.CHARGEBACK_CLAIM: change_objects(_claim_more),
            Distortion.CHARGEBACK_BOOKKEEPING: set_members(_is_dispute, reason=7, resolved="later"),
            Distortion.CHARGEBACK_NULLS: null_members(
                _is_dispute, ("id", "state", "invoice", "amount", "outcome", "outcome_amount")
            ),
            Distortion.PAYMENT_BOOKKEEPING: set_members(_is_transaction, **odd),
            Distortion.PAYMENT_NULLS: change_objects(_null_payment),
            Distortion.REFUND_CURRENCY: set_members(_is_refund, currency="USD"),
            Distortion.REFUND_PARENT: set_members(_is_refund, invoice="another"),
            Distortion.REFUND_SIGN: change_objects(_negate_refund),
            Distortion.REFUND_BOOKKEEPING: set_members(
                _is_refund, error=7, error_state=[], acquirer_message=7
            ),
            Distortion.REFUND_NULLS: null_members(
                _is_refund, ("id", "state", "invoice", "amount", "currency", "created")
            ),
        }

    def text_refusals(self) -> Sequence[TextRefusal]:
        """Return refusals of the text of a charge, and of a page's text and address."""
        return [
            TextRefusal("text", operation, psp_error(400, 1, message=message), member)
            for operation, message, member in (
                (Operation.CHARGE, "ordertext contains invalid characters", "ordertext"),
                (Operation.AUTHORIZE, "order.customer.city is too long", "city"),
            )
        ]

    def payer_texts(self, role: Role, payer: Payer) -> frozenset[str]:
        """Return the company, the e-mail and the address."""
        address = payer.address
        texts = (payer.company_name, payer.email, address.line1, address.postal_code, address.city)
        return frozenset(text for text in texts if text)

    def odd_events(self) -> Mapping[str, OddEvent]:
        """Return notifications with odd characters, and with null for what may be missing."""
        return {
            "half-a-surrogate-pair": OddEvent(_with_members(customer="\ud83d")),
            "null-members": OddEvent(_with_members(customer=None, subscription=None)),
        }


def _is_dispute(item: JsonObject) -> bool:
    return "outcome" in item and "invoice" in item


def _is_transaction(item: JsonObject) -> bool:
    return "card_transaction" in item


def _is_refund(item: JsonObject) -> bool:
    return "ref_transaction" in item and "state" in item and "invoice" in item


def _negate_outcome(item: JsonObject) -> None:
    if _is_dispute(item):
        item.update(amount=-item["amount"], outcome_amount=-item["outcome_amount"])


def _claim_more(item: JsonObject) -> None:
    if _is_dispute(item):
        item["amount"] += 100


def _negate_refund(item: JsonObject) -> None:
    if _is_refund(item):
        item["amount"] = -item["amount"]


def _null_payment(item: JsonObject) -> None:
    """Set what is missing of a payment to null; our text in the order lines identifies it."""
    if _is_transaction(item):
        item.update({name: None for name in _NULLS if name in item or name != "order_lines"})


def _with_members(**members: Any) -> Callable[[Delivery], Delivery]:
    def build(delivery: Delivery) -> Delivery:
        body = {**json.loads(delivery.body), **members}
        return Delivery(delivery.headers, json.dumps(body).encode())

    return build
