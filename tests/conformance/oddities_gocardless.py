"""What GoCardless really sends and refuses, beside the examples of its documentation."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
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
from integrator.psp.types import Instrument, Operation, Payer
from tests.conformance.emulator_harness import EmulatorHarness, toolkit_clock
from tests.conformance.json_changes import (
    JsonObject,
    change_objects,
    null_members,
    set_members,
)

_MONEY = ("id", "created_at", "status", "amount", "currency")
_EVENT = ("id", "action", "resource_type")


def psp_error(status: int, error_type: str, **problem: Any) -> StubResponse:
    """Return an error in GoCardless's format."""
    error = {
        "message": "Refused by the PSP.",
        "documentation_url": "https://developer.gocardless.com/api-reference",
        "type": error_type,
        "request_id": "bd271b37-a2f5-47c8-b461-040dfe0e9cb1",
        "code": status,
        "errors": [{"message": "Refused by the PSP.", **problem}],
    }
    return StubResponse.json(status, {"error": error})


class GoCardlessOddities(EmulatorHarness):
    """Part of GoCardless's harness. A chargeback is a payment's status, without an own object."""

    def distortions(self) -> Mapping[Distortion, Distort]:
        """Change payments, refunds and events."""
        is_payment, is_refund, is_event = is_kind("PM"), is_kind("RF"), is_kind("EV")
        odd = {"charge_date": "soon", "description": 7, "reference": 9, "amount_refunded": -1}
        return {
            Distortion.CHARGEBACK_RETURNED: change_objects(_cancel_chargeback),
            Distortion.CHARGEBACK_BOOKKEEPING: set_members(
                is_event, details={"cause": 7, "description": []}, created_at="later"
            ),
            Distortion.CHARGEBACK_NULLS: null_members(is_event, _EVENT),
            Distortion.PAYMENT_BOOKKEEPING: set_members(is_payment, **odd),
            Distortion.PAYMENT_NULLS: null_members(is_payment, _MONEY),
            Distortion.REFUND_CURRENCY: set_members(is_refund, currency="USD"),
            Distortion.REFUND_PARENT: set_members(is_refund, links={"payment": "PM0ANOTHER"}),
            Distortion.REFUND_REFERENCE: set_members(
                is_refund, metadata={"transaction_id": "another"}
            ),
            Distortion.REFUND_SIGN: change_objects(_negate_refund),
            Distortion.REFUND_BOOKKEEPING: set_members(is_refund, reference=9, fx="none"),
            Distortion.REFUND_NULLS: null_members(is_refund, (*_MONEY, "links", "metadata")),
        }

    def text_refusals(self) -> Sequence[TextRefusal]:
        """Return refusals of a text on the bank statement, which a contract may not include."""
        disabled = psp_error(403, "invalid_api_usage", reason="feature_disabled")
        return [
            TextRefusal(label, Operation.CHARGE, response, member, role, "/payments")
            for label, response, member in (
                ("not-in-the-contract", disabled, "reference"),
                ("scheme", _refused_field("reference"), "reference"),
                ("characters", _refused_field("description"), "description"),
            )
            for role in (Role.Debit, Role.Autogiro)
        ]

    def payer_texts(self, role: Role, payer: Payer) -> frozenset[str]:
        """Return the company, the e-mail and the address."""
        address = payer.address
        texts = (payer.company_name, payer.email, address.line1, address.postal_code, address.city)
        return frozenset(text for text in texts if text)

    def succession_response(self, successor: Instrument) -> StubResponse | None:
        """Return the refusal of a charge with a replaced mandate."""
        links = {"new_mandate": successor.token["mandate"]}
        return psp_error(422, "invalid_state", reason="mandate_replaced", links=links)

    def days_later(self, days: int) -> AbstractContextManager[None] | None:
        """Move the toolkit's clock, by which the adapter chooses dates."""
        return toolkit_clock(days)

    def odd_events(self) -> Mapping[str, OddEvent]:
        """Return events with odd characters, and with null for objects."""
        return {
            "half-a-surrogate-pair": OddEvent(_with_event_members(details={"cause": "\ud83d"})),
            "null-members": OddEvent(
                _with_event_members(details=None, metadata=None, resource_metadata=None)
            ),
            "list-for-an-object": OddEvent(_with_event_members(resource_metadata=[])),
        }


def is_kind(prefix: str) -> Callable[[JsonObject], bool]:
    """Return a function that recognises objects by the prefix of their ids."""
    return lambda item: str(item.get("id")).startswith(prefix)


def _refused_field(name: str) -> StubResponse:
    return psp_error(422, "validation_failed", field=name, request_pointer=f"/payments/{name}")


def _negate_refund(item: JsonObject) -> None:
    if is_kind("RF")(item):
        item["amount"] = -item["amount"]


def _cancel_chargeback(item: JsonObject) -> None:
    """Pay a charged back payment out again, with the event that says so."""
    if is_kind("PM")(item) and item["status"] == "charged_back":
        item["status"] = "paid_out"
    events = item.get("events")
    if isinstance(events, list) and any(one["action"] == "charged_back" for one in events):
        cancelled = {"id": "EV0CANCELLED", "action": "chargeback_cancelled"}
        item["events"] = [{**events[0], **cancelled}, *events]


def _with_event_members(**members: Any) -> Callable[[Delivery], Delivery]:
    def build(delivery: Delivery) -> Delivery:
        events = [{**event, **members} for event in json.loads(delivery.body)["events"]]
        return Delivery(delivery.headers, json.dumps({"events": events}).encode())

    return build
