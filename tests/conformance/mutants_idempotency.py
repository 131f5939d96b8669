"""Exhibits: the same request is taken for another one, or another one for the same."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from integrator.psp.errors import OutcomeUnknown
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.types import Outcome, Refund
from tests.conformance.mutants_base import Exhibit, digest, shows

W = TypeVar("W", bound=BaseModel)
Body = Mapping[str, Any]


class Keyed(SandboxClient):
    """A client that remakes the idempotency key of some calls."""

    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        """The key that is sent instead."""
        raise NotImplementedError

    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        return await super().post(model, *path, body=body, key=self.remade(path, body, key))


class _AnyKey(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex


class _KeylessRefunds(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex if path == ("refunds",) else key


class _KeylessPages(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex if path == ("checkout_sessions",) else key


class _KeylessCaptures(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex if path[-1] == "capture" else key


class _HashedBody(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return digest(path, sorted((name, repr(value)) for name, value in body.items()))


class _KeyOfThePayment(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return str(body["charge"]) if path == ("refunds",) else key


class _KeyOfThePurchase(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        if path != ("charges",):
            return key
        return digest(body["amount"], body["currency"], body["payment_method"])


@shows("idempotency.a_repetition_is_recognised[charge-CreditCard]", lesson=26)
class RandomKey(Exhibit):
    """Every attempt has a new idempotency key."""

    client = _AnyKey


@shows("outages.a_broken_call_moves_money_once[refund-CreditCard-reset-after]", lesson=9)
class RefundWithoutKey(Exhibit):
    """Refunds are sent without the call's key."""

    client = _KeylessRefunds


@shows("idempotency.a_repetition_is_recognised[checkout-CreditCard]", lesson=12)
class NewPageEveryTime(Exhibit):
    """A repeated sign-up opens a second checkout for the same purchase."""

    client = _KeylessPages


@shows("idempotency.a_repetition_is_recognised[capture-CreditCard]", lesson=25)
class CaptureWithoutKey(Exhibit):
    """A repeated capture is a second capture."""

    client = _KeylessCaptures


@shows("idempotency.other_texts_do_not_change_the_key[charge-CreditCard]", lesson=13)
class HashedBody(Exhibit):
    """The key is a hash of the body, which differs from try to try."""

    client = _HashedBody


@shows("refunds.two_parts_are_refunded[CreditCard]", lesson=33)
class OneKeyForAllRefunds(Exhibit):
    """All refunds of a payment share one key."""

    client = _KeyOfThePayment


@shows("idempotency.another_transaction_is_another_payment[CreditCard]")
class EqualPaymentsAreOne(Exhibit):
    """The key is made of amount and card, so that equal payments count as one."""

    client = _KeyOfThePurchase


class _Forgetful(Keyed):
    def remade(self, path: tuple[str, ...], body: Body, key: str) -> str:
        keys: dict[str, str] = self.__dict__.setdefault("keys", {})
        return keys.setdefault(key, uuid4().hex)


@shows("outages.a_broken_call_moves_money_once[charge-CreditCard-reset-after]", lesson=38)
class KeyInMemory(Exhibit):
    """The key sent is kept in memory: another worker makes a new one for the same call."""

    client = _Forgetful


class _Persistent(SandboxConnection):
    async def refund(self, call: Refund) -> Outcome:
        for attempt in range(2):
            key = f"{call.idempotency_key}/{attempt}"
            try:
                return await super().refund(call.model_copy(update={"idempotency_key": key}))
            except OutcomeUnknown:
                continue
        return await super().refund(call)


@shows("outages.a_broken_call_moves_money_once[refund-CreditCard-timeout-after]", lesson=14)
class RetriesByItself(Exhibit):
    """A refund that timed out is made again inside the adapter, as a new one."""

    connection = _Persistent
