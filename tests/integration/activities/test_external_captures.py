"""A capture made elsewhere is recorded as soon as a look-up of its reservation names it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.psp import PspActivities
from integrator.contract.enums import PaymentErrorCode
from integrator.psp.errors import PspUnavailable
from integrator.psp.types import Approved, Declined, Fact, FactKind, HoldCapture
from integrator.store import Store
from integrator.store.models import RecordUpdate
from integrator.transactions.workflow_inputs import read_state
from tests.integration.activities.conftest import (
    CAPTURE,
    PREAUTH,
    FakePsp,
    FakeTransactionClient,
    TransactionFactory,
    call,
)
from workflows.state import ExternalMovement, MovementStatus, PreauthState

REFUSED = Declined(code=PaymentErrorCode.InvalidPreconditions)
DAY = datetime(2026, 1, 20, tzinfo=UTC).date()


def held(**changes: Any) -> Approved:
    """An authorization that was captured; `changes` are those of the capture."""
    capture = HoldCapture(psp_id="ch_9", amount=Decimal("50.00"), currency="EUR", booked_on=DAY)
    fact = Fact(kind=FactKind.AUTHORIZED, id="auth_1", amount=Decimal("119.00"))
    return Approved(psp_id="auth_1", facts=(fact,), capture=capture.model_copy(update=changes))


async def let_succeed(store: Store, factory: TransactionFactory, **changes: Any) -> None:
    """Store a preauth that succeeded; `changes` are those of its state."""
    row = await factory.preauth()
    state = read_state(row.kind, row.snapshot)
    assert isinstance(state, PreauthState)
    fact = Fact(
        kind=FactKind.AUTHORIZED,
        id="auth_1",
        amount=Decimal("119.00"),
        expires_at=datetime.now(UTC) + timedelta(days=7),
    )
    facts = {"facts": {"auth_1": fact.model_dump()}, "status": "Succeeded", "answered": True}
    values = {"psp_transaction_id": "auth_1", "version": 3, **facts, **changes}
    state = PreauthState.model_validate(state.model_dump() | values)
    await store.transactions.record(
        RecordUpdate(
            "demo",
            PREAUTH,
            "Succeeded",
            3,
            state.model_dump_json(),
            evidence="{}",
            psp_transaction_id="auth_1",
        )
    )


def recorded(transaction_client: FakeTransactionClient) -> list[tuple[str, ExternalMovement]]:
    return transaction_client.calls_of("record_external_movement")


MOVEMENT = ExternalMovement(
    psp_id="ch_9",
    amount=Decimal("50.00"),
    currency="EUR",
    status=MovementStatus.BOOKED,
    booked_on=DAY,
)


async def test_a_void_refused_because_of_a_capture_records_it(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    transaction_client: FakeTransactionClient,
) -> None:
    await let_succeed(store, factory)
    psp.answers = [REFUSED, held()]
    reply = await ActivityEnvironment().run(activities.void, call(PREAUTH, psp_id="auth_1"))
    assert reply.outcome == REFUSED
    assert recorded(transaction_client) == [(PREAUTH, MOVEMENT)]


@pytest.mark.parametrize("answer", [PspUnavailable("down"), None, Approved(psp_id="auth_1")])
async def test_a_refused_void_stays_refused_without_a_named_capture(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    transaction_client: FakeTransactionClient,
    answer: Any,
) -> None:
    await let_succeed(store, factory)
    psp.answers = [REFUSED, answer]
    reply = await ActivityEnvironment().run(activities.void, call(PREAUTH, psp_id="auth_1"))
    assert reply.outcome == REFUSED
    assert recorded(transaction_client) == []


EXPIRED = {
    "facts": {
        "auth_1": {
            "kind": "authorized",
            "id": "auth_1",
            "amount": "119.00",
            "expires_at": datetime.now(UTC) - timedelta(hours=2),
        }
    }
}


@pytest.mark.parametrize(
    ("state", "is_recorded"),
    [
        (EXPIRED, True),
        ({"voids": 1}, True),
        ({"cancelling": True}, True),
        ({}, False),
        (EXPIRED | {"captured_by": CAPTURE}, False),
    ],
    ids=["past its end", "refused void", "open void", "open", "captured here"],
)
async def test_a_look_up_records_a_capture_that_none_of_ours_can_be(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    transaction_client: FakeTransactionClient,
    state: dict[str, Any],
    is_recorded: bool,
) -> None:
    """While the reservation is open, a capture of ours may be under way; reconciliation waits."""
    await let_succeed(store, factory, **state)
    psp.answers = [held()]
    reply = await ActivityEnvironment().run(
        activities.fetch_authorization, call(PREAUTH, psp_id="auth_1")
    )
    assert recorded(transaction_client) == ([(PREAUTH, MOVEMENT)] if is_recorded else [])
    assert reply.outcome == held().model_copy(update={"capture": None})


async def test_a_capture_of_ours_is_not_recorded_as_external(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    transaction_client: FakeTransactionClient,
) -> None:
    await factory.capture()
    await let_succeed(store, factory, voids=1)
    psp.answers = [held(reference=CAPTURE)]
    await ActivityEnvironment().run(activities.fetch_authorization, call(PREAUTH, psp_id="auth_1"))
    assert recorded(transaction_client) == []
