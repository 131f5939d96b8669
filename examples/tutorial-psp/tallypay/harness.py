"""What the conformance kit has to know about TallyPay."""

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
    C,
    Delivery,
    ErrorCase,
    Harness,
    Movement,
    PspAnswer,
    Refusal,
    Script,
    Signature,
    Unavailable,
)
from integrator.psp.toolkit.money import to_major
from integrator.psp.types import Charge, Operation, Refund
from tallypay import ADAPTER
from tallypay.stand_in import FAILS_LATE, LATE, NO_FUNDS, TallyPay

TOKEN, SECRET = "tally_test_0123456789", "tallysecret_0123456789"
ENDINGS = {
    Script.LACKS_FUNDS: NO_FUNDS,
    Script.PENDING_THEN_DONE: LATE,
    Script.PENDING_THEN_FAILED: FAILS_LATE,
}
KINDS = {"payments": Movement.CHARGE, "refunds": Movement.REFUND}


def problem(status: int, code: str) -> PspAnswer:
    """An error as TallyPay words it."""
    return PspAnswer.json(status, {"problem": {"code": code, "text": "TallyPay says no."}})


class TallyPayHarness(Harness):
    """An account at the stand-in."""

    adapter = ADAPTER
    signature = Signature(setting="WebhookSecret")
    patience = 1.0

    def __init__(self) -> None:
        self.form = {"Token": TOKEN, "WebhookSecret": SECRET}
        self.wrong_form = {**self.form, "Token": "tally_test_wrong"}
        self.psp = TallyPay(TOKEN, lambda sent: self.signed(sent, secret=SECRET, at=now()))
        self.transport = httpx.MockTransport(self.psp.handle)

    def currencies(self, role: Role) -> Sequence[str]:
        return ("EUR", "JPY", "BHD")

    def bearer(self, role: Role) -> dict[str, str] | None:
        return {"Holder": "Mia Kern", "IBAN": "DE89370400440532013000"}

    async def scripted(self, call: C, script: Script) -> C | None:
        if script not in ENDINGS or not isinstance(call, Charge | Refund):
            return None
        return _ending_in(ENDINGS[script], call)

    def answer(self, said: ErrorCase) -> PspAnswer | None:
        return {
            ErrorCase.THROTTLED: problem(429, "slow_down"),
            ErrorCase.UNAUTHORIZED: problem(401, "bad_token"),
            ErrorCase.FAILED: problem(500, "broken"),
            ErrorCase.UNHEARD_OF: problem(422, "brand_new"),
        }[said]

    def refusals(self) -> Sequence[Refusal]:
        rows: list[tuple[Operation, str, Code]] = [
            (Operation.AUTHORIZE, "bad_iban", Code.InvalidIBAN),
            (Operation.CHARGE, "no_funds", Code.InsufficientBalance),
            (Operation.CHARGE, "no_mandate", Code.BearerInvalid),
            (Operation.CHARGE, "refused", Code.Rejected),
            (Operation.REFUND, "too_much", Code.InvalidAmount),
        ]
        return [
            Refusal(code, operation, problem(422, code), meaning, role=Role.Debit)
            for operation, code, meaning in rows
        ]

    async def booked(self, reference: str) -> Sequence[Booking] | None:
        self.psp.settle()
        return [_booking(made) for made in self.psp.books if made["reference"] == reference]

    async def deliveries(self) -> Sequence[Delivery] | None:
        self.psp.settle()
        return tuple(self.psp.deliveries)

    def signed(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        seconds = int(at.timestamp())
        message = f"{seconds}.".encode() + delivery.body
        digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return Delivery({"TallyPay-Signature": f"t={seconds},v1={digest}"}, delivery.body)

    def unknown_event(self) -> Delivery | None:
        event = {"event": "ev_new", "kind": "comet", "id": "com_1"}
        return Delivery({}, json.dumps(event).encode())


def now() -> datetime:
    """The stand-in's clock."""
    return datetime.now(UTC)


def _ending_in(digits: int, call: C) -> C:
    ending = Decimal(digits).scaleb(-exponent(call.currency))
    return call.model_copy(update={"amount": int(call.amount) - 1 + ending})


def _booking(made: dict[str, Any]) -> Booking:
    currency = made.get("currency", "EUR")
    return Booking(KINDS[made["kind"]], to_major(made["amount"], currency), currency)


@asynccontextmanager
async def harness(live: Mapping[str, str] | None) -> AsyncIterator[Harness]:
    """Opened by the kit, which finds it by its entry point."""
    if live is not None:
        raise Unavailable("TallyPay is imaginary: it has no sandbox of its own.")
    yield TallyPayHarness()
