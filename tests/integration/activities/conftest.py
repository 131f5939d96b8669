"""Fixtures: a real store, a scripted PSP and a fake transaction client."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel, Field, SecretStr
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.external_captures import ExternalCaptures
from activities.psp import PspActivities
from activities.reservations import Reservations
from integrator.contract import PaymentRequest, PreauthRequest, RefundRequest, json_codec
from integrator.contract.base import MoneyRequest
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.crypto.keys import KeyRing
from integrator.psp import registry
from integrator.psp.errors import PspError
from integrator.psp.port import Connection
from integrator.psp.types import (
    Absent,
    Capabilities,
    Capture,
    Charge,
    EventPage,
    IdempotencySemantics,
    ListedEvent,
    Lookup,
    LookupAnswer,
    Movement,
    MovementPage,
    NotificationEvent,
    Outcome,
    SettingsCheck,
)
from integrator.psp.types import Authorize as AuthorizeCall
from integrator.psp.types import Refund as RefundCall
from integrator.psp.types import Void as VoidCall
from integrator.store import (
    Merchant,
    NewAgreement,
    NewTransaction,
    RecordUpdate,
    Store,
    TransactionRow,
)
from integrator.store.migrate import upgrade
from integrator.store.repository import Repository
from integrator.transactions.transaction_client import TransactionClient
from tests.support.paths import ROOT
from workflows.messages import (
    AnyInput,
    NotificationSignal,
    PaymentInput,
    PreauthInput,
    PspCall,
    ReservationResult,
    ReserveReply,
    ReserveRequest,
)
from workflows.state import AnyState, ExternalMovement, PaymentState, PreauthState, RefundState

EXAMPLES = ROOT / "tests/unit/integrator/contract/examples"
NOW = datetime(2026, 1, 15, 9, tzinfo=UTC)
API_KEY = "sk_very_secret"
PREAUTH = "20260115-65a7f1c2c2d3e4f506172a02"
CAPTURE = "20260115-65a7f2d3c2d3e4f506172c01"
CHARGE = "20260215-65ce8a11c2d3e4f506172c02"
REFUND = "20260220-65d4f7b2c2d3e4f506172d01"
PRIVATE = {"token": {"payment_method": "pm_secret"}, "bearer": {"Last4": "1111"}}


class FakeSettings(BaseModel):
    api_key: SecretStr = Field(alias="ApiKey")


@dataclass
class FakePsp:
    """Scripted adapter and connection in one; answers are popped, the last one stays."""

    name: str = "fake"
    consistent: bool = True
    readable: bool = True
    window: timedelta = timedelta(hours=1)
    answers: list[Outcome | Absent | Exception | None] = field(default_factory=list)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    parsed_events: list[NotificationEvent] | Exception = field(default_factory=list)
    roles: frozenset[Role] | Exception = frozenset({Role.CreditCard})
    settings_model: type[BaseModel] = FakeSettings
    connected_with: BaseModel | None = None
    events: list[tuple[bytes, NotificationEvent]] = field(default_factory=list)
    movements: list[Movement] = field(default_factory=list)
    outage: PspError | None = None
    page_size: int = 2
    during_charge: Callable[[], Awaitable[object]] = lambda: asyncio.sleep(0)

    @property
    def capabilities(self) -> Capabilities:
        semantics = IdempotencySemantics(
            window_seconds=int(self.window.total_seconds()), consistent_lookup=self.consistent
        )
        return Capabilities(
            methods={},
            refunds=True,
            can_read=self.readable,
            idempotency=semantics,
            event_list=True,
            movement_list=True,
        )

    def check_initial_bearer(self, role: Role, bearer: Mapping[str, str] | None) -> None:
        return None

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        self.connected_with = settings
        return self

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        self.calls.append(("parse_notification", (dict(headers), body, now)))
        if isinstance(self.parsed_events, Exception):
            raise self.parsed_events
        return self.parsed_events

    def read_event(self, raw: bytes) -> Sequence[NotificationEvent]:
        self.calls.append(("read_event", raw))
        return [notice for stored_raw, notice in self.events if stored_raw == raw]

    async def list_events(self, cursor: str | None) -> EventPage:
        self.calls.append(("list_events", cursor))
        if self.outage is not None:
            raise self.outage
        begin = int(cursor or 0)
        end = min(begin + self.page_size, len(self.events))
        page = [ListedEvent(raw=raw, notices=(notice,)) for raw, notice in self.events[begin:end]]
        return EventPage(
            events=tuple(page), cursor=str(end) if end else None, more=end < len(self.events)
        )

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        self.calls.append(("list_movements", (since, until)))
        if self.outage is not None:
            raise self.outage
        matching = [movement for movement in self.movements if since <= movement.booked_at < until]
        begin = int(cursor or 0)
        end = begin + self.page_size
        return MovementPage(
            movements=tuple(matching[begin:end]), cursor=str(end) if end < len(matching) else None
        )

    def _pop_answer(self, operation: str, call: Any) -> LookupAnswer:
        self.calls.append((operation, call))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _require_answer(self, operation: str, call: Any) -> Outcome:
        answer = self._pop_answer(operation, call)
        assert answer is not None
        assert not isinstance(answer, Absent)
        return answer

    async def authorize(self, call: AuthorizeCall) -> Outcome:
        return self._require_answer("authorize", call)

    async def void(self, call: VoidCall) -> Outcome:
        return self._require_answer("void", call)

    async def capture(self, call: Capture) -> Outcome:
        return self._require_answer("capture", call)

    async def charge(self, call: Charge) -> Outcome:
        await self.during_charge()
        return self._require_answer("charge", call)

    async def refund(self, call: RefundCall) -> Outcome:
        return self._require_answer("refund", call)

    async def fetch_authorization(self, lookup: Lookup) -> LookupAnswer:
        return self._pop_answer("fetch_authorization", lookup)

    async def fetch_payment(self, lookup: Lookup) -> LookupAnswer:
        return self._pop_answer("fetch_payment", lookup)

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        return self._pop_answer("fetch_refund", lookup)

    async def verify_settings(self) -> SettingsCheck:
        if isinstance(self.roles, Exception):
            raise self.roles
        return SettingsCheck(roles=self.roles)


@dataclass
class FakeTransactionClient(TransactionClient):
    """Fake transaction client; `log` is shared with the PSP's calls to show their order."""

    log: list[tuple[str, Any]] = field(default_factory=list)
    reply: ReserveReply = field(default_factory=lambda: ReserveReply(psp_id="parent_psp_id"))
    failures: list[Exception] = field(default_factory=list)
    lost_close_calls: int = 0
    closed: WorkflowExecutionStatus | None = None
    starts: list[AnyInput] = field(default_factory=list)
    notified: asyncio.Event = field(default_factory=asyncio.Event)

    def _fail(self) -> None:
        if self.failures:
            raise self.failures.pop(0)

    async def reserve(
        self, start: PreauthInput | PaymentInput, request: ReserveRequest
    ) -> ReserveReply:
        self._fail()
        self.starts.append(start)
        self.log.append(("reserve", request))
        return self.reply

    async def close_reservation(
        self, start: PreauthInput | PaymentInput, result: ReservationResult
    ) -> None:
        if self.lost_close_calls:
            self.lost_close_calls -= 1
            raise RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
        self.starts.append(start)
        self.log.append(("close_reservation", result))

    async def ensure_started(self, start: AnyInput, *, replace_failed: bool = False) -> bool:
        self._fail()
        self.log.append(("ensure_started", start))
        return self.closed is None or replace_failed

    async def closed_status(self, start: AnyInput) -> WorkflowExecutionStatus | None:
        return self.closed

    async def redeliver(self, start: AnyInput) -> None:
        self._fail()
        self.log.append(("redeliver", start))

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None:
        self._fail()
        self.starts.append(start)
        self.log.append(("look_up", (start.transaction_id, psp_id)))

    async def record_external_movement(
        self, start: PreauthInput | PaymentInput, movement: ExternalMovement
    ) -> None:
        self._fail()
        self.starts.append(start)
        self.log.append(("record_external_movement", (start.transaction_id, movement)))

    async def notify(self, start: AnyInput, notification: NotificationSignal) -> None:
        self._fail()
        self.starts.append(start)
        self.log.append(("notify", notification))
        self.notified.set()

    def calls_of(self, step: str) -> list[Any]:
        return [entry for name, entry in self.log if name == step]


@pytest.fixture(scope="session")
async def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A migrated database without rows, created once and copied for every test."""
    file = tmp_path_factory.mktemp("store") / "store.db"
    await upgrade(f"sqlite+aiosqlite:///{file}")
    return file.read_bytes()


@pytest.fixture
async def store(tmp_path: Path, empty_database: bytes) -> AsyncIterator[Store]:
    file = tmp_path / "store.db"
    file.write_bytes(empty_database)
    async with Store(f"sqlite+aiosqlite:///{file}", KeyRing({"test": bytes(32)})) as store:
        yield store


@pytest.fixture
async def merchant(store: Store) -> Merchant:
    merchant = await store.merchants.add("demo", "fake")
    await store.merchants.save_settings("demo", {"ApiKey": API_KEY})
    return merchant


@pytest.fixture
def psp(monkeypatch: pytest.MonkeyPatch) -> FakePsp:
    fake = FakePsp()
    monkeypatch.setattr(registry, "get_adapter", lambda name: fake)
    return fake


@pytest.fixture
def transaction_client(psp: FakePsp) -> FakeTransactionClient:
    return FakeTransactionClient(log=psp.calls)


@pytest.fixture
async def activities(
    store: Store, transaction_client: FakeTransactionClient
) -> AsyncIterator[PspActivities]:
    async with httpx.AsyncClient() as http:
        yield psp_activities(store, http, transaction_client)


def psp_activities(
    store: Store, http: httpx.AsyncClient, transaction_client: TransactionClient
) -> PspActivities:
    """Build the activities as the worker does."""
    reservations = Reservations(store, transaction_client)
    return PspActivities(store, http, reservations, ExternalCaptures(store, transaction_client))


def example(name: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((EXAMPLES / f"{name}.json").read_bytes())
    return body


def stored(model: type[MoneyRequest], name: str) -> dict[str, Any]:
    """Return an example request in the form in which the store keeps it."""
    request = json_codec.parse(model, (EXAMPLES / f"{name}.json").read_bytes())
    return request.model_dump(mode="json", by_alias=True, exclude_none=True)


def call(transaction_id: str, **changes: Any) -> PspCall:
    defaults = {
        "merchant_id": "demo",
        "idempotency_key": f"demo/{transaction_id}/step",
        "first_run_id": ActivityEnvironment.default_info().workflow_run_id,
    }
    return PspCall(transaction_id=transaction_id, **(defaults | changes))


@dataclass
class TransactionFactory:
    """Creates transactions from the contract's examples in the store."""

    store: Store
    merchant: Merchant

    async def preauth(self, name: str = "e05_request") -> TransactionRow:
        request = stored(PreauthRequest, name)
        initial = request["isInitial"]
        agreement = NewAgreement(request["agreementId"], _role(request)) if initial else None
        return await self._create(PreauthState, request, agreement=agreement)

    async def charge(self) -> TransactionRow:
        return await self._create(PaymentState, stored(PaymentRequest, "e10_request"))

    async def capture(self) -> TransactionRow:
        await self.preauth()
        request = stored(PaymentRequest, "e09_request")
        return await self._create(PaymentState, request, related_id=request["preauthTransactionId"])

    async def refund(self) -> TransactionRow:
        await self.capture()
        request = stored(RefundRequest, "e13_request")
        related = request["paymentTransactionId"]
        return await self._create(RefundState, request, related_id=related, payment_id=related)

    async def agreement(self, agreement_id: str, instrument: dict[str, Any] | None) -> None:
        """Create an agreement made usable by its own preauth."""
        request = stored(PreauthRequest, "e04_request")
        request["transactionId"] = f"20260101-{agreement_id}"
        request["agreementId"] = agreement_id
        agreement = NewAgreement(agreement_id, _role(request))
        row = await self._create(PreauthState, request, agreement=agreement)
        key = (row.merchant_id, row.transaction_id)
        await self.store.transactions.save_private(*key, instrument=instrument)
        await self.store.transactions.record(
            RecordUpdate(
                *key,
                status="Succeeded",
                version=1,
                snapshot=row.snapshot,
                evidence="{}",
                activate_agreement=True,
            )
        )

    async def _create(
        self,
        state_type: type[AnyState],
        request: dict[str, Any],
        *,
        agreement: NewAgreement | None = None,
        related_id: str | None = None,
        **fields: Any,
    ) -> TransactionRow:
        state = state_type(
            transaction_id=request["transactionId"],
            external_id="e" * 24,
            role=Role[_role(request)],
            currency=request["currency"],
            requested_amount=Decimal(request["requestedAmount"]),
            last_updated=NOW,
            **fields,
        )
        new = NewTransaction(
            merchant_id=self.merchant.id,
            transaction_id=state.transaction_id,
            kind=state.kind.value,
            fingerprint="f" * 64,
            psp=self.merchant.psp,
            psp_settings_id=self.merchant.psp_settings_id,
            role=state.role.name,
            currency=state.currency,
            requested_amount=state.requested_amount,
            request=request,
            external_id=state.external_id,
            agreement_id=request.get("agreementId"),
            related_id=related_id,
            snapshot=state.model_dump_json(),
            agreement=agreement,
        )
        row, _ = await self.store.transactions.add(new)
        return row


def _role(request: dict[str, Any]) -> str:
    role: str = request.get("paymentMeansReference", {}).get("role", "CreditCard")
    return role


@pytest.fixture
def factory(store: Store, merchant: Merchant) -> TransactionFactory:
    return TransactionFactory(store, merchant)


@pytest.fixture
def break_store(monkeypatch: pytest.MonkeyPatch) -> Callable[[Repository, str, Exception], None]:
    """Return a function that makes the next call of a store method fail."""

    def broken(repository: Repository, method: str, error: Exception) -> None:
        working = getattr(repository, method)

        async def fail(*args: Any, **kwargs: Any) -> Any:
            monkeypatch.setattr(repository, method, working)
            raise error

        monkeypatch.setattr(repository, method, fail)

    return broken
