"""Exhibits: the wrong amount, or money where none was asked for."""

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
from tests.conformance.mutants_base import Exhibit, shows

W = TypeVar("W", bound=BaseModel)
Body = Mapping[str, Any]


class Amounts(SandboxClient):
    """A client that remakes the amounts of its requests."""

    def remade(self, amount: int, currency: str) -> int:
        """The amount that is sent instead, in minor units."""
        raise NotImplementedError

    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        if path == ("charges",):
            amount = self.remade(body["amount"], body["currency"])
            body = {**body, "amount": amount}
        return await super().post(model, *path, body=body, key=key)


class _Floats(Amounts):
    def remade(self, amount: int, currency: str) -> int:
        return int(float(Decimal(amount) / 100) * 100) if currency == "EUR" else amount


@shows("amounts.cents_are_exact[CreditCard-EUR-4.35]")
class FloatAmounts(Exhibit):
    """Amounts are binary fractions on their way: 4.35 becomes 4.34."""

    client = _Floats


class _Hundredths(Amounts):
    def remade(self, amount: int, currency: str) -> int:
        return amount * 100 if currency == "JPY" else amount


@shows("payments.a_payment_is_taken[CreditCard-JPY]")
class YenHaveCents(Exhibit):
    """Every currency has two decimals: a hundred times the yen are taken."""

    client = _Hundredths


class _Thousandths(Amounts):
    def remade(self, amount: int, currency: str) -> int:
        return amount // 10 if currency == "BHD" else amount


@shows("payments.a_payment_is_taken[CreditCard-BHD]")
class DinarsHaveCents(Exhibit):
    """Every currency has two decimals: a tenth of the dinars is taken."""

    client = _Thousandths


class _Rounding(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        rounded = round(call.amount, 2 if call.currency == "EUR" else 0)
        return await super().charge(call.model_copy(update={"amount": rounded}))


@shows("amounts.too_many_decimals_are_refused[CreditCard-EUR]")
class RoundsAmounts(Exhibit):
    """An amount that the currency does not have is rounded and charged."""

    connection = _Rounding


class _WholeCaptures(SandboxClient):
    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        if path[-1] == "capture":
            held = await self.get(Authorization, "authorizations", path[1])
            body = {**body, "amount": held.amount if held else body["amount"]}
        return await super().post(model, *path, body=body, key=key)


@shows("reservations.a_part_is_captured[CreditCard-EUR]")
class CapturesEverything(Exhibit):
    """A capture takes what is held, not what was asked for."""

    client = _WholeCaptures


class _Counting(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        found = await super().fetch_payment(lookup)
        if not isinstance(found, Approved):
            return found
        again = tuple(fact.model_copy(update={"id": f"read_{fact.id}"}) for fact in found.facts)
        return found.model_copy(update={"facts": again})


@shows("payments.a_payment_is_taken[CreditCard-EUR]", lesson=11)
class CountedTwice(Exhibit):
    """A movement has another id when it is read than when it is made, and counts twice."""

    connection = _Counting


class _Negligent(SandboxConnection):
    async def void(self, call: Void) -> Outcome:
        if call.authorization_id.startswith("cs_"):
            return Approved(psp_id=call.authorization_id)
        return await super().void(call)


@shows("signups.an_open_page_is_closed[CreditCard]", lesson=24)
class PageStaysOpen(Exhibit):
    """A cancelled checkout stays open at the PSP: the customer can pay again there."""

    connection = _Negligent


class _Overzealous(SandboxConnection):
    async def void(self, call: Void) -> Outcome:
        outcome = await super().void(call)
        taken = await self._capture_of(call.authorization_id)
        if not isinstance(outcome, Declined) or taken is None:
            return outcome
        amount = to_minor(call.amount, call.currency)
        body = {"reference": call.reference, "charge": taken, "amount": amount}
        await self._client.post(WireRefund, "refunds", body=body, key=f"{call.idempotency_key}/r")
        return Approved(psp_id=call.authorization_id)

    async def _capture_of(self, authorization_id: str) -> str | None:
        until = datetime.now(UTC) + timedelta(minutes=1)
        page = await self.list_movements(until - timedelta(minutes=2), until, "charges")
        parents = {m.parent_psp_id: m.psp_id for m in page.movements}
        return parents.get(authorization_id)


@shows("reservations.a_captured_reservation_is_kept[CreditCard]", lesson=23)
class VoidRefunds(Exhibit):
    """A void that comes too late refunds the capture, a good order with it."""

    connection = _Overzealous
