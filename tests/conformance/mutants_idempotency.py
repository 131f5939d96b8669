"""Mutants: the same request is taken for another one, or another one for the same."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import uuid4

from pydantic import BaseModel

from integrator.psp.errors import OutcomeUnknown
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.types import Outcome, Refund
from tests.conformance.mutants_base import (
    ChainAdapter,
    ChainClient,
    Mutant,
    StoredFailure,
    digest,
    register_mutant,
)

W = TypeVar("W", bound=BaseModel)
Body = Mapping[str, Any]


class KeyChangingClient(SandboxClient):
    """A client that changes the idempotency key of some calls."""

    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        """Return the key that is sent instead."""
        raise NotImplementedError

    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        return await super().post(model, *path, body=body, key=self.changed_key(path, body, key))


class _RandomKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex


class _RandomRefundKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex if path == ("refunds",) else key


class _RandomPageKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex if path == ("checkout_sessions",) else key


class _RandomCaptureKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return uuid4().hex if path[-1] == "capture" else key


class _BodyHashClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return digest(path, sorted((name, repr(value)) for name, value in body.items()))


class _PaymentKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        return str(body["charge"]) if path == ("refunds",) else key


class _PurchaseKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        if path != ("charges",):
            return key
        return digest(body["amount"], body["currency"], body["payment_method"])


@register_mutant("idempotency.a_repeated_call_is_booked_once[charge-CreditCard]", lesson=26)
class RandomKey(Mutant):
    """Every attempt has a new idempotency key."""

    client = _RandomKeyClient


@register_mutant(
    "outages.an_interrupted_call_moves_money_once[refund-CreditCard-reset-after]", lesson=9
)
class RefundWithoutKey(Mutant):
    """Refunds are sent without the call's key."""

    client = _RandomRefundKeyClient


@register_mutant("idempotency.a_repeated_call_is_booked_once[checkout-CreditCard]", lesson=12)
class NewPageEveryTime(Mutant):
    """A repeated sign-up opens a second checkout for the same purchase."""

    client = _RandomPageKeyClient


@register_mutant("idempotency.a_repeated_call_is_booked_once[capture-CreditCard]", lesson=25)
class CaptureWithoutKey(Mutant):
    """A repeated capture is a second capture."""

    client = _RandomCaptureKeyClient


@register_mutant("idempotency.the_key_does_not_depend_on_the_text[charge-CreditCard]", lesson=13)
class HashedBody(Mutant):
    """The key is a hash of the body, which differs between attempts."""

    client = _BodyHashClient


@register_mutant("refunds.two_partial_refunds_are_separate[CreditCard]", lesson=33)
class OneKeyForAllRefunds(Mutant):
    """All refunds of a payment share one key."""

    client = _PaymentKeyClient


@register_mutant("idempotency.transactions_do_not_share_keys[CreditCard]")
class EqualPaymentsAreOne(Mutant):
    """The key is derived from amount and card, so that equal payments count as one."""

    client = _PurchaseKeyClient


class _InMemoryKeyClient(KeyChangingClient):
    def changed_key(self, path: tuple[str, ...], body: Body, key: str) -> str:
        keys: dict[str, str] = self.__dict__.setdefault("keys", {})
        return keys.setdefault(key, uuid4().hex)


@register_mutant(
    "outages.an_interrupted_call_moves_money_once[charge-CreditCard-reset-after]", lesson=38
)
class KeyInMemory(Mutant):
    """The sent key is kept in memory: another worker creates a new one for the same call."""

    client = _InMemoryKeyClient


class _FreshKeyClient(ChainClient):
    def next_key(self, key: str, number: int) -> str:
        return f"{key}/{uuid4().hex}"


@register_mutant("idempotency.a_stored_failure_leads_to_one_object[checkout-CreditCard]")
class KeyPerAttemptOnCreate(Mutant):
    """After a stored failure every attempt creates an object of its own, with a key of its own."""

    client = _FreshKeyClient
    baseline = ChainAdapter


class _ChargeChainClient(ChainClient):
    async def post(self, model: type[W], *path: str, body: Body, key: str) -> W:
        try:
            return await super().post(model, *path, body=body, key=key)
        except StoredFailure:
            return await super().post(model, *path, body=body, key=f"{key}/{uuid4().hex}")


@register_mutant("idempotency.a_stored_failure_leads_to_one_object[charge-CreditCard]")
class KeyPerAttemptOnCharge(Mutant):
    """After a stored failure a charge is sent with another key, by every attempt."""

    client = _ChargeChainClient
    baseline = ChainAdapter


class _RetryingConnection(SandboxConnection):
    async def refund(self, call: Refund) -> Outcome:
        for attempt in range(2):
            key = f"{call.idempotency_key}/{attempt}"
            try:
                return await super().refund(call.model_copy(update={"idempotency_key": key}))
            except OutcomeUnknown:
                continue
        return await super().refund(call)


@register_mutant(
    "outages.an_interrupted_call_moves_money_once[refund-CreditCard-timeout-after]", lesson=14
)
class RetriesInsideAdapter(Mutant):
    """A refund that timed out is repeated inside the adapter, as a new one."""

    connection = _RetryingConnection
