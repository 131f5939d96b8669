"""Value types of the port: defaults, and what they refuse."""

import pytest
from pydantic import ValidationError

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.types import DateWindow, Fact, FactKind, Lookup, MethodCapability, Payer


def test_the_members_that_an_older_adapter_does_not_know_have_defaults() -> None:
    lookup = Lookup(reference="r", psp_id=None, currency="EUR", role=Role.Debit)
    assert (lookup.parent_psp_id, lookup.created_at) == (None, None)
    assert MethodCapability().debit_date_window is None
    assert Payer().company_name is None
    assert not [value for _, value in Payer().address if value is not None]


def test_a_fact_stored_before_reversals_existed_is_read() -> None:
    stored = '{"kind": "charged_back", "id": "cb_1", "amount": "10.00"}'
    assert Fact.model_validate_json(stored).reverses is None
    assert Fact.model_validate_json(stored).kind is FactKind.CHARGED_BACK


@pytest.mark.parametrize(("earliest", "latest"), [(0, 0), (3, 15), (15, 15)])
def test_a_date_window_may_be_a_single_day(earliest: int, latest: int) -> None:
    window = DateWindow(earliest_days=earliest, latest_days=latest)
    assert (window.earliest_days, window.latest_days) == (earliest, latest)


@pytest.mark.parametrize(("earliest", "latest"), [(3, 2), (-1, 5), (0, -1)])
def test_an_empty_or_past_date_window_is_refused(earliest: int, latest: int) -> None:
    with pytest.raises(ValidationError):
        DateWindow(earliest_days=earliest, latest_days=latest)
