"""A fake PSP adapter and a fake transaction client that simulates the workflows."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr, TypeAdapter
from temporalio.service import RPCError, RPCStatusCode

from integrator.contract import (
    PaymentCancellationStatus,
    PaymentErrorCode,
    PublicPaymentProviderRole,
)
from integrator.psp.errors import BearerRefused, NotificationRejected
from integrator.psp.port import Connection
from integrator.psp.types import (
    Approved,
    Capabilities,
    Fact,
    FactKind,
    IdempotencySemantics,
    MethodCapability,
    NotificationEvent,
    Outcome,
    SettingsCheck,
)
from integrator.store import RecordUpdate, Store
from workflows.messages import AnyInput, CancelReply, NotificationSignal, PreauthInput, kind_of
from workflows.state import (
    AnyState,
    Evidence,
    EvidenceKind,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)

Role = PublicPaymentProviderRole
Key = tuple[str, TransactionKind, str]
NOTICES = TypeAdapter(list[NotificationEvent])


class FakeSettings(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)

    key: SecretStr = Field(alias="Key", title="Key", json_schema_extra={"placeHolder": "k_..."})
    secret: SecretStr = Field(alias="Secret", title="Secret")
    mode: str = Field("test", alias="Mode", title="Mode")


class FakeConnection:
    """Verifies settings; any other call fails the test."""

    def __init__(self, adapter: "FakeAdapter") -> None:
        self._adapter = adapter

    async def verify_settings(self) -> SettingsCheck:
        self._adapter.calls.append("verify_settings")
        result = self._adapter.verification
        if isinstance(result, Exception):
            raise result
        return result

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"the PSP was called: {name}")


class FakeAdapter:
    name = "fake"
    settings_model: type[BaseModel] = FakeSettings

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.verification: SettingsCheck | Exception = SettingsCheck(
            roles=frozenset({Role.CreditCard, Role.Debit})
        )
        self.capabilities = Capabilities(
            methods={
                Role.CreditCard: MethodCapability(capture=True, cancel=True, redirect=True),
                Role.Debit: MethodCapability(initial_bearer=True),
            },
            refunds=True,
            idempotency=IdempotencySemantics(window_seconds=3600, consistent_lookup=True),
        )

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        if role is Role.Debit and not (bearer or {}).get("IBAN"):
            message = "A debit needs an IBAN."
            raise BearerRefused(message, code=PaymentErrorCode.BearerInvalid)

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        assert isinstance(settings, FakeSettings)
        return FakeConnection(self)

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        assert isinstance(settings, FakeSettings)
        if headers.get("x-signature") != settings.secret.get_secret_value():
            raise NotificationRejected("The signature is wrong")
        return self.read_event(body)

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        return NOTICES.validate_python(json.loads(raw)["events"])


def approve(start: AnyInput) -> Outcome:
    """Return the outcome of a PSP that executes everything at once."""
    kinds = {
        TransactionKind.PREAUTH: FactKind.AUTHORIZED,
        TransactionKind.PAYMENT: FactKind.PAID,
        TransactionKind.REFUND: FactKind.REFUNDED,
    }
    id = f"psp_{start.transaction_id[-4:]}"
    fact = Fact(kind=kinds[kind_of(start)], id=id, amount=start.requested_amount)
    return Approved(psp_id=id, facts=(fact,) if start.requested_amount else ())


def initial_state(start: AnyInput) -> AnyState:
    """Return the first state of a workflow."""
    if start.resume is not None:
        return start.resume.model_copy(deep=True)
    common: dict[str, Any] = {
        "transaction_id": start.transaction_id,
        "external_id": start.external_id,
        "role": start.role,
        "currency": start.currency,
        "requested_amount": start.requested_amount,
        "last_updated": datetime.now(UTC),
    }
    if isinstance(start, PreauthInput):
        return PreauthState(**common)
    if kind_of(start) is TransactionKind.PAYMENT:
        return PaymentState(**common, due_date=getattr(start, "execute_on", None))
    return RefundState(**common, payment_id=getattr(start, "payment_id", ""))


def rpc_error(status: RPCStatusCode = RPCStatusCode.UNAVAILABLE) -> RPCError:
    return RPCError("no", status, b"")


class FakeTransactionClient:
    """Has the methods of `TransactionClient`; `psp` returns the PSP's outcome of a new transaction.

    `before` holds hooks by method name, in which a test blocks or raises.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.calls: list[str] = []
        self.starts: list[AnyInput] = []
        self.signals: list[NotificationSignal] = []
        self.looked_up: list[str] = []
        self.states: dict[Key, AnyState] = {}
        self.psp: Callable[[AnyInput], Outcome | None] = approve
        self.before: dict[str, Callable[[], Awaitable[None]]] = {}
        self.cancel_reply = CancelReply(status=PaymentCancellationStatus.Succeeded)

    async def create(self, start: AnyInput) -> AnyState:
        await self._record_call("create", start)
        key = (start.merchant_id, kind_of(start), start.transaction_id)
        state = self.states.setdefault(key, initial_state(start))
        outcome = self.psp(start)
        if outcome is not None and not state.answered:
            at = datetime.now(UTC)
            state.apply(outcome, Evidence(kind=EvidenceKind.ANSWER, source="psp", at=at))
            await self.record(start.merchant_id, state)
        return state.model_copy(deep=True)

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState:
        await self._record_call("state")
        return self._get_state((merchant_id, kind, transaction_id)).model_copy(deep=True)

    async def caller_detached(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> None:
        await self._record_call("caller_detached")
        self._get_state((merchant_id, kind, transaction_id)).mark_pending(datetime.now(UTC))

    async def finalize(self, start: PreauthInput) -> PreauthState:
        await self._record_call("finalize", start)
        state = await self.create(start)
        assert isinstance(state, PreauthState)
        return state

    async def cancel(self, start: PreauthInput) -> CancelReply:
        await self._record_call("cancel", start)
        return self.cancel_reply

    async def notify(self, start: AnyInput, notification: NotificationSignal) -> None:
        await self._record_call("notify", start)
        self.signals.append(notification)

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None:
        await self._record_call("look_up", start)
        self.looked_up.append(start.transaction_id)

    async def record(self, merchant_id: str, state: AnyState) -> None:
        """Record the state like the workflow."""
        await self._store.transactions.record(
            RecordUpdate(
                merchant_id=merchant_id,
                transaction_id=state.transaction_id,
                status=state.status.name,
                version=state.version,
                snapshot=state.model_dump_json(),
                evidence=state.evidence.model_dump_json() if state.evidence else None,
                psp_transaction_id=state.psp_transaction_id,
                psp_session_id=state.psp_session_id,
                activate_agreement=state.kind is TransactionKind.PREAUTH
                and state.status.name == "Succeeded",
            )
        )

    def _get_state(self, key: Key) -> AnyState:
        if key not in self.states:
            raise rpc_error(RPCStatusCode.NOT_FOUND)
        return self.states[key]

    async def _record_call(self, name: str, start: AnyInput | None = None) -> None:
        self.calls.append(name)
        if start is not None:
            self.starts.append(start)
        if name in self.before:
            await self.before[name]()
