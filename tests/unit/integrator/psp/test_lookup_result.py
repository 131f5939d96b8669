"""Interpretation of an adapter's answer to a look-up."""

import pytest

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.lookup_result import LookupResult, interpret_answer
from integrator.psp.types import (
    Absent,
    Declined,
    IdempotencySemantics,
    Lookup,
    LookupAnswer,
    Pending,
)


def lookup(psp_id: str | None = None) -> Lookup:
    return Lookup(reference="ref", psp_id=psp_id, currency="EUR", role=Role.CreditCard)


def interpret(answer: LookupAnswer, *, consistent: bool, psp_id: str | None = None) -> LookupResult:
    semantics = IdempotencySemantics(window_seconds=3600, consistent_lookup=consistent)
    return interpret_answer(answer, lookup(psp_id), semantics)


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("outcome", [Pending(psp_id="p"), Declined()])
def test_an_outcome_is_found(outcome: Pending | Declined, consistent: bool) -> None:
    assert interpret(outcome, consistent=consistent) == LookupResult(outcome=outcome)


@pytest.mark.parametrize("consistent", [True, False])
def test_none_proves_as_much_as_the_adapter_declares(consistent: bool) -> None:
    assert interpret(None, consistent=consistent) == LookupResult(absence_proven=consistent)


@pytest.mark.parametrize("consistent", [True, False])
@pytest.mark.parametrize("proven", [True, False])
def test_an_absence_speaks_for_itself(proven: bool, consistent: bool) -> None:
    answer = Absent(proven=proven)
    assert interpret(answer, consistent=consistent) == LookupResult(absence_proven=proven)


@pytest.mark.parametrize("answer", [None, Absent(proven=True)])
def test_the_absence_of_an_object_with_an_id_proves_nothing(answer: LookupAnswer) -> None:
    assert interpret(answer, consistent=True, psp_id="ch_1") == LookupResult()
