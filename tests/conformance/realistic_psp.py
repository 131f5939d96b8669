"""A PSP that has what real PSPs have and the sandbox PSP has not, with a correct adapter of it.

It is the sandbox PSP: the harness adds to its responses, the adapter reads what was added. Mutants
of these abilities have `RealisticAdapter` as their baseline.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import (
    Distort,
    Distortion,
    Refusal,
    StubResponse,
    TextRefusal,
)
from integrator.psp.errors import PspError
from integrator.psp.sandbox import mapping, wire
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.http import PspResponse
from integrator.psp.toolkit.instruments import METHOD
from integrator.psp.toolkit.lookup import ObjectKind
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.outcomes import failed_outcome
from integrator.psp.toolkit.wire import WireModel
from integrator.psp.types import (
    Approved,
    Authorize,
    Charge,
    Declined,
    Fact,
    FactKind,
    Instrument,
    Lookup,
    Operation,
    Outcome,
    Pending,
    Succession,
)
from tests.conformance.emulator_harness import toolkit_clock
from tests.conformance.harness_sandbox import is_kind, psp_error
from tests.conformance.json_changes import JsonObject, change_objects, set_members
from tests.conformance.mutants_base import AssembledAdapter, BatchHarness, Mutant

UNCERTAIN_CURRENCY = "ISK"
TEXT_REFUSED = "description_refused"
CONTINUED = "payment_method_continued"
_CODELESS = {"error": {"type": "card_error", "message": "Your card does not support this."}}


class BalanceMovement(WireModel):
    """Movement on the merchant's balance; negative if money is withdrawn."""

    id: str
    amount: int


class LedgerChargeback(wire.Chargeback):
    """Chargeback whose `amount` is claimed, and whose movements say what was withdrawn."""

    currency: str | None = None
    charge: str | None = None
    movements: tuple[BalanceMovement, ...] | None = None


class LedgerCharge(wire.Charge):
    """Charge with such chargebacks."""

    chargebacks: tuple[LedgerChargeback, ...] = ()


def chargeback_facts(charge: wire.Charge, item: LedgerChargeback) -> list[Fact]:
    """Return a fact of what was withdrawn, and one of each movement that came back."""
    currency = item.currency or charge.currency
    whose = {"currency": currency, "parent_psp_id": item.charge or charge.id}
    amount = partial(to_major, currency=currency)
    withdrawn = sum(-one.amount for one in item.movements or () if one.amount < 0)
    if item.movements is None:
        withdrawn = item.amount
    if withdrawn == 0:
        return []
    known = mapping.charge_outcome(charge.model_copy(update={"chargebacks": (item,)}))
    assert isinstance(known, Approved)
    changes = {**whose, "amount": amount(withdrawn)}
    chargeback = known.facts[-1].model_copy(update=changes)
    returns = [
        Fact(
            kind=FactKind.CHARGEBACK_REVERSED,
            id=one.id,
            amount=amount(one.amount),
            reverses=item.id,
            **whose,
        )
        for one in item.movements or ()
        if one.amount > 0
    ]
    return [chargeback, *returns]


class RealisticClient(SandboxClient):
    """A correct client that understands refusals without a code."""

    codeless = Code.BearerInvalid

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return a decline by the type of the error, if it has no code."""
        detail = response.try_parse(CodelessBody)
        if response.status != 402 or detail is None or detail.error.code is not None:
            return super().classify_error(response)
        declined = failed_outcome(None, self.codeless, detail.error.type, detail.error.message)
        return RefusedError(declined, status=response.status)


class CodelessError(WireModel):
    """Error whose code may be missing."""

    type: str
    code: str | None = None
    message: str | None = None


class CodelessBody(WireModel):
    """Body of such an error."""

    error: CodelessError


class RealisticConnection(SandboxConnection):
    """A correct connection that reads movements, and follows what the PSP refuses."""

    read_chargeback: Callable[[wire.Charge, LedgerChargeback], list[Fact]] = staticmethod(
        chargeback_facts
    )

    async def authorize(self, call: Authorize) -> Outcome:
        """Refuse a currency whose unit is not certain."""
        return self.refuse_currency(call) or await super().authorize(call)

    async def charge(self, call: Charge) -> Outcome:
        """Leave out a refused text, and follow a payment method to its successor."""
        call = self.choose_date(call)
        outcome = self.refuse_currency(call) or await super().charge(call)
        if not isinstance(outcome, Declined):
            return outcome
        if outcome.psp_code == TEXT_REFUSED:
            return await self.charge_without_text(call, outcome)
        if outcome.psp_code == CONTINUED and outcome.psp_id is not None:
            return await self.charge_successor(call, outcome.psp_id)
        return outcome

    def choose_date(self, call: Charge) -> Charge:
        """Return the charge without a date that has passed."""
        has_passed = call.execute_on is not None and call.execute_on < time_formats.now().date()
        return call.model_copy(update={"execute_on": None}) if has_passed else call

    def refuse_currency(self, call: Authorize | Charge) -> Declined | None:
        """Return the decline of a currency whose unit is not certain."""
        if call.currency != UNCERTAIN_CURRENCY:
            return None
        message = f"The PSP's unit of {call.currency} is not certain."
        return Declined(code=Code.InvalidCurrency, message=message)

    async def charge_without_text(self, call: Charge, _: Declined) -> Outcome:
        """Send the charge again without its text, which is another request with another key."""
        key = f"{call.idempotency_key}/without_text"
        return await super().charge(call.model_copy(update={"text": None, "idempotency_key": key}))

    async def charge_successor(self, call: Charge, new_id: str) -> Outcome:
        """Send the charge again with the successor of its payment method."""
        former_id, key = call.instrument.token[METHOD], f"{call.idempotency_key}/successor"
        instrument = Instrument(token={METHOD: new_id}, bearer={})
        outcome = await super().charge(
            call.model_copy(update={"instrument": instrument, "idempotency_key": key})
        )
        succession = Succession(former_id=former_id, new_id=new_id)
        return outcome.model_copy(update={"succession": succession})

    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        """Return the payment with the movements of its chargebacks."""
        kind = ObjectKind(LedgerCharge, "charges", "ch_", self._ledger_outcome)
        return await self._fetch(lookup, kind)

    def _ledger_outcome(self, charge: LedgerCharge) -> Outcome:
        paid = mapping.charge_outcome(charge.model_copy(update={"chargebacks": ()}))
        if not isinstance(paid, Approved | Pending):
            return paid
        facts = [fact for item in charge.chargebacks for fact in self.read_chargeback(charge, item)]
        return paid.model_copy(update={"facts": (*paid.facts, *facts)})


class RealisticAdapter(AssembledAdapter):
    """A correct adapter of that PSP."""

    client = RealisticClient
    connection = RealisticConnection


class RealisticMutant(Mutant):
    """Base of the mutants of that adapter."""

    client = RealisticClient
    connection = RealisticConnection
    baseline = RealisticAdapter


class RealisticHarness(BatchHarness):
    """A harness of that PSP."""

    def distortions(self) -> Mapping[Distortion, Distort]:
        """Return those of the sandbox PSP, and those of the added members."""
        is_chargeback = is_kind("cb_")
        return {
            **super().distortions(),
            Distortion.CHARGEBACK_CURRENCY: set_members(is_chargeback, currency="USD"),
            Distortion.CHARGEBACK_PARENT: set_members(is_chargeback, charge="ch_another"),
            Distortion.CHARGEBACK_SIGN: _add_movements(lambda amount: [amount]),
            Distortion.CHARGEBACK_CLAIM: _add_movements(lambda amount: [-amount], claimed=100),
            Distortion.CHARGEBACK_RETURNED: _add_movements(lambda amount: [-amount, amount]),
            Distortion.CHARGEBACK_PART_RETURNED: _add_movements(lambda amount: [-amount, 100]),
        }

    def stored_failure(self) -> StubResponse | None:
        """Return a failure that is stored under a key, as Stripe's are."""
        error = {"type": "api_error", "code": "internal_error", "message": "Failed."}
        return StubResponse.json(500, {"error": error}, Idempotent_Replayed="true")

    def codeless_refusals(self) -> Sequence[Refusal]:
        """Return a refusal of a card without a code."""
        response = StubResponse.json(402, _CODELESS)
        return [Refusal("card_error", Operation.CHARGE, response, Code.BearerInvalid)]

    def text_refusals(self) -> Sequence[TextRefusal]:
        """Return a refusal of a charge's text."""
        response = psp_error(400, "invalid_request", TEXT_REFUSED)
        return [TextRefusal("characters", Operation.CHARGE, response, "description")]

    def refused_currencies(self, role: Role) -> Sequence[str]:
        """Return the currency whose unit is not certain."""
        return (UNCERTAIN_CURRENCY,)

    def days_later(self, days: int) -> AbstractContextManager[None] | None:
        """Move the toolkit's clock, by which the adapter chooses dates."""
        return toolkit_clock(days)

    def succession_response(self, successor: Instrument) -> StubResponse | None:
        """Return a refusal that names the successor as its object."""
        error = {"type": "invalid_request", "code": CONTINUED, "message": "Use the new one."}
        body: dict[str, Any] = {"error": error, "object": {"id": successor.token[METHOD]}}
        return StubResponse.json(400, body)


def _add_movements(amounts: Callable[[int], list[int]], claimed: int = 0) -> Distort:
    """Return the distortion that adds movements to a chargeback, and `claimed` to its amount."""

    def change(item: JsonObject) -> None:
        if not is_kind("cb_")(item):
            return
        item["movements"] = [
            {"id": f"{item['id']}/{number}", "amount": amount}
            for number, amount in enumerate(amounts(item["amount"]), start=1)
        ]
        item["amount"] += claimed

    return change_objects(change)
