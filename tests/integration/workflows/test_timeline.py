"""Timeline of a transaction, built from its state."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.sdk.v1 import WorkflowMetadata

from integrator.contract.enums import PaymentChargebackReason, PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, FactKind, Outcome, Pending, Succession
from integrator.transactions.workflow_inputs import read_state
from tests.integration.workflows.conftest import WorkflowHarness, eventually
from tests.integration.workflows.conftest import approved as answer_approved
from tests.integration.workflows.test_decisions import ACKNOWLEDGED, FAILED, SUCCEEDED
from tests.unit.workflows.test_state import (
    KINDS,
    T0,
    any_reports,
    approved,
    authorized,
    declined,
    evidence,
    examples,
    fact,
    fold,
    new_state,
    paid,
    payment,
    preauth,
    redirect,
    refund,
    state_with_status,
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


def happened_texts(timeline: Timeline) -> str:
    return "\n".join(f"{entry.text} | {entry.said_by}" for entry in timeline.happened)


def next_texts(state: AnyState, delivery: Delivery | None = None, **fields: Any) -> str:
    return "\n".join(build_timeline(state, delivery, NOW, **fields).next_steps)


class TestHappened:
    def test_it_begins_with_the_request(self) -> None:
        state = payment(due_date=date(2026, 2, 19))
        entry = build_timeline(state, None, NOW, started_at=T0).happened[0]
        assert (entry.at, entry.said_by) == (T0, "Billwerk+")
        assert entry.text == "payment of 10.00 EUR requested, to be executed on 2026-02-19"

    def test_each_fact_has_amount_day_id_and_source(self) -> None:
        state = payment()
        state.apply(approved(paid("ch_1", booked_on=date(2026, 1, 15))), evidence())
        back = fact(FactKind.CHARGED_BACK, "cb_1", reason=PaymentChargebackReason.UserInitiated)
        state.apply(approved(back), NOTIFIED)
        timeline = build_timeline(state, None, NOW)
        first, second = (entry for entry in timeline.happened if "PSP id" in entry.text)
        assert first.text == "10.00 EUR taken, booked on 2026-01-15, PSP id `ch_1`"
        assert first.said_by == "the PSP answered our call `test`"
        assert first.at == evidence().at
        assert "10.00 EUR charged back by the customer's bank, reason UserInitiated" in second.text
        assert second.said_by == "a verified notification of the PSP said so (`test`)"

    def test_a_fact_without_a_stored_source_has_no_time(self) -> None:
        old = succeeded_payment().model_dump_json(exclude={"fact_sources", "decisions"})
        entries = build_timeline(read_state(TransactionKind.PAYMENT, old), None, NOW).happened
        (entry,) = (entry for entry in entries if "taken" in entry.text)
        assert (entry.at, entry.said_by) == (None, "the PSP")

    def test_a_payment_method_that_continues_is_named(self) -> None:
        state = succeeded_payment()
        succession = Succession(former_id="md_1", new_id="md_2")
        state.apply(approved(paid()).model_copy(update={"succession": succession}), NOTIFIED)
        text = happened_texts(build_timeline(state, None, NOW))
        assert "the payment method `md_1` continues as `md_2` | the PSP" in text

    def test_refund_entries_name_their_origin(self) -> None:
        state = succeeded_payment()
        own_refund = BookedRefund(amount=Decimal(4), psp_id="re_1", booked_on=date(2026, 1, 16))
        state.close_reservation("r1", own_refund, NOW)
        external = ExternalMovement(
            psp_id="re_9", amount=Decimal(2), currency="EUR", status=MovementStatus.BOOKED
        )
        state.record_external_movement(external, NOW)
        text = happened_texts(build_timeline(state, None, NOW))
        expected = "4.00 EUR given back, booked on 2026-01-16 by the refund `r1`, PSP id `re_1`"
        assert f"{expected} | its own workflow" in text
        assert "2.00 EUR given back by a refund made without this service, PSP id `re_9`" in text
        assert "a read at the PSP said so (`list of movements`)" in text

    def test_a_capture_entry_names_its_origin(self) -> None:
        own_preauth = preauth(captured_by="p1", captured=True, status=Status.Succeeded)
        assert "captured by the payment `p1` | its own workflow" in happened_texts(
            build_timeline(own_preauth, None, NOW)
        )
        external_preauth = preauth()
        external_preauth.apply(approved(authorized()), evidence())
        capture = ExternalMovement(
            psp_id="ch_9", amount=Decimal(10), currency="EUR", status=MovementStatus.BOOKED
        )
        external_preauth.record_external_movement(capture, NOW)
        text = happened_texts(build_timeline(external_preauth, None, NOW))
        assert "10.00 EUR captured without this service, PSP id `ch_9`" in text
        assert "captured by the payment" not in text

    def test_decisions_are_entries_with_their_reason(self) -> None:
        state = payment()
        state.apply_decision(SUCCEEDED)
        state.flag_attention("Look at it.")
        state.apply_decision(ACKNOWLEDGED)
        text = happened_texts(build_timeline(state, None, NOW))
        assert "decided that it succeeded with 10.00 EUR, PSP id `pi_1`; reason: asked" in text
        assert "acknowledged: Look at it.; reason: asked the PSP, ticket 4711 | an operator" in text

    def test_entries_are_ordered_by_time(self) -> None:
        state = succeeded_payment(fact(FactKind.CHARGED_BACK, "cb_1"))
        delivered = Delivery(to_announce=2, announced=2, delivered_at=NOW)
        entries = build_timeline(state, delivered, NOW, started_at=T0).happened
        times = [entry.at for entry in entries]
        assert times == sorted(times)  # type: ignore[type-var]
        assert entries[-1].said_by == "Billwerk+"


STATUS_REASONS = [
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
    (payment(status=Status.Succeeded), "Succeeded, because it was recorded before evidence"),
]


@pytest.mark.parametrize(("state", "words"), STATUS_REASONS)
def test_status_reason(state: AnyState, words: str) -> None:
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
def test_status_reason_of_a_failure(kind: EvidenceKind, words: str) -> None:
    state = payment()
    state.apply(declined(), evidence(kind=kind))
    timeline = build_timeline(state, None, NOW)
    assert timeline.status_reason == f"Failed, because {words}."
    assert f"Failed with InsufficientBalance, PSP code `nope` | {words}" in happened_texts(timeline)


def test_status_reason_by_decision() -> None:
    state = payment()
    state.apply_decision(FAILED)
    expected = "Failed, because an operator decided: asked the PSP, ticket 4711."
    assert build_timeline(state, None, NOW).status_reason == expected


class TestNext:
    def test_the_next_look_up(self) -> None:
        state = fold(payment(), [Pending(psp_id="ch_1")])
        at = NOW + timedelta(minutes=5)
        assert "The PSP is asked at 2026-01-15 11:05:00 UTC" in next_texts(state, next_look_up=at)
        assert "at growing intervals" in next_texts(state)

    def test_the_end_of_a_checkout_page(self) -> None:
        state = fold(preauth(), [redirect()])
        assert "The checkout page expires at 2026-01-22 09:00:00 UTC." in next_texts(state)

    def test_the_end_of_a_reservation(self) -> None:
        state = succeeded_preauth()
        assert "The reservation of 10.00 EUR ends at 2026-01-22 09:00:00 UTC" in next_texts(state)
        state.reserve("p1", Decimal(10), "EUR")
        assert "held for `p1`, which is not decided" in next_texts(state)

    def test_a_stored_payment_method(self) -> None:
        state = fold(preauth(requested_amount=Decimal(0)), [approved()])
        assert "the payment method is stored for later payments" in next_texts(state)

    def test_a_void_under_way(self) -> None:
        state = succeeded_preauth()
        state.begin_void()
        assert "A void is under way" in next_texts(state)

    def test_the_planned_day(self) -> None:
        state = fold(payment(due_date=date(2026, 2, 19)), [Pending(psp_id="ch_1")])
        assert "It is to be executed on 2026-02-19." in next_texts(state)

    def test_a_succeeded_payment(self) -> None:
        state = succeeded_payment()
        state.reserve("r1", Decimal(4), "EUR")
        text = next_texts(state)
        assert "4.00 EUR are held for the refund `r1`" in text
        assert "Up to 6.00 EUR can be refunded." in text
        assert "Chargebacks are waited for until 2027-02-19 09:00:01 UTC" in text
        after = build_timeline(state, None, NOW + timedelta(days=401)).next_steps
        assert "The chargeback window ended at 2027-02-19" in "\n".join(after)

    def test_nothing(self) -> None:
        assert next_texts(fold(refund(), [declined()])) == (
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
        assert words in next_texts(succeeded_payment(), delivery)

    def test_attention_and_what_can_be_done(self) -> None:
        state = fold(payment(), [Pending(psp_id=None)])
        state.flag_attention("The PSP has not answered.")
        text = next_texts(state)
        assert "Needs attention: The PSP has not answered." in text
        assert "`succeeded` with the PSP's id and the amount" in text
        ended = fold(payment(), [declined()])
        ended.flag_attention("The PSP reports Succeeded.")
        assert "resolve it: `acknowledge`" in next_texts(ended)


def test_markdown() -> None:
    timeline = build_timeline(succeeded_payment(), None, NOW, started_at=T0)
    assert markdown(timeline).splitlines()[:4] == [
        "**Succeeded, because the PSP answered our call `test`.**",
        "",
        "- 2026-01-15 09:00:00 UTC: payment of 10.00 EUR requested — *Billwerk+*",
        "- 2026-01-15 09:00:01 UTC: 10.00 EUR taken, PSP id `ch_1` — "
        "*the PSP answered our call `test`*",
    ]


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("kind", KINDS)
def test_there_is_a_timeline_for_every_kind_and_status(
    kind: TransactionKind, status: Status
) -> None:
    if kind is TransactionKind.REFUND and status is Status.Expired:
        return
    state = state_with_status(kind, status)
    timeline = build_timeline(state, None, NOW)
    assert timeline.status_reason.startswith(f"{status.name}, because ")
    assert timeline.next_steps
    again = build_timeline(read_state(kind, state.model_dump_json()), None, NOW)
    assert again == timeline


@examples
@given(st.sampled_from(KINDS), any_reports())
def test_a_timeline_can_always_be_built(kind: TransactionKind, outcomes: list[Outcome]) -> None:
    """A workflow builds it after every change: an error in it would stop the workflow."""
    state = fold(new_state(kind), outcomes)
    text = markdown(build_timeline(state, Delivery(), NOW))
    known = set(state.facts)
    assert all(f"`{id}`" in text for id in known)


def test_inexact_amounts_are_shown_as_they_are() -> None:
    state = fold(payment(currency="JPY"), [approved(paid(amount="10.50"))])
    assert "10.50 JPY taken" in happened_texts(build_timeline(state, None, NOW))


def test_payer_data_in_the_psps_texts_is_not_shown() -> None:
    iban = "DE89370400440532013000"
    chargeback = fact(
        FactKind.CHARGED_BACK, "cb_1", description=iban, psp_reason_message=f"of {iban}"
    )
    state = payment()
    state.apply(approved(paid(), chargeback), evidence())
    decline = Declined(code=PaymentErrorCode.BearerInvalid, message=f"{iban} of Mia Kern is wrong")
    failed = fold(payment(), [decline])
    for shown_state in (state, failed):
        text = markdown(build_timeline(shown_state, None, NOW))
        assert iban not in text
        assert "Mia" not in text


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
    """Return the current details that the Temporal UI shows."""
    metadata = await harness.handle(kind).query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return str(metadata.current_details)


async def test_the_workflow_keeps_its_timeline_current(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)
    ]
    start = harness.payment()
    await harness.create(start)
    text = await details(harness, TransactionKind.PAYMENT)
    assert text.startswith("**Pending, because the PSP has it and has not decided.**")
    assert "The PSP is asked at" in text
    done = answer_approved("ch_1", psp_id="ch_1")
    await harness.notify(start, NotificationResult(outcome=done.outcome, event_id="evt_1"))
    await eventually(lambda: harness.webhooks)
    text = await details(harness, TransactionKind.PAYMENT)
    assert "a verified notification of the PSP said so (`evt_1`)" in text
    assert "change notification of version" in text
    assert "The PSP is asked at" not in text


async def test_a_finished_workflow_returns_its_timeline(uncached_harness: WorkflowHarness) -> None:
    harness = uncached_harness
    done = answer_approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
    harness.answers[activity_plans.REFUND.name] = [done.model_copy(update={"settled": True})]
    await harness.create(harness.refund())
    await harness.handle(TransactionKind.REFUND).result()
    text = await details(harness, TransactionKind.REFUND)
    assert "10.00 EUR given back, booked on 2026-01-15, PSP id `re_1`" in text
