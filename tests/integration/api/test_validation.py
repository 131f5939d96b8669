"""Validation of new transactions, without HTTP and without a stored transaction."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pytest

from api.context import Context
from api.errors import ApiError, ServiceUnavailable
from api.transactions.create_request import CreateRequest, RequestBody
from api.transactions.validation import check_webhook_target, validate_new
from integrator.contract import (
    PaymentErrorCode,
    PaymentRequest,
    PreauthRequest,
    RefundRequest,
    json_codec,
)
from integrator.settings import Settings
from integrator.store import Agreement, Erased, Merchant, RequestLookup
from tests.integration.api.builders import (
    MERCHANT,
    NOW,
    SETTINGS,
    UNKNOWN,
    Body,
    payment,
    preauth,
    refund,
)
from tests.integration.api.fakes import FakeAdapter
from workflows.state import PaymentState, TransactionKind

BodyModel = TypeVar("BodyModel", PreauthRequest, PaymentRequest, RefundRequest)

MERCHANT_ROW = Merchant(id=MERCHANT, psp="fake", psp_settings_id="s" * 24, created_at=NOW)
AGREEMENT = Agreement(
    merchant_id=MERCHANT,
    agreement_id="agr-1",
    role="CreditCard",
    instrument=None,
    usable=True,
    updated_at=NOW,
    transaction_id=UNKNOWN,
)
LOOKUP = RequestLookup(None, SETTINGS, AGREEMENT)


def parse(model: type[BodyModel], body: Body) -> BodyModel:
    return json_codec.parse(model, json.dumps(body).encode())


async def is_disconnected() -> bool:
    return False


@pytest.fixture
def charge(context: Context, adapter: FakeAdapter) -> CreateRequest:
    """A valid charge of an agreement."""
    body = parse(PaymentRequest, payment())
    return CreateRequest(context, MERCHANT_ROW, adapter, body, LOOKUP, is_disconnected)


async def test_a_charge_gets_its_first_state(charge: CreateRequest) -> None:
    new = await validate_new(charge)
    assert (new.kind, new.agreement_id, new.related_id) == ("payment", "agr-1", None)
    assert new.fingerprint == json_codec.fingerprint(charge.body)
    state = PaymentState.model_validate_json(new.snapshot)
    assert (state.external_id, state.due_date) == (new.external_id, None)
    assert (state.status.name, state.version) == ("Initiated", 0)


async def test_a_direct_debit_has_a_due_date(charge: CreateRequest) -> None:
    members = {"paymentMeansReference": {"role": "Debit"}, "plannedExecutionDate": "2026-02-19"}
    body = parse(PaymentRequest, payment(**members))
    lookup = replace(LOOKUP, agreement=replace(AGREEMENT, role="Debit"))
    new = await validate_new(replace(charge, body=body, lookup=lookup))
    assert PaymentState.model_validate_json(new.snapshot).due_date == date(2026, 2, 19)


async def _error(request: CreateRequest) -> ApiError:
    with pytest.raises(ApiError) as raised:
        await validate_new(request)
    return raised.value


async def test_the_checks_have_the_order_of_the_contract(charge: CreateRequest) -> None:
    """The request itself, then the settings, then the transactions it refers to."""
    body = charge.body.model_copy(update={"preauth_transaction_id": UNKNOWN})
    unsupported = payment(paymentMeansReference={"role": "iDEAL"})
    empty = RequestLookup(None)
    wrong = replace(charge, body=parse(PaymentRequest, unsupported), lookup=empty)
    assert (await _error(wrong)).code is PaymentErrorCode.InvalidData
    without_settings = replace(charge, body=body, lookup=empty)
    assert (await _error(without_settings)).code is PaymentErrorCode.InvalidConfiguration
    unknown_preauth = await _error(replace(charge, body=body))
    assert "preauthTransactionId" in unknown_preauth.message


@pytest.mark.parametrize(
    ("agreement", "expected"),
    [
        (None, "does not name an agreement"),
        (replace(AGREEMENT, role="Debit"), "is for Debit"),
        (replace(AGREEMENT, usable=False), "has succeeded"),
    ],
)
async def test_an_unusable_agreement_is_refused(
    charge: CreateRequest, agreement: Agreement | None, expected: str
) -> None:
    error = await _error(replace(charge, lookup=replace(LOOKUP, agreement=agreement)))
    assert expected in error.message
    assert not isinstance(error, ServiceUnavailable)


async def test_an_erased_agreement_is_refused(charge: CreateRequest) -> None:
    lookup = replace(LOOKUP, agreement=replace(AGREEMENT, erased=True))
    with pytest.raises(Erased):
        await validate_new(replace(charge, lookup=lookup))


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (parse(PreauthRequest, preauth()), TransactionKind.PREAUTH),
        (parse(PaymentRequest, payment()), TransactionKind.PAYMENT),
        (parse(RefundRequest, refund(UNKNOWN)), TransactionKind.REFUND),
    ],
)
def test_the_kind_follows_from_the_body(
    charge: CreateRequest, body: RequestBody, kind: TransactionKind
) -> None:
    assert replace(charge, body=body).kind is kind


@pytest.mark.parametrize(
    ("target", "changes", "allowed"),
    [
        ("https://transform.example/hooks", {}, True),
        ("http://transform.example/hooks", {}, False),
        ("https://10.0.0.1/hooks", {}, False),
        ("https://localhost/hooks", {}, False),
        ("https://transform.example/hooks", {"webhook_allowed_hosts": ("other.example",)}, False),
        ("https://other.example/hooks", {"webhook_allowed_hosts": ("other.example",)}, True),
    ],
)
def test_webhook_targets_in_production(
    tmp_path: Path, target: str, changes: dict[str, Any], allowed: bool
) -> None:
    settings = Settings(data_dir=tmp_path).model_copy(update={"profile": "production", **changes})
    if allowed:
        check_webhook_target(target, MERCHANT_ROW, settings)
    else:
        with pytest.raises(ApiError, match="webhookTarget"):
            check_webhook_target(target, MERCHANT_ROW, settings)
