"""The story of a transaction, told from its state."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.sdk.v1 import WorkflowMetadata

from integrator.contract.enums import PaymentChargebackReason, PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, FactKind, Outcome, Pending
from integrator.transactions.workflow_inputs import read_state
from tests.workflows.conftest import WorkflowHarness, eventually
from tests.workflows.conftest import approved as answer_approved
from tests.workflows.test_decisions import ACKNOWLEDGED, FAILED, SUCCEEDED
from tests.workflows.test_state import (
    KINDS,
    T0,
    any_reports,
    approved,
    brought_to,
    declined,
    evidence,
    examples,
    fact,
    fold,
    fresh,
    held,
    paid,
    payment,
    preauth,
    redirect,
    refund,
    succeeded_payment,
    succeeded_preauth,
)
from workflows import activity_plans
from workflows.messages import (
    AnyInput,
    Delivery,
    DeliveryState,
    NotificationResult,
    PspReply,
)
from workflows.state import (
    AnyState,
    BookedRefund,
    EvidenceKind,
    ExternalMovement,
    MovementStatus,
    TransactionKind,
)
from workflows.timeline import Timeline, build_timeline, markdown, summarize_input

NOW = T0 + timedelta(hours=2)
NOTIFIED = evidence(kind=EvidenceKind.NOTIFICATION)


def texts(story: Timeline) -> str:
    return "\n".join(f"{line.text} | {line.said_by}" for line in story.happened)


def nexts(state: AnyState, delivery: Delivery | None = None, **given: Any) -> str:
    return "\n".join(build_timeline(state, delivery, NOW, **given).next_steps)


class TestHappened:
    def test_it_begins_with_the_request(self) -> None:
        state = payment(due_date=date(2026, 2, 19))
        line = build_timeline(state, None, NOW, started_at=T0).happened[0]
        assert (line.at, line.said_by) == (T0, "Billwerk+")
        assert line.text == "payment of 10.00 EUR requested, to be executed on 2026-02-19"

    def test_each_fact_has_amount_day_id_and_who_said_it(self) -> None:
        state = payment()
        state.apply(approved(paid("ch_1", booked_on=date(2026, 1, 15))), evidence())
        back = fact(FactKind.CHARGED_BACK, "cb_1", reason=PaymentChargebackReason.UserInitiated)
        state.apply(approved(back), NOTIFIED)
        story = build_timeline(state, None, NOW)
        first, second = (line for line in story.happened if "PSP id" in line.text)
        assert first.text == "10.00 EUR taken, booked on 2026-01-15, PSP id `ch_1`"
        assert first.said_by == "the PSP answered our call `test`"
        assert first.at == evidence().at
        assert "10.00 EUR charged back by the customer's bank, reason UserInitiated" in second.text
        assert second.said_by == "a verified notification of the PSP said so (`test`)"

    def test_a_fact_of_before_it_was_kept_has_no_time(self) -> None:
        old = succeeded_payment().model_dump_json(exclude={"fact_sources", "decisions"})
        lines = build_timeline(read_state(TransactionKind.PAYMENT, old), None, NOW).happened
        (line,) = (line for line in lines if "taken" in line.text)
        assert (line.at, line.said_by) == (None, "the PSP")

    def test_refunds_say_whose_they_are(self) -> None:
        state = succeeded_payment()
        ours = BookedRefund(amount=Decimal(4), psp_id="re_1", booked_on=date(2026, 1, 16))
        state.close_reservation("r1", ours, NOW)
        elsewhere = ExternalMovement(
            psp_id="re_9", amount=Decimal(2), currency="EUR", status=MovementStatus.BOOKED
        )
        state.record_external_movement(elsewhere, NOW)
        told = texts(build_timeline(state, None, NOW))
        own = "4.00 EUR given back, booked on 2026-01-16 by the refund `r1`, PSP id `re_1`"
        assert f"{own} | its own workflow" in told
        assert "2.00 EUR given back by a refund made without this service, PSP id `re_9`" in told
        assert "a read at the PSP said so (`list of movements`)" in told

    def test_a_capture_says_whose_it_is(self) -> None:
        ours = preauth(captured_by="p1", captured=True, status=Status.Succeeded)
        assert "captured by the payment `p1` | its own workflow" in texts(
            build_timeline(ours, None, NOW)
        )
        theirs = preauth()
        theirs.apply(approved(held()), evidence())
        adoption = ExternalMovement(
            psp_id="ch_9", amount=Decimal(10), currency="EUR", status=MovementStatus.BOOKED
        )
        theirs.record_external_movement(adoption, NOW)
        told = texts(build_timeline(theirs, None, NOW))
        assert "10.00 EUR captured without this service, PSP id `ch_9`" in told
        assert "captured by the payment" not in told

    def test_decisions_stand_where_they_were_made(self) -> None:
        state = payment()
        state.apply_decision(SUCCEEDED)
        state.flag_attention("Look at it.")
        state.apply_decision(ACKNOWLEDGED)
        told = texts(build_timeline(state, None, NOW))
        assert "decided that it succeeded with 10.00 EUR, PSP id `pi_1`; reason: asked" in told
        assert "acknowledged: Look at it.; reason: asked the PSP, ticket 4711 | an operator" in told

    def test_the_order_is_that_of_time(self) -> None:
        state = succeeded_payment(fact(FactKind.CHARGED_BACK, "cb_1"))
        delivered = Delivery(to_announce=2, announced=2, delivered_at=NOW)
        lines = build_timeline(state, delivered, NOW, started_at=T0).happened
        times = [line.at for line in lines]
        assert times == sorted(times)  # type: ignore[type-var]
        assert lines[-1].said_by == "Billwerk+"


WHY = [
    (fold(payment(), []), "Initiated, because the PSP has not answered yet."),
    (
        fold(preauth(), [redirect()]),
        "Initiated, because the customer has not finished on the PSP's checkout page.",
    ),
    (
        fold(payment(), [Pending(psp_id=None)]),
        "Pending, because it is not known yet what became of the request at the PSP.",
    ),
    (fold(payment(), [Pending(psp_id="ch_1")]), "Pending, because the PSP has it"),
    (fold(payment(), [approved(paid())]), "Succeeded, because the PSP answered our call `test`."),
    (payment(status=Status.Succeeded), "Succeeded, because so it was recorded before proofs"),
]


@pytest.mark.parametrize(("state", "words"), WHY)
def test_why(state: AnyState, words: str) -> None:
    assert build_timeline(state, None, NOW).status_reason.startswith(words)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (EvidenceKind.NOTIFICATION, "a verified notification of the PSP said so (`test`)"),
        (EvidenceKind.READ, "a read at the PSP said so (`test`)"),
        (EvidenceKind.VOID, "the PSP confirmed the void"),
        (EvidenceKind.NOT_SENT, "nothing was sent to the PSP"),
    ],
)
def test_why_it_failed(kind: EvidenceKind, words: str) -> None:
    state = payment()
    state.apply(declined(), evidence(kind=kind))
    story = build_timeline(state, None, NOW)
    assert story.status_reason == f"Failed, because {words}."
    assert f"Failed with InsufficientBalance, PSP code `nope` | {words}" in texts(story)


def test_why_by_decision() -> None:
    state = payment()
    state.apply_decision(FAILED)
    expected = "Failed, because an operator decided: asked the PSP, ticket 4711."
    assert build_timeline(state, None, NOW).status_reason == expected


class TestNext:
    def test_the_next_look_up(self) -> None:
        state = fold(payment(), [Pending(psp_id="ch_1")])
        at = NOW + timedelta(minutes=5)
        assert "The PSP is asked at 2026-01-15 11:05:00 UTC" in nexts(state, next_look_up=at)
        assert "at growing intervals" in nexts(state)

    def test_the_end_of_a_checkout_page(self) -> None:
        state = fold(preauth(), [redirect()])
        assert "The checkout page expires at 2026-01-22 09:00:00 UTC." in nexts(state)

    def test_the_end_of_a_reservation(self) -> None:
        state = succeeded_preauth()
        assert "The reservation of 10.00 EUR ends at 2026-01-22 09:00:00 UTC" in nexts(state)
        state.reserve("p1", Decimal(10), "EUR")
        assert "held for `p1`, which is not decided" in nexts(state)

    def test_a_stored_payment_method(self) -> None:
        state = fold(preauth(requested_amount=Decimal(0)), [approved()])
        assert "the payment method is stored for later payments" in nexts(state)

    def test_a_void_under_way(self) -> None:
        state = succeeded_preauth()
        state.begin_void()
        assert "A void is under way" in nexts(state)

    def test_the_planned_day(self) -> None:
        state = fold(payment(due_date=date(2026, 2, 19)), [Pending(psp_id="ch_1")])
        assert "It is to be executed on 2026-02-19." in nexts(state)

    def test_a_succeeded_payment(self) -> None:
        state = succeeded_payment()
        state.reserve("r1", Decimal(4), "EUR")
        told = nexts(state)
        assert "4.00 EUR are held for the refund `r1`" in told
        assert "Up to 6.00 EUR can be refunded." in told
        assert "Chargebacks are waited for until 2027-02-19 09:00:01 UTC" in told
        after = build_timeline(state, None, NOW + timedelta(days=401)).next_steps
        assert "The chargeback window ended at 2027-02-19" in "\n".join(after)

    def test_nothing(self) -> None:
        assert nexts(fold(refund(), [declined()])) == (
            "Nothing; a report of the PSP would open it again."
        )

    @pytest.mark.parametrize(
        ("delivery", "words"),
        [
            (Delivery(to_announce=2, announced=1), "goes out as soon as the change is recorded"),
            (
                Delivery(
                    state=DeliveryState.DELIVERING,
                    to_announce=2,
                    announced=1,
                    gives_up_at=NOW + timedelta(hours=84),
                ),
                "version 2 is being delivered, with growing pauses until 2026-01-18 23:00:00 UTC",
            ),
            (
                Delivery(
                    state=DeliveryState.UNDELIVERED,
                    to_announce=2,
                    announced=1,
                    last_error="The target answered 500.",
                ),
                "was given up; the signal `redeliver` or the next change sends it. Last error: The",
            ),
        ],
    )
    def test_change_notifications(self, delivery: Delivery, words: str) -> None:
        assert words in nexts(succeeded_payment(), delivery)

    def test_attention_and_what_can_be_done(self) -> None:
        state = fold(payment(), [Pending(psp_id=None)])
        state.flag_attention("The PSP has not answered.")
        told = nexts(state)
        assert "Needs attention: The PSP has not answered." in told
        assert "`succeeded` with the PSP's id and the amount" in told
        ended = fold(payment(), [declined()])
        ended.flag_attention("The PSP reports Succeeded.")
        assert "resolve it: `acknowledge`" in nexts(ended)


def test_markdown() -> None:
    story = build_timeline(succeeded_payment(), None, NOW, started_at=T0)
    assert markdown(story).splitlines()[:4] == [
        "**Succeeded, because the PSP answered our call `test`.**",
        "",
        "- 2026-01-15 09:00:00 UTC: payment of 10.00 EUR requested — *Billwerk+*",
        "- 2026-01-15 09:00:01 UTC: 10.00 EUR taken, PSP id `ch_1` — "
        "*the PSP answered our call `test`*",
    ]


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_story_for_every_kind_and_status(kind: TransactionKind, status: Status) -> None:
    if kind is TransactionKind.REFUND and status is Status.Expired:
        return
    state = brought_to(kind, status)
    story = build_timeline(state, None, NOW)
    assert story.status_reason.startswith(f"{status.name}, because ")
    assert story.next_steps
    again = build_timeline(read_state(kind, state.model_dump_json()), None, NOW)
    assert again == story


@examples
@given(st.sampled_from(KINDS), any_reports())
def test_a_story_can_always_be_told(kind: TransactionKind, outcomes: list[Outcome]) -> None:
    """A workflow tells it whenever something changes: one that cannot be told would stop it."""
    state = fold(fresh(kind), outcomes)
    told = markdown(build_timeline(state, Delivery(), NOW))
    known = set(state.facts)
    assert all(f"`{id}`" in told for id in known)


def test_odd_amounts_are_told_as_they_are() -> None:
    state = fold(payment(currency="JPY"), [approved(paid(amount="10.50"))])
    assert "10.50 JPY taken" in texts(build_timeline(state, None, NOW))


def test_what_the_psp_says_of_the_payer_is_not_told() -> None:
    iban = "DE89370400440532013000"
    said = fact(FactKind.CHARGED_BACK, "cb_1", description=iban, psp_reason_message=f"of {iban}")
    state = payment()
    state.apply(approved(paid(), said), evidence())
    refused = Declined(code=PaymentErrorCode.BearerInvalid, message=f"{iban} of Mia Kern is wrong")
    failed = fold(payment(), [refused])
    for one in (state, failed):
        told = markdown(build_timeline(one, None, NOW))
        assert iban not in told
        assert "Mia" not in told


class TestSummary:
    def test_each_kind(self) -> None:
        harness = WorkflowHarness(env=None, client=None, queue="q")  # type: ignore[arg-type]
        amount = {"requested_amount": Decimal("49.9")}
        starts: dict[str, AnyInput] = {
            "preauth of 49.90 EUR, via fake": harness.preauth(**amount),
            "sign-up, nothing reserved, via fake": harness.preauth(requested_amount=Decimal(0)),
            "charge of 49.90 EUR, via fake": harness.payment(**amount),
            "charge of 49.90 EUR, planned for 2026-02-19, via fake": harness.payment(
                **amount, execute_on=date(2026, 2, 19)
            ),
            "capture of 49.90 EUR of preauth a1, via fake": harness.payment(
                **amount, preauth_id="a1"
            ),
            "refund of 49.90 EUR of payment p1, via fake": harness.refund(**amount),
        }
        assert {text: summarize_input(start) for text, start in starts.items()} == {
            text: text for text in starts
        }


async def details(harness: WorkflowHarness, kind: TransactionKind) -> str:
    """What the Temporal UI shows as current details."""
    found = await harness.handle(kind).query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return str(found.current_details)


async def test_the_workflow_keeps_its_story_current(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)
    ]
    start = harness.payment()
    await harness.create(start)
    told = await details(harness, TransactionKind.PAYMENT)
    assert told.startswith("**Pending, because the PSP has it and has not decided.**")
    assert "The PSP is asked at" in told
    done = answer_approved("ch_1", psp_id="ch_1")
    await harness.notify(start, NotificationResult(outcome=done.outcome, event_id="evt_1"))
    await eventually(lambda: harness.webhooks)
    told = await details(harness, TransactionKind.PAYMENT)
    assert "a verified notification of the PSP said so (`evt_1`)" in told
    assert "change notification of version" in told
    assert "The PSP is asked at" not in told


async def test_a_finished_workflow_tells_it_too(uncached_harness: WorkflowHarness) -> None:
    harness = uncached_harness
    done = answer_approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
    harness.answers[activity_plans.REFUND.name] = [done.model_copy(update={"settled": True})]
    await harness.create(harness.refund())
    await harness.handle(TransactionKind.REFUND).result()
    told = await details(harness, TransactionKind.REFUND)
    assert "10.00 EUR given back, booked on 2026-01-15, PSP id `re_1`" in told
