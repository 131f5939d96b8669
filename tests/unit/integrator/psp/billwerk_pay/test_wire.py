"""Reading of the PSP's objects with members of other types than documented, without a PSP."""

import pytest
from pydantic import ValidationError

from integrator.psp.billwerk_pay.wire import Charge, CreditNote, Invoice, Source, Transaction

CHARGE = {"handle": "h", "state": "settled", "amount": 100, "currency": "EUR"}
SETTLE = {"id": "t", "state": "settled", "type": "settle", "invoice": "h", "amount": 100}


@pytest.mark.parametrize("empty", [None, {}, []])
def test_an_object_without_members_may_be_null_or_an_empty_list(empty: object) -> None:
    assert Charge.model_validate({**CHARGE, "source": empty}).source == Source()
    moved = Transaction.model_validate({**SETTLE, "card_transaction": empty})
    assert moved.card_transaction.error_state is None


def test_null_entries_of_lists_are_left_out() -> None:
    lines = [None, {"ordertext": "Pro plan", "amount": 100}]
    assert len(Charge.model_validate({**CHARGE, "order_lines": lines}).order_lines) == 1
    invoice = {"handle": "h", "currency": "EUR", "order_lines": lines, "credit_notes": [None]}
    read = Invoice.model_validate(invoice)
    assert (len(read.order_lines), len(read.credit_notes)) == (1, 0)
    note = CreditNote.model_validate({"credit_note_lines": [None, {"text": "x"}]})
    assert [line.text for line in note.credit_note_lines] == ["x"]


@pytest.mark.parametrize("odd", [["declined"], "declined", 5])
def test_an_acquirers_answer_of_another_type_is_unreadable(odd: object) -> None:
    # It decides whether a failed transaction may have moved money.
    with pytest.raises(ValidationError):
        Transaction.model_validate({**SETTLE, "card_transaction": odd})
