"""Mutants: the wrong amount, or a movement that was not requested."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel

from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.wire import Authorization
from integrator.psp.sandbox.wire import Refund as WireRefund
from integrator.psp.toolkit.money import to_minor
from integrator.psp.types import Approved, Charge, Declined, Lookup, Outcome, Void
from tests.conformance.mutants_base import Mutant, register_mutant

W = TypeVar("W", bound=BaseModel)
Body = Mapping[str, Any]


class AmountChangingClient(SandboxClient):
    """A client that changes the amounts of its requests."""

    def changed_amount(self, amount: int, currency: str) -> int:
        """Return the amount that is sent instead, in minor units."""
        raise NotImplementedError

    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        if path == ("charges",):
            amount = self.changed_amount(body["amount"], body["currency"])
            body = {**body, "amount": amount}
        return await super().post(model, *path, body=body, key=key)


class _FloatClient(AmountChangingClient):
    def changed_amount(self, amount: int, currency: str) -> int:
        return int(float(Decimal(amount) / 100) * 100) if currency == "EUR" else amount


@register_mutant("amounts.cents_are_exact[CreditCard-EUR-4.35]")
class FloatAmounts(Mutant):
    """Amounts are converted to binary fractions: 4.35 becomes 4.34."""

    client = _FloatClient


class _YenCentsClient(AmountChangingClient):
    def changed_amount(self, amount: int, currency: str) -> int:
        return amount * 100 if currency == "JPY" else amount


@register_mutant("payments.a_payment_is_charged[CreditCard-JPY]")
class YenHaveCents(Mutant):
    """Every currency has two decimals: a hundred times the yen are charged."""

    client = _YenCentsClient


class _DinarCentsClient(AmountChangingClient):
    def changed_amount(self, amount: int, currency: str) -> int:
        return amount // 10 if currency == "BHD" else amount


@register_mutant("payments.a_payment_is_charged[CreditCard-BHD]")
class DinarsHaveCents(Mutant):
    """Every currency has two decimals: a tenth of the dinars is charged."""

    client = _DinarCentsClient


class _RoundingConnection(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        rounded = round(call.amount, 2 if call.currency == "EUR" else 0)
        return await super().charge(call.model_copy(update={"amount": rounded}))


@register_mutant("amounts.too_many_decimals_are_refused[CreditCard-EUR]")
class RoundsAmounts(Mutant):
    """An amount that the currency does not have is rounded and charged."""

    connection = _RoundingConnection


class _FullCaptureClient(SandboxClient):
    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        if path[-1] == "capture":
            authorization = await self.get(Authorization, "authorizations", path[1])
            body = {**body, "amount": authorization.amount if authorization else body["amount"]}
        return await super().post(model, *path, body=body, key=key)


@register_mutant("reservations.a_partial_capture_succeeds[CreditCard-EUR]")
class CapturesEverything(Mutant):
    """A capture takes the reserved amount, not the requested one."""

    client = _FullCaptureClient


class _ChangedFactIdConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        fetched = await super().fetch_payment(lookup)
        if not isinstance(fetched, Approved):
            return fetched
        changed_facts = tuple(
            fact.model_copy(update={"id": f"read_{fact.id}"}) for fact in fetched.facts
        )
        return fetched.model_copy(update={"facts": changed_facts})


@register_mutant("payments.a_payment_is_charged[CreditCard-EUR]", lesson=11)
class CountedTwice(Mutant):
    """A movement has another id in a look-up than in the response, and counts twice."""

    connection = _ChangedFactIdConnection


class _UnsentVoidConnection(SandboxConnection):
    async def void(self, call: Void) -> Outcome:
        if call.authorization_id.startswith("cs_"):
            return Approved(psp_id=call.authorization_id)
        return await super().void(call)


@register_mutant("signups.an_open_page_can_be_voided[CreditCard]", lesson=24)
class PageStaysOpen(Mutant):
    """A cancelled checkout stays open at the PSP: the customer can pay again there."""

    connection = _UnsentVoidConnection


class _RefundingVoidConnection(SandboxConnection):
    async def void(self, call: Void) -> Outcome:
        outcome = await super().void(call)
        charge_id = await self._capture_of(call.authorization_id)
        if not isinstance(outcome, Declined) or charge_id is None:
            return outcome
        amount = to_minor(call.amount, call.currency)
        body = {"reference": call.reference, "charge": charge_id, "amount": amount}
        await self._client.post(WireRefund, "refunds", body=body, key=f"{call.idempotency_key}/r")
        return Approved(psp_id=call.authorization_id)

    async def _capture_of(self, authorization_id: str) -> str | None:
        until = datetime.now(UTC) + timedelta(minutes=1)
        page = await self.list_movements(until - timedelta(minutes=2), until, "charges")
        parents = {m.parent_psp_id: m.psp_id for m in page.movements}
        return parents.get(authorization_id)


@register_mutant("reservations.a_void_after_capture_is_declined[CreditCard]", lesson=23)
class VoidRefunds(Mutant):
    """A void after the capture refunds the capture, although the order is valid."""

    connection = _RefundingVoidConnection
