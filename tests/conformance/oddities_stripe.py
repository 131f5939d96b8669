"""What Stripe really sends and refuses, beside the examples of its documentation."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import (
    Delivery,
    Distort,
    Distortion,
    OddEvent,
    Refusal,
    StubResponse,
    TextRefusal,
)
from integrator.psp.types import Operation, Payer
from tests.conformance.emulator_harness import EmulatorHarness, toolkit_clock
from tests.conformance.json_changes import (
    JsonObject,
    change_objects,
    null_members,
    set_members,
)

_FOREIGN = {"charge": "ch_another", "payment_intent": "pi_another"}
_INTENT = ("status", "amount", "amount_received", "currency", "capture_method", "created")
_CHARGE = ("status", "amount_captured", "captured", "currency", "created", "disputed")
_REFUND = ("status", "amount", "currency", "created", "metadata", "charge", "payment_intent")
_DISPUTE = ("status", "currency", "charge", "balance_transactions")
_DETACHED = "The PaymentMethod was detached from a Customer. It may not be used again."
_UNSUPPORTED = "Your card does not support this type of purchase."
_ODD_TEXTS = {"description": 7, "failure_code": 7, "failure_message": ["x"], "reason": 7}


class StripeOddities(EmulatorHarness):
    """Part of Stripe's harness."""

    def distortions(self) -> Mapping[Distortion, Distort]:
        """Change disputes, refunds and PaymentIntents with their charges."""
        is_dispute, is_refund = is_object("dispute"), is_object("refund")
        return {
            Distortion.CHARGEBACK_CURRENCY: set_members(is_dispute, currency="usd"),
            Distortion.CHARGEBACK_PARENT: set_members(is_dispute, **_FOREIGN),
            Distortion.CHARGEBACK_SIGN: change_objects(_turn_withdrawals),
            Distortion.CHARGEBACK_CLAIM: change_objects(_claim_more),
            Distortion.CHARGEBACK_RETURNED: change_objects(_return_all),
            Distortion.CHARGEBACK_PART_RETURNED: change_objects(_return_part),
            Distortion.CHARGEBACK_BOOKKEEPING: change_objects(_make_fees_odd),
            Distortion.CHARGEBACK_NULLS: null_members(is_dispute, _kept(_DISPUTE)),
            Distortion.PAYMENT_BOOKKEEPING: set_members(_is_payment, **_ODD_TEXTS),
            Distortion.PAYMENT_NULLS: change_objects(_null_payment),
            Distortion.REFUND_CURRENCY: set_members(is_refund, currency="usd"),
            Distortion.REFUND_PARENT: set_members(is_refund, **_FOREIGN),
            Distortion.REFUND_REFERENCE: set_members(is_refund, metadata={"reference": "another"}),
            Distortion.REFUND_SIGN: change_objects(_negate_refund),
            Distortion.REFUND_BOOKKEEPING: set_members(
                is_refund, **_ODD_TEXTS, failure_reason=7, receipt_number={}
            ),
            Distortion.REFUND_NULLS: null_members(is_refund, _kept(_REFUND)),
        }

    def payer_texts(self, role: Role, payer: Payer) -> frozenset[str]:
        """Return the e-mail, and for a debit the company and the address that CH and GB need."""
        texts = [payer.email]
        if role is Role.Debit:
            address = payer.address
            texts += [payer.company_name, address.line1, address.postal_code, address.city]
        return frozenset(text for text in texts if text)

    def unusual_payment_data(self, role: Role) -> Mapping[str, dict[str, str]]:
        """Return also accounts outside the EEA, which need the payer's address."""
        if role is not Role.Debit:
            return {}
        accounts = {"CH": "CH9300762011623852957", "GB": "GB33BUKB20201555555555"}
        return {
            **super().unusual_payment_data(role),
            **{name: {"Holder": "Mia Kern", "IBAN": iban} for name, iban in accounts.items()},
        }

    def codeless_refusals(self) -> Sequence[Refusal]:
        """Return refusals by a parameter, or only by words."""
        return [
            Refusal("detached", Operation.CHARGE, _refused(400, _DETACHED), Code.BearerInvalid),
            *(
                Refusal(label, Operation.CHARGE, response, code, path_part="/confirm")
                for label, response, code in (
                    ("unsupported", _refused(402, _UNSUPPORTED), Code.BearerInvalid),
                    ("new", _refused(402, "Something new."), Code.Rejected),
                )
            ),
            *(
                Refusal(
                    label,
                    Operation.AUTHORIZE,
                    _refused(400, "Not accepted.", param=f"payment_method_data{param}"),
                    code,
                    role=Role.Debit,
                    path_part="/setup_intents",
                )
                for label, param, code in (
                    ("name", "[billing_details][name]", Code.BearerInvalid),
                    ("iban", "[sepa_debit][iban]", Code.InvalidIBAN),
                )
            ),
        ]

    def text_refusals(self) -> Sequence[TextRefusal]:
        """Return refusals of the description of a payment, and of that of a checkout."""
        return [
            TextRefusal(
                "description",
                operation,
                _refused(400, "Not accepted.", param=param),
                "description",
            )
            for operation, param in (
                (Operation.CHARGE, "description"),
                (Operation.AUTHORIZE, "payment_intent_data[description]"),
            )
        ]

    def days_later(self, days: int) -> AbstractContextManager[None] | None:
        """Move the toolkit's clock, by which the adapter chooses dates."""
        return toolkit_clock(days)

    def odd_events(self) -> Mapping[str, OddEvent]:
        """Return events of older endpoints, of the second API and of Connect."""
        return {
            "charge.refund.updated": OddEvent(_refund_event, relevant=True),
            "thin": OddEvent(_thin_event, relevant=False),
            "connect": OddEvent(_with_members(account="acct_1Connected")),
            "half-a-surrogate-pair": OddEvent(_with_object_members(description="\ud83d")),
            "null-members": OddEvent(_with_object_members(metadata=None, description=None)),
        }


def is_object(kind: str) -> Callable[[JsonObject], bool]:
    """Return a function that recognises objects of a kind."""
    return lambda item: item.get("object") == kind


def _refused(status: int, message: str, **members: Any) -> StubResponse:
    """Return an error without a code."""
    error_type = "card_error" if status == 402 else "invalid_request_error"
    error = {"type": error_type, "message": message, **members}
    return StubResponse.json(status, {"error": error})


def _kept(names: Sequence[str]) -> tuple[str, ...]:
    return ("id", "object", *names)


def _is_payment(item: JsonObject) -> bool:
    return item.get("object") in ("payment_intent", "charge")


def _null_payment(item: JsonObject) -> None:
    kept = {"payment_intent": (*_INTENT, "latest_charge"), "charge": _CHARGE}
    names = kept.get(str(item.get("object")))
    if names is not None:
        item.update({name: None for name in item if name not in _kept(names)})


def _negate_refund(item: JsonObject) -> None:
    if is_object("refund")(item):
        item["amount"] = -item["amount"]


def _entries(item: JsonObject) -> list[JsonObject]:
    entries = item.get("balance_transactions") if is_object("dispute")(item) else None
    return entries if isinstance(entries, list) else []


def _turn_withdrawals(item: JsonObject) -> None:
    for entry in _entries(item):
        entry["amount"] = abs(entry["amount"])


def _claim_more(item: JsonObject) -> None:
    if _entries(item):
        item["amount"] += 100


def _return_all(item: JsonObject) -> None:
    _add_return(item, None)
    if _entries(item):
        item["status"] = "won"


def _return_part(item: JsonObject) -> None:
    _add_return(item, 100)


def _add_return(item: JsonObject, amount: int | None) -> None:
    """Add the reinstatement; its fee is negative, since Stripe returns the dispute's fee."""
    for entry in list(_entries(item)):
        returned = {
            "id": f"{entry['id']}back",
            "amount": -entry["amount"] if amount is None else amount,
            "fee": -2000,
            "created": entry["created"] + 3600,
        }
        item["balance_transactions"].append({**entry, **returned})


def _make_fees_odd(item: JsonObject) -> None:
    for entry in _entries(item):
        entry.update(fee=-2000, reporting_category=None, description=7, net="odd")
        item.update(reason=7, evidence_details=[], is_charge_refundable="no")


def _event(event_type: str, **members: Any) -> bytes:
    fields = {"id": "evt_odd", "object": "event", "type": event_type, "created": 1769072400}
    return json.dumps({**fields, **members}).encode()


def _refund_event(delivery: Delivery) -> Delivery:
    refund = {
        "id": "re_1",
        "object": "refund",
        "status": "succeeded",
        "amount": 100,
        "currency": "eur",
        "created": 1769072400,
        "payment_intent": "pi_1",
        "charge": "ch_1",
        "metadata": {"reference": "20260122-0123456789abcdef01234567"},
    }
    body = _event("charge.refund.updated", data={"object": refund})
    return Delivery(delivery.headers, body)


def _thin_event(delivery: Delivery) -> Delivery:
    members = {
        "object": "v2.core.event",
        "created": "2026-01-22T09:00:00.000Z",
        "related_object": {"id": "meter_1", "type": "billing.meter", "url": "/v1/billing/meters/1"},
    }
    return Delivery(delivery.headers, _event("v1.billing.meter.no_meter_found", **members))


def _with_members(**members: Any) -> Callable[[Delivery], Delivery]:
    def build(delivery: Delivery) -> Delivery:
        body = {**json.loads(delivery.body), **members}
        return Delivery(delivery.headers, json.dumps(body).encode())

    return build


def _with_object_members(**members: Any) -> Callable[[Delivery], Delivery]:
    def build(delivery: Delivery) -> Delivery:
        body = json.loads(delivery.body)
        body["data"]["object"] |= members
        return Delivery(delivery.headers, json.dumps(body).encode())

    return build
