"""Values of a PSP with characters that no database and no message holds."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from temporalio.api.failure.v1 import Failure
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.errors import application_error
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.types import (
    Approved,
    Declined,
    EventPage,
    Fact,
    FactKind,
    Instrument,
    Movement,
    MovementKind,
    NotificationEvent,
    Pending,
    RedirectRequired,
    Reported,
    SettingsCheck,
    Succession,
)
from integrator.transactions.workflow_inputs import read_state
from workflows.state import Evidence, EvidenceKind, PaymentState

NOW = datetime(2026, 1, 15, tzinfo=UTC)
ODD = st.text(st.sampled_from("\x00\ud800\udfffaä😀\ufffd"), min_size=1, max_size=6)


def values(odd: str) -> list[Reported]:
    """Return a value of each kind with the text in each of its texts."""
    texts = {odd: odd}
    fact = Fact(
        kind=FactKind.CHARGED_BACK,
        id=odd,
        amount=Decimal(1),
        description=odd,
        psp_reason_code=odd,
        psp_reason_message=odd,
        reverses=odd,
        reference=odd,
        parent_psp_id=odd,
        supersedes=(odd,),
    )
    instrument = Instrument(token={"id": odd}, bearer=texts)
    succession = Succession(former_id=odd, new_id=odd, token={"id": odd}, bearer={"id": odd})
    approved = Approved(psp_id=odd, facts=(fact,), instrument=instrument, succession=succession)
    return [
        approved,
        Pending(psp_id=odd, facts=(fact,)),
        Declined(psp_id=odd, psp_code=odd, message=odd),
        RedirectRequired(psp_id=odd, url=odd, data={"id": odd}, expires_at=NOW),
        EventPage(cursor=odd),
        SettingsCheck(account=odd),
        Movement(
            kind=MovementKind.REFUND,
            psp_id=odd,
            reference=odd,
            parent_psp_id=odd,
            amount=Decimal(1),
            currency="EUR",
            booked_at=NOW,
            outcome=approved,
        ),
    ]


@settings(deadline=None, max_examples=100)
@given(ODD)
def test_every_value_is_serialised_and_holds_no_unstorable_character(odd: str) -> None:
    for value in values(odd):
        written = value.model_dump_json()
        assert type(value).model_validate_json(written) == value
        assert "\x00" not in str(value.model_dump())
        assert "\\u0000" not in written.replace("\\\\u0000", "")


@settings(deadline=None, max_examples=50)
@given(ODD)
def test_a_state_of_such_values_is_stored_and_read(odd: str) -> None:
    state = PaymentState(
        transaction_id="20260115-65a7f1c2c2d3e4f506172a02",
        external_id="e" * 24,
        role=PublicPaymentProviderRole.CreditCard,
        currency="EUR",
        requested_amount=Decimal(1),
        last_updated=NOW,
    )
    for outcome in values(odd):
        if not isinstance(outcome, Approved | Pending | Declined | RedirectRequired):
            continue
        state.apply(outcome, Evidence(kind=EvidenceKind.READ, source="fetch", at=NOW))
    assert read_state("payment", state.model_dump_json()) == state


def test_different_texts_stay_different() -> None:
    assert len({Pending(psp_id=id).psp_id for id in ("\ud800", "\ud801", "\x00", "\ufffd")}) == 4


@pytest.mark.parametrize("id", ["\ud800", "evt_\udfff"])
def test_an_event_with_half_of_a_surrogate_pair_is_accepted(id: str) -> None:
    event = NotificationEvent(event_id=id, psp_ids=(id,), reference=id)
    event.model_dump_json().encode()
    assert event.event_id == event.psp_ids[0] == event.reference


async def test_an_error_with_such_a_text_reaches_the_workflow() -> None:
    message = Failure()
    error = application_error(OutcomeUnknown("code \ud800"))
    await pydantic_data_converter.encode_failure(error, message)
    assert "ud800" in message.message
