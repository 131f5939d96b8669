"""Test the PSP activities on a real store, with a scripted PSP and scripted parents."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import ActivityEnvironment

from activities.psp import PspActivities
from activities.reservations import Reservations
from integrator.contract.enums import PaymentErrorCode, PaymentTransactionStatus
from integrator.psp.errors import (
    CredentialsRejected,
    NotificationRejected,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspUnavailable,
)
from integrator.psp.types import (
    Absent,
    Approved,
    Declined,
    Fact,
    FactKind,
    Instrument,
    NotificationEvent,
    Outcome,
    Pending,
    RedirectRequired,
)
from integrator.store import Merchant, NewNotification, RecordUpdate, Store, StoreUnavailable
from integrator.store.models import TransactionRow
from integrator.store.repository import Repository
from integrator.transactions.workflow_inputs import read_state
from tests.integration.activities.conftest import (
    API_KEY,
    CAPTURE,
    CHARGE,
    NOW,
    PREAUTH,
    PRIVATE,
    REFUND,
    FakePsp,
    FakeSettings,
    FakeTransactionClient,
    TransactionFactory,
    call,
)
from workflows.messages import (
    CloseReservationCall,
    NotificationRead,
    NotificationResult,
    PaymentInput,
    PreauthInput,
    PspFailure,
    PspReply,
    ReservationResult,
    ReserveReply,
    ReserveRequest,
)
from workflows.state import (
    BookedRefund,
    Evidence,
    EvidenceKind,
    PreauthState,
    Refusal,
    TransactionKind,
)

UPGRADE = "20260301-65e1a0d4c2d3e4f506172b01"
CARD_AGREEMENT = "65a7f0b1c2d3e4f506172839"
DEBIT_AGREEMENT = "65a7f0b1c2d3e4f506172840"
CARD = Instrument.model_validate(PRIVATE)
ENDS = datetime(2026, 1, 16, tzinfo=UTC)
UNAVAILABLE = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
NO = Declined(code=PaymentErrorCode.InsufficientBalance, message="No.")
REFUSED = ReserveReply(refusal=Refusal(code=PaymentErrorCode.InvalidAmount, message="Too much."))
BreakStore = Callable[[Repository, str, Exception], None]


def fact(kind: FactKind, amount: str, id: str = "f1") -> Fact:
    return Fact(kind=kind, id=id, amount=Decimal(amount), booked_on=date(2026, 2, 20))


def authorized() -> Approved:
    return Approved(psp_id="auth_1", facts=(fact(FactKind.AUTHORIZED, "119.00"),), instrument=CARD)


def captured(amount: str = "119.00") -> Approved:
    return Approved(psp_id="ch_1", facts=(fact(FactKind.PAID, amount),))


def refunded(amount: str = "19.00") -> Approved:
    return Approved(psp_id="re_1", facts=(fact(FactKind.REFUNDED, amount),))


def redirect(url: str | None = "https://checkout.psp.example/s/cs_1") -> RedirectRequired:
    return RedirectRequired(psp_id="cs_1", url=url, data={"token": "t"}, expires_at=ENDS)


async def catch_error(running: Coroutine[Any, Any, Any]) -> ApplicationError:
    with pytest.raises(ApplicationError) as caught:
        await running
    return caught.value


async def read_private(store: Store, transaction_id: str) -> dict[str, Any]:
    row = await store.transactions.get("demo", transaction_id)
    assert row is not None
    return row.private or {}


def operations(psp: FakePsp) -> list[str]:
    return [name for name, _ in psp.calls]


# --- private data stays in the store ------------------------------------------------------------


async def test_a_redirect_is_stored_and_stripped_from_the_reply(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [redirect()]
    reply = await activities.authorize(call(PREAUTH))
    assert reply.outcome == RedirectRequired(psp_id="cs_1", expires_at=ENDS)
    assert (await read_private(store, PREAUTH))["redirect"] == {
        "url": "https://checkout.psp.example/s/cs_1",
        "data": {"token": "t"},
    }


async def test_an_instrument_is_stored_and_stripped_from_the_reply(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [authorized()]
    reply = await activities.authorize(call(PREAUTH))
    assert reply.outcome == authorized().model_copy(update={"instrument": None})
    assert reply.evidence is EvidenceKind.ANSWER
    assert "pm_secret" not in reply.model_dump_json()
    assert (await read_private(store, PREAUTH))["instrument"] == PRIVATE


async def test_a_redirect_without_an_address_keeps_the_stored_one(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [redirect(), redirect(url=None)]
    await activities.authorize(call(PREAUTH))
    reply = await activities.fetch_authorization(call(PREAUTH))
    assert reply.outcome == RedirectRequired(psp_id="cs_1", expires_at=ENDS)
    assert (await read_private(store, PREAUTH))["redirect"]["url"].endswith("cs_1")


async def test_an_instrument_of_a_look_up_is_stored(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [authorized()]
    reply = await activities.fetch_authorization(call(PREAUTH))
    assert reply.outcome == authorized().model_copy(update={"instrument": None})
    assert (await read_private(store, PREAUTH))["instrument"] == PRIVATE


@pytest.mark.parametrize("outcome", [NO, Pending(psp_id="auth_1")])
async def test_other_answers_leave_nothing_in_the_store(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    outcome: Outcome,
) -> None:
    await factory.preauth()
    psp.answers = [outcome]
    assert (await activities.authorize(call(PREAUTH))).outcome == outcome
    assert await read_private(store, PREAUTH) == {}


async def test_after_a_failure_of_the_store_the_same_key_is_sent_again(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    break_store: BreakStore,
) -> None:
    await factory.preauth()
    psp.answers = [authorized()]
    break_store(store.transactions, "save_private", StoreUnavailable("locked"))
    with pytest.raises(StoreUnavailable):
        await activities.authorize(call(PREAUTH))
    reply = await activities.authorize(call(PREAUTH))
    assert isinstance(reply.outcome, Approved)
    first, second = [request for _, request in psp.calls]
    assert first == second
    assert first.idempotency_key == f"demo/{PREAUTH}/step"


# --- the PSP's requests -------------------------------------------------------------------------


async def test_a_sign_up_needs_no_instrument(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [redirect()]
    await activities.authorize(call(PREAUTH))
    assert psp.calls[0][1].instrument is None


async def test_an_upgrade_uses_the_agreements_instrument(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.agreement(CARD_AGREEMENT, PRIVATE)
    await factory.preauth("e07_request")
    psp.answers = [authorized()]
    await activities.authorize(call(UPGRADE))
    assert psp.calls[0][1].instrument == CARD


async def test_a_charge_uses_the_agreements_instrument(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.agreement(DEBIT_AGREEMENT, PRIVATE)
    await factory.charge()
    psp.answers = [Pending(psp_id="dd_1")]
    reply = await activities.charge(call(CHARGE))
    request = psp.calls[0][1]
    assert (request.instrument, request.execute_on) == (CARD, date(2026, 2, 19))
    assert (reply.outcome, reply.settled) == (Pending(psp_id="dd_1"), False)


async def test_without_an_instrument_nothing_is_sent(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.charge()
    reply = await activities.charge(call(CHARGE))
    assert isinstance(reply.outcome, Declined)
    assert reply.outcome.code is PaymentErrorCode.BearerInvalid
    assert reply.evidence is EvidenceKind.NOT_SENT
    assert psp.calls == []


async def test_the_adapter_connects_with_the_merchants_settings(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [redirect()]
    await activities.authorize(call(PREAUTH))
    assert isinstance(psp.connected_with, FakeSettings)
    assert psp.connected_with.api_key.get_secret_value() == API_KEY


async def test_a_void_names_its_target(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    psp.answers = [Approved(psp_id="auth_1")]
    reply = await activities.void(call(PREAUTH, psp_id="auth_1"))
    assert psp.calls[0][1].authorization_id == "auth_1"
    assert reply.outcome == Approved(psp_id="auth_1")


def void_of(row: TransactionRow, **changes: Any) -> PreauthState:
    """Build the state of the preauth `row` at version 2, while `auth_1` is being voided."""
    state = read_state(row.kind, row.snapshot)
    assert isinstance(state, PreauthState)
    state.apply(
        Approved(
            psp_id="auth_1",
            facts=(Fact(kind=FactKind.AUTHORIZED, id="auth_1", amount=state.requested_amount),),
        ),
        Evidence(kind=EvidenceKind.ANSWER, source="authorize", at=NOW),
    )
    state.begin_void()
    return state.model_copy(update={"version": 2} | changes)


STORED_VOIDS = [
    ({}, True),
    ({"version": 1, "cancelling": False}, True),
    ({"version": 3}, False),
    ({"cancelling": False}, False),
    ({"cancelling": False, "captured_by": "p1"}, False),
    ({"captured_by": "p1"}, False),
    ({"status": PaymentTransactionStatus.Cancelled}, False),
    ({"psp_session_id": "cs_1", "status": PaymentTransactionStatus.Initiated, "facts": {}}, False),
]


@pytest.mark.parametrize(("changes", "sent"), STORED_VOIDS)
async def test_a_void_is_not_sent_if_the_store_holds_another_state(
    store: Store,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    changes: dict[str, Any],
    sent: bool,
) -> None:
    """A workflow that was rewound counts its versions on from an older state."""
    row = await factory.preauth()
    state = void_of(row, **changes)
    update = RecordUpdate(
        row.merchant_id,
        row.transaction_id,
        state.status.name,
        state.version,
        state.model_dump_json(),
        evidence="{}",
    )
    assert await store.transactions.record(update)
    psp.answers = [Approved(psp_id="auth_1")]
    reply = await activities.void(call(PREAUTH, psp_id="auth_1", version=2))
    assert len(psp.calls) == sent
    assert reply.stored_version == (None if sent else state.version)


async def test_a_void_without_a_target_is_never_sent(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    assert (await catch_error(activities.void(call(PREAUTH)))).non_retryable
    assert psp.calls == []


ERRORS = [
    (PspUnavailable("away"), PspFailure.UNAVAILABLE, False),
    (OutcomeUnknown("lost"), PspFailure.UNKNOWN, False),
    (CredentialsRejected("no"), PspFailure.CREDENTIALS, True),
]


@pytest.mark.parametrize(("error", "expected", "final"), ERRORS)
@pytest.mark.parametrize("step", ["authorize", "void", "fetch_authorization"])
async def test_a_psps_error_is_translated(
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    error: PspError,
    expected: PspFailure,
    final: bool,
    step: str,
) -> None:
    await factory.preauth()
    psp.answers = [error]
    raised = await catch_error(getattr(activities, step)(call(PREAUTH, psp_id="auth_1")))
    assert (raised.type, raised.non_retryable) == (expected, final)


# --- missing rows and settings ------------------------------------------------------------------

STEPS = ["authorize", "charge", "capture", "refund", "void", "fetch_payment", "check_credentials"]


@pytest.mark.parametrize("step", STEPS)
async def test_without_settings_nothing_is_sent(
    store: Store, psp: FakePsp, activities: PspActivities, step: str
) -> None:
    await TransactionFactory(store, await store.merchants.add("demo", "fake")).charge()
    error = await catch_error(getattr(activities, step)(call(CHARGE)))
    assert (error.type, error.non_retryable) == (PspFailure.CONFIGURATION, True)
    assert psp.calls == []
    assert psp.connected_with is None


async def test_unusable_settings_are_named_without_their_values(
    store: Store, factory: TransactionFactory, activities: PspActivities
) -> None:
    await factory.charge()
    await store.merchants.save_settings("demo", {"ApiKey": "  ", "apikey": API_KEY})
    error = await catch_error(activities.charge(call(CHARGE)))
    assert error.message == "Setting 'ApiKey' is required."
    assert error.__cause__ is None


@pytest.mark.parametrize("step", STEPS)
async def test_an_unknown_transaction_is_an_error(
    merchant: Merchant, psp: FakePsp, activities: PspActivities, step: str
) -> None:
    error = await catch_error(getattr(activities, step)(call(CHARGE)))
    assert (error.type, psp.calls) == ("NotFound", [])


async def test_another_merchants_transaction_is_unknown(
    factory: TransactionFactory, activities: PspActivities
) -> None:
    await factory.charge()
    assert (
        await catch_error(activities.charge(call(CHARGE, merchant_id="other")))
    ).type == "NotFound"


# --- captures and refunds reserve first ---------------------------------------------------------


async def test_a_capture_reserves_calls_and_closes_the_reservation(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
) -> None:
    await factory.capture()
    psp.answers = [captured()]
    reply = await activities.capture(call(CAPTURE, owner_id=PREAUTH))
    assert operations(psp) == ["reserve", "capture", "close_reservation"]
    assert psp.calls[1][1].authorization_id == "parent_psp_id"
    assert transaction_client.calls_of("reserve") == [
        ReserveRequest(by=CAPTURE, amount=Decimal("119.00"), currency="EUR", stored_version=0)
    ]
    assert transaction_client.calls_of("close_reservation") == [
        ReservationResult(by=CAPTURE, booked=True)
    ]
    assert (reply.outcome, reply.settled) == (captured(), True)


async def test_a_captures_parent_is_its_preauth_in_its_stored_state(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
) -> None:
    await factory.capture()
    psp.answers = [captured()]
    await activities.capture(call(CAPTURE))
    for parent in transaction_client.starts:
        assert isinstance(parent, PreauthInput)
        assert parent.transaction_id == PREAUTH
        assert parent.resume is not None


async def test_a_refund_reserves_calls_and_closes_the_reservation(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
) -> None:
    await factory.refund()
    psp.answers = [refunded()]
    reply = await activities.refund(call(REFUND, owner_id=CAPTURE))
    assert operations(psp) == ["reserve", "refund", "close_reservation"]
    assert psp.calls[1][1].payment_psp_id == "parent_psp_id"
    booked = BookedRefund(amount=Decimal("19.00"), psp_id="re_1", booked_on=date(2026, 2, 20))
    assert transaction_client.calls_of("close_reservation") == [
        ReservationResult(by=REFUND, booked=True, refund=booked)
    ]
    assert all(isinstance(parent, PaymentInput) for parent in transaction_client.starts)
    assert reply.settled


@pytest.mark.parametrize(
    ("step", "id", "answer"), [("capture", CAPTURE, captured()), ("refund", REFUND, refunded())]
)
async def test_reserving_and_closing_carry_the_attempts_time(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
    answer: Approved,
) -> None:
    await factory.refund() if step == "refund" else await factory.capture()
    scheduled = datetime(2026, 1, 16, 10, tzinfo=UTC)
    for outcome, booked in ((answer, True), (NO, False)):
        psp.answers = [outcome]
        environment = ActivityEnvironment()
        environment.info = replace(environment.info, current_attempt_scheduled_time=scheduled)
        await environment.run(getattr(activities, step), call(id))
        assert transaction_client.calls_of("reserve")[-1].at == scheduled
        result = transaction_client.calls_of("close_reservation")[-1]
        assert (result.booked, result.at) == (booked, scheduled)


@pytest.mark.parametrize("reply", [ReserveReply(superseded=True), ReserveReply(undecided=True)])
async def test_an_attempt_that_cannot_reserve_yet_is_retried_and_sends_nothing(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    reply: ReserveReply,
) -> None:
    await factory.refund()
    transaction_client.reply = reply
    error = await catch_error(activities.refund(call(REFUND)))
    assert not error.non_retryable
    assert operations(psp) == ["reserve"]


@pytest.mark.parametrize(("step", "id"), [("capture", CAPTURE), ("refund", REFUND)])
async def test_a_refused_reservation_never_reaches_the_psp(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
) -> None:
    await factory.refund()
    transaction_client.reply = REFUSED
    reply = await getattr(activities, step)(call(id))
    assert operations(psp) == ["reserve"]
    assert reply == PspReply(
        outcome=Declined(code=PaymentErrorCode.InvalidAmount, message="Too much."),
        evidence=EvidenceKind.NOT_SENT,
        settled=True,
    )


@pytest.mark.parametrize(("step", "id"), [("capture", CAPTURE), ("refund", REFUND)])
async def test_a_reservation_without_the_psps_id_never_reaches_the_psp(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
) -> None:
    await factory.refund()
    transaction_client.reply = ReserveReply()
    assert (await catch_error(getattr(activities, step)(call(id)))).type == "NotFound"
    assert operations(psp) == ["reserve"]


@pytest.mark.parametrize(("step", "id"), [("capture", CAPTURE), ("refund", REFUND)])
async def test_without_the_parents_reply_the_psp_is_not_called(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
) -> None:
    await factory.refund()
    transaction_client.failures = [UNAVAILABLE]
    with pytest.raises(RPCError):
        await getattr(activities, step)(call(id))
    assert psp.calls == []


async def test_a_transaction_without_parent_cannot_be_captured(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.charge()
    assert (await catch_error(activities.capture(call(CHARGE)))).non_retryable
    assert psp.calls == []


async def test_a_parent_of_another_kind_is_an_error(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.refund()
    assert (await catch_error(activities.capture(call(REFUND)))).type == "NotFound"
    assert psp.calls == []


UNCERTAIN: list[tuple[str, str, Outcome]] = [
    ("capture", CAPTURE, Pending(psp_id="ch_1")),
    ("capture", CAPTURE, Approved(psp_id="ch_1")),
    ("capture", CAPTURE, NO.model_copy(update={"facts": captured().facts})),
    ("refund", REFUND, Pending(psp_id="re_1")),
    ("refund", REFUND, Approved(psp_id="re_1")),
    ("refund", REFUND, refunded("18.99")),
    ("refund", REFUND, NO.model_copy(update={"facts": refunded().facts})),
]


@pytest.mark.parametrize(("step", "id", "outcome"), UNCERTAIN)
async def test_an_undecided_response_leaves_the_reservation_open(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
    outcome: Outcome,
) -> None:
    await factory.refund()
    psp.answers = [outcome]
    reply = await getattr(activities, step)(call(id))
    assert not reply.settled
    assert transaction_client.calls_of("close_reservation") == []


@pytest.mark.parametrize(("step", "id"), [("capture", CAPTURE), ("refund", REFUND)])
async def test_an_unknown_outcome_leaves_the_reservation_open(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
) -> None:
    await factory.refund()
    psp.answers = [OutcomeUnknown("lost")]
    await catch_error(getattr(activities, step)(call(id)))
    assert transaction_client.calls_of("close_reservation") == []


@pytest.mark.parametrize(("step", "id"), [("capture", CAPTURE), ("refund", REFUND)])
async def test_a_decline_closes_the_reservation(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
    step: str,
    id: str,
) -> None:
    await factory.refund()
    psp.answers = [NO]
    reply = await getattr(activities, step)(call(id))
    assert (reply.outcome, reply.settled) == (NO, True)
    assert transaction_client.calls_of("close_reservation") == [
        ReservationResult(by=id, booked=False)
    ]


async def test_a_failed_closing_is_repaired_by_a_retry_with_the_same_key(
    factory: TransactionFactory,
    psp: FakePsp,
    transaction_client: FakeTransactionClient,
    activities: PspActivities,
) -> None:
    await factory.refund()
    psp.answers = [refunded()]
    transaction_client.lost_close_calls = 1
    with pytest.raises(RPCError):
        await activities.refund(call(REFUND))
    assert (await activities.refund(call(REFUND))).settled
    assert operations(psp) == ["reserve", "refund", "reserve", "refund", "close_reservation"]
    first, second = [request for name, request in psp.calls if name == "refund"]
    assert first == second


async def test_the_workflow_can_close_the_reservation_later(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    await factory.refund()
    result = ReservationResult(by=REFUND, booked=False)
    close_call = CloseReservationCall(
        merchant_id="demo",
        owner_kind=TransactionKind.PAYMENT,
        owner_id=CAPTURE,
        settlement=result,
    )
    environment = ActivityEnvironment()
    scheduled = datetime(2026, 1, 16, 10, tzinfo=UTC)
    environment.info = replace(environment.info, current_attempt_scheduled_time=scheduled)
    assert await environment.run(
        Reservations(store, transaction_client).close_reservation, close_call
    )
    assert transaction_client.calls_of("close_reservation") == [
        result.model_copy(update={"at": scheduled})
    ]


# --- look-ups -----------------------------------------------------------------------------------

LOOK_UPS = ["fetch_authorization", "fetch_payment", "fetch_refund"]


@pytest.mark.parametrize("step", LOOK_UPS)
async def test_a_look_up_is_evidence_of_kind_read(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities, step: str
) -> None:
    await factory.charge()
    psp.answers = [Pending(psp_id="x")]
    reply = await getattr(activities, step)(call(CHARGE, psp_id="x"))
    assert reply == PspReply(outcome=Pending(psp_id="x"), evidence=EvidenceKind.READ)
    assert psp.calls[0][0] == step
    assert (psp.calls[0][1].reference, psp.calls[0][1].psp_id) == (CHARGE, "x")


@pytest.mark.parametrize("step", LOOK_UPS)
async def test_a_psp_without_look_ups_is_not_called_and_nothing_is_proven(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities, step: str
) -> None:
    await factory.charge()
    psp.readable = False
    reply = await getattr(activities, step)(call(CHARGE))
    assert reply == PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=False)
    assert psp.calls == []


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("step", LOOK_UPS)
async def test_absence_is_proven_by_a_consistent_look_up_only(
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    step: str,
    consistent: bool,
) -> None:
    await factory.charge()
    psp.consistent = consistent
    psp.answers = [None]
    reply = await getattr(activities, step)(call(CHARGE))
    assert (reply.outcome, reply.absence_proven) == (None, consistent)


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("step", LOOK_UPS)
async def test_an_answer_about_its_own_absence_takes_precedence(
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    step: str,
    proven: bool,
    consistent: bool,
) -> None:
    await factory.charge()
    psp.consistent = consistent
    psp.answers = [Absent(proven=proven)]
    reply = await getattr(activities, step)(call(CHARGE))
    assert (reply.outcome, reply.absence_proven) == (None, proven)


@pytest.mark.parametrize("answer", [None, Absent(proven=True)])
async def test_the_absence_of_an_object_with_an_id_proves_nothing(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities, answer: Absent | None
) -> None:
    await factory.charge()
    psp.answers = [answer]
    reply = await activities.fetch_payment(call(CHARGE, psp_id="ch_1"))
    assert (reply.outcome, reply.absence_proven) == (None, False)


async def test_a_look_up_carries_the_parents_psp_id_and_the_time_of_creation(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.refund()
    for transaction_id, psp_id in [(PREAUTH, "auth_1"), (CAPTURE, "ch_1")]:
        recorded = RecordUpdate(
            *("demo", transaction_id),
            status="Succeeded",
            version=1,
            snapshot="{}",
            evidence="{}",
            psp_transaction_id=psp_id,
        )
        await store.transactions.record(recorded)
    psp.answers = [Pending(psp_id="x")]
    asked = []
    for step, transaction_id in [
        ("fetch_authorization", PREAUTH),
        ("fetch_payment", CAPTURE),
        ("fetch_refund", REFUND),
    ]:
        row = await store.transactions.get("demo", transaction_id)
        assert row is not None
        await getattr(activities, step)(call(transaction_id))
        lookup = psp.calls[-1][1]
        assert lookup.created_at == row.created_at
        asked.append(lookup.parent_psp_id)
    assert asked == [None, "auth_1", "ch_1"]


@pytest.mark.parametrize("roles", [frozenset({"CreditCard"}), frozenset()])
async def test_credentials_that_the_psp_does_not_refuse_are_accepted(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities, roles: frozenset[Any]
) -> None:
    await factory.charge()
    psp.roles = roles
    assert (await activities.check_credentials(call(CHARGE))).accepted


async def test_credentials_that_the_psp_refuses_are_not_accepted(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.charge()
    psp.roles = CredentialsRejected("no")
    assert not (await activities.check_credentials(call(CHARGE))).accepted


async def test_an_outage_does_not_decide_about_credentials(
    factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.charge()
    psp.roles = PspUnavailable("away")
    error = await catch_error(activities.check_credentials(call(CHARGE)))
    assert error.type == PspFailure.UNAVAILABLE


# --- notifications ------------------------------------------------------------------------------


async def add_notification(
    store: Store, merchant: Merchant, event_id: str = "evt_1"
) -> NotificationRead:
    id, _ = await store.notifications.add(
        NewNotification(
            psp_settings_id=merchant.psp_settings_id,
            event_id=event_id,
            merchant_id=merchant.id,
            raw=b"the raw body",
            headers={"X-Signature": "s"},
            received_at=NOW,
        )
    )
    return NotificationRead(merchant_id="demo", transaction_id=PREAUTH, notification_id=id)


async def test_a_notification_is_parsed_as_received(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    await factory.preauth()
    psp.parsed_events = [NotificationEvent(event_id="evt_1", result=Pending(psp_id="x"))]
    result = await activities.read_notification(await add_notification(store, merchant))
    assert result == NotificationResult(outcome=Pending(psp_id="x"), event_id="evt_1")
    assert psp.calls == [("parse_notification", ({"X-Signature": "s"}, b"the raw body", NOW))]


async def test_an_event_with_its_own_json_is_read_alone(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    """It was verified when it arrived: neither signature nor settings are needed again."""
    await factory.preauth()
    raw = b'{"id": "evt_1"}'
    psp.events = [(raw, NotificationEvent(event_id="evt_1", result=Pending(psp_id="x")))]
    id, _ = await store.notifications.add(
        NewNotification(merchant.psp_settings_id, "evt_1", merchant.id, raw)
    )
    read = NotificationRead(merchant_id="demo", transaction_id=PREAUTH, notification_id=id)
    result = await activities.read_notification(read)
    assert result == NotificationResult(outcome=Pending(psp_id="x"), event_id="evt_1")
    assert psp.calls == [("read_event", raw)]


async def test_a_notifications_private_data_stays_in_the_store(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    await factory.preauth()
    psp.parsed_events = [NotificationEvent(event_id="evt_1", result=authorized())]
    result = await activities.read_notification(await add_notification(store, merchant))
    assert result.outcome == authorized().model_copy(update={"instrument": None})
    assert (await read_private(store, PREAUTH))["instrument"] == PRIVATE


async def test_a_read_notification_is_applied_to_its_transaction(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    await factory.preauth()
    psp.parsed_events = [NotificationEvent(event_id="evt_1", result=Pending(psp_id="x"))]
    read = await add_notification(store, merchant)
    await activities.read_notification(read)
    row = await store.notifications.get(read.notification_id)
    assert row is not None
    assert (row.state, row.transaction_id) == ("applied", PREAUTH)


async def test_of_several_events_the_stored_one_is_read(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    await factory.preauth()
    psp.parsed_events = [
        NotificationEvent(event_id="evt_1", result=Pending(psp_id="x")),
        NotificationEvent(event_id="evt_2", result=NO),
    ]
    result = await activities.read_notification(await add_notification(store, merchant, "evt_2"))
    assert (result.outcome, result.event_id) == (NO, "evt_2")


async def test_reading_twice_returns_the_same(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
) -> None:
    await factory.preauth()
    psp.parsed_events = [NotificationEvent(event_id="evt_1", result=authorized())]
    read = await add_notification(store, merchant)
    assert await activities.read_notification(read) == await activities.read_notification(read)


UNREADABLE: list[list[NotificationEvent] | Exception] = [
    [NotificationEvent(event_id="evt_1")],
    [NotificationEvent(event_id="evt_1", relevant=False)],
    [],
    NotificationRejected("The notification's signature is wrong"),
    ProtocolError("not understood"),
]


@pytest.mark.parametrize("events", UNREADABLE)
async def test_an_unreadable_notification_triggers_a_look_up(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    psp: FakePsp,
    activities: PspActivities,
    events: list[NotificationEvent] | Exception,
) -> None:
    await factory.preauth()
    psp.parsed_events = events
    result = await activities.read_notification(await add_notification(store, merchant))
    assert result == NotificationResult(outcome=None, event_id="evt_1", fetch=True)


async def test_a_notification_read_without_settings_triggers_a_look_up(
    store: Store, psp: FakePsp, activities: PspActivities
) -> None:
    merchant = await store.merchants.add("demo", "fake")
    await TransactionFactory(store, merchant).preauth()
    result = await activities.read_notification(await add_notification(store, merchant))
    assert (result.outcome, result.fetch) == (None, True)


async def test_another_merchants_notification_is_not_read(
    store: Store, factory: TransactionFactory, psp: FakePsp, activities: PspActivities
) -> None:
    await factory.preauth()
    read = await add_notification(store, await store.merchants.add("other", "fake"))
    result = await activities.read_notification(read)
    assert (result.outcome, result.fetch, psp.calls) == (None, True, [])
    row = await store.notifications.get(read.notification_id)
    assert row is not None
    assert (row.state, row.transaction_id) == ("stored", None)


async def test_a_missing_notification_triggers_a_look_up(
    factory: TransactionFactory, activities: PspActivities
) -> None:
    await factory.preauth()
    read = NotificationRead(merchant_id="demo", transaction_id=PREAUTH, notification_id=99)
    assert (await activities.read_notification(read)).fetch
