"""The conformance kit's harness of TallyPay."""

import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.money import exponent
from integrator.psp.conformance.harness import (
    Booking,
    BookingKind,
    C,
    Delivery,
    ErrorCase,
    Harness,
    HarnessUnavailable,
    Refusal,
    Script,
    SignatureScheme,
    StubResponse,
)
from integrator.psp.toolkit.money import to_major
from integrator.psp.types import Charge, Operation, Refund
from tallypay import ADAPTER
from tallypay.fake_psp import FAILS_LATE, INSUFFICIENT_FUNDS, SUCCEEDS_LATE, FakeTallyPay

TOKEN, SECRET = "tally_test_0123456789", "tallysecret_0123456789"
AMOUNT_ENDINGS = {
    Script.LACKS_FUNDS: INSUFFICIENT_FUNDS,
    Script.PENDING_THEN_DONE: SUCCEEDS_LATE,
    Script.PENDING_THEN_FAILED: FAILS_LATE,
}
BOOKING_KINDS = {"payments": BookingKind.CHARGE, "refunds": BookingKind.REFUND}


def build_problem(status: int, code: str) -> StubResponse:
    """Return an error in TallyPay's format."""
    return StubResponse.json(status, {"problem": {"code": code, "text": "Refused by TallyPay."}})


class TallyPayHarness(Harness):
    """An account at the fake PSP."""

    adapter = ADAPTER
    signature = SignatureScheme(setting="WebhookSecret")
    timeout = 1.0

    def __init__(self) -> None:
        self.form = {"Token": TOKEN, "WebhookSecret": SECRET}
        self.wrong_form = {**self.form, "Token": "tally_test_wrong"}
        self.psp = FakeTallyPay(
            TOKEN, lambda delivery: self.sign_delivery(delivery, secret=SECRET, at=current_time())
        )
        self.transport = httpx.MockTransport(self.psp.handle)

    def currencies(self, role: Role) -> Sequence[str]:
        return ("EUR", "JPY", "BHD")

    def payment_data(self, role: Role) -> dict[str, str] | None:
        return {"Holder": "Mia Kern", "IBAN": "DE89370400440532013000"}

    async def script_call(self, call: C, script: Script) -> C | None:
        if script not in AMOUNT_ENDINGS or not isinstance(call, Charge | Refund):
            return None
        return _set_amount_ending(AMOUNT_ENDINGS[script], call)

    def error_response(self, case: ErrorCase) -> StubResponse | None:
        return {
            ErrorCase.THROTTLED: build_problem(429, "slow_down"),
            ErrorCase.UNAUTHORIZED: build_problem(401, "bad_token"),
            ErrorCase.FAILED: build_problem(500, "broken"),
            ErrorCase.UNDOCUMENTED: build_problem(422, "brand_new"),
        }[case]

    def refusals(self) -> Sequence[Refusal]:
        rows: list[tuple[Operation, str, Code]] = [
            (Operation.AUTHORIZE, "bad_iban", Code.InvalidIBAN),
            (Operation.CHARGE, "no_funds", Code.InsufficientBalance),
            (Operation.CHARGE, "no_mandate", Code.BearerInvalid),
            (Operation.CHARGE, "refused", Code.Rejected),
            (Operation.REFUND, "too_much", Code.InvalidAmount),
        ]
        return [
            Refusal(code, operation, build_problem(422, code), contract_code, role=Role.Debit)
            for operation, code, contract_code in rows
        ]

    async def list_bookings(self, reference: str) -> Sequence[Booking] | None:
        self.psp.process_pending()
        return [
            _build_booking(entry) for entry in self.psp.ledger if entry["reference"] == reference
        ]

    async def list_deliveries(self) -> Sequence[Delivery] | None:
        self.psp.process_pending()
        return tuple(self.psp.deliveries)

    def sign_delivery(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        seconds = int(at.timestamp())
        message = f"{seconds}.".encode() + delivery.body
        digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return Delivery({"TallyPay-Signature": f"t={seconds},v1={digest}"}, delivery.body)

    def unknown_event(self) -> Delivery | None:
        event = {"event": "ev_new", "kind": "comet", "id": "com_1"}
        return Delivery({}, json.dumps(event).encode())


def current_time() -> datetime:
    """Return the fake PSP's time."""
    return datetime.now(UTC)


def _set_amount_ending(ending: int, call: C) -> C:
    amount_ending = Decimal(ending).scaleb(-exponent(call.currency))
    return call.model_copy(update={"amount": int(call.amount) - 1 + amount_ending})


def _build_booking(entry: dict[str, Any]) -> Booking:
    currency = entry.get("currency", "EUR")
    return Booking(BOOKING_KINDS[entry["kind"]], to_major(entry["amount"], currency), currency)


@asynccontextmanager
async def harness(live: Mapping[str, str] | None) -> AsyncIterator[Harness]:
    """Open the harness; the kit finds this factory by its entry point."""
    if live is not None:
        raise HarnessUnavailable(
            "TallyPay is imaginary and has no sandbox; run the kit without live credentials."
        )
    yield TallyPayHarness()
