"""Test the adapters' requests, built from the contract's example requests."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from activities import psp_requests
from integrator.contract import PaymentRequest, PreauthRequest
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.contract.requests import PayerData
from integrator.psp.types import (
    Address,
    Call,
    DateWindow,
    Instrument,
    Payer,
)
from integrator.store import TransactionRow
from tests.integration.activities.conftest import NOW, call, stored

SENT_AT = datetime(2026, 2, 15, 9, tzinfo=UTC)
CARD = Instrument(token={"payment_method": "pm_1"}, bearer={"Last4": "1111"})


def row(request: dict[str, Any], role: str = "CreditCard") -> TransactionRow:
    means = request.get("paymentMeansReference", {})
    return TransactionRow(
        merchant_id="demo",
        transaction_id=request["transactionId"],
        kind="payment",
        fingerprint="f",
        external_id="e",
        agreement_id=request.get("agreementId"),
        related_id=None,
        psp="fake",
        psp_settings_id="s",
        role=means.get("role", role),
        currency=request["currency"],
        requested_amount=Decimal(request["requestedAmount"]),
        private=None,
        psp_transaction_id=None,
        psp_session_id=None,
        status="Initiated",
        version=0,
        snapshot="{}",
        evidence=None,
        created_at=NOW,
        updated_at=NOW,
        told_at=None,
    )


def arguments(
    name: str, model: type[PreauthRequest] | type[PaymentRequest]
) -> tuple[Any, Any, Any]:
    request = stored(model, name)
    return call(request["transactionId"], idempotency_key="key-1"), row(request), request


def test_a_direct_debit_sign_up_passes_the_typed_bearer_and_the_payer() -> None:
    built = psp_requests.authorize(*arguments("e04_request", PreauthRequest), None)
    assert built.initial
    assert built.role is Role.Debit
    assert built.initial_bearer == {"Holder": "Mia Kern", "IBAN": "DE89370400440532013000"}
    assert built.payer == Payer(
        name="Mia Kern",
        email="mia.kern@example.org",
        language="de",
        country="DE",
        address=Address(line1="Lindenweg 4a", postal_code="60311", city="Frankfurt am Main"),
    )


def test_a_card_sign_up_passes_the_return_urls_unchanged() -> None:
    built = psp_requests.authorize(*arguments("e05_request", PreauthRequest), None)
    assert built.success_url == "https://shop.example/ok?trx=a02"
    assert built.error_url == "https://shop.example/error?trx=a02"
    assert built.abort_url == "https://shop.example/abort?trx=a02"
    assert (built.initial_bearer, built.instrument, built.migration_token) == (None, None, None)
    assert built.text == "20260115-65a7f1c2c2d3e4f506172a02 Pro plan PQRST"


def test_an_upgrade_passes_the_agreements_instrument() -> None:
    built = psp_requests.authorize(*arguments("e07_request", PreauthRequest), CARD)
    assert not built.initial
    assert built.instrument == CARD


def test_a_migration_passes_its_token() -> None:
    psp_call, stored_row, request = arguments("e05_request", PreauthRequest)
    built = psp_requests.authorize(
        psp_call, stored_row, request | {"migrationToken": "cus_9"}, None
    )
    assert built.migration_token == "cus_9"


def test_a_direct_debit_is_executed_on_its_day() -> None:
    built = psp_requests.charge(*arguments("e10_request", PaymentRequest), CARD, None, SENT_AT)
    assert (built.role, built.execute_on) == (Role.Debit, date(2026, 2, 19))
    assert built.instrument == CARD


@pytest.mark.parametrize("role", [Role.Autogiro, Role.Betalingsservice, Role.Avtalegiro])
def test_every_direct_debit_keeps_its_day(role: Role) -> None:
    psp_call, stored_row, request = arguments("e10_request", PaymentRequest)
    debit = replace(stored_row, role=role.name)
    built = psp_requests.charge(psp_call, debit, request, CARD, None, SENT_AT)
    assert built.execute_on == date(2026, 2, 19)


@pytest.mark.parametrize(
    ("window", "sent"),
    [
        (DateWindow(earliest_days=0, latest_days=0), None),
        (DateWindow(earliest_days=5, latest_days=10), None),
        (DateWindow(earliest_days=4, latest_days=4), date(2026, 2, 19)),
    ],
)
def test_a_debit_is_sent_with_a_day_that_the_psp_takes(
    window: DateWindow, sent: date | None
) -> None:
    built = psp_requests.charge(*arguments("e10_request", PaymentRequest), CARD, window, SENT_AT)
    assert built.execute_on == sent


def test_a_card_is_charged_immediately_despite_a_planned_date() -> None:
    psp_call, stored_row, request = arguments("e12_request", PaymentRequest)
    planned = request | {"plannedExecutionDate": "2026-02-19"}
    assert (
        psp_requests.charge(psp_call, stored_row, planned, CARD, None, SENT_AT).execute_on is None
    )


def test_a_capture_names_the_reservation() -> None:
    psp_call, stored_row, _ = arguments("e09_request", PaymentRequest)
    assert psp_requests.capture(psp_call, stored_row, "auth_1").authorization_id == "auth_1"


def test_a_refund_names_the_payment() -> None:
    psp_call, stored_row, _ = arguments("e09_request", PaymentRequest)
    assert psp_requests.refund(psp_call, stored_row, "ch_1").payment_psp_id == "ch_1"


def test_a_void_names_its_target() -> None:
    psp_call, stored_row, _ = arguments("e05_request", PreauthRequest)
    assert psp_requests.void(psp_call, stored_row, "auth_1").authorization_id == "auth_1"


BUILDERS: list[Callable[[], Call]] = [
    lambda: psp_requests.authorize(*arguments("e05_request", PreauthRequest), None),
    lambda: psp_requests.charge(*arguments("e12_request", PaymentRequest), CARD, None, SENT_AT),
    lambda: psp_requests.capture(*arguments("e09_request", PaymentRequest)[:2], "auth_1"),
    lambda: psp_requests.refund(*arguments("e09_request", PaymentRequest)[:2], "ch_1"),
    lambda: psp_requests.void(*arguments("e05_request", PreauthRequest)[:2], "auth_1"),
]
AMOUNTS = ["119.00", "11.11", "119.00", "119.00", "119.00"]


@pytest.mark.parametrize(("build", "amount"), list(zip(BUILDERS, AMOUNTS, strict=True)))
def test_every_operation_carries_key_reference_and_exact_money(
    build: Callable[[], Call], amount: str
) -> None:
    built = build()
    assert built.idempotency_key == "key-1"
    assert built.reference.startswith("2026")
    assert (str(built.amount), built.currency, built.role) == (amount, "EUR", Role.CreditCard)


@pytest.mark.parametrize("psp_id", [None, "ch_1"])
def test_a_look_up_contains_reference_and_psp_id(psp_id: str | None) -> None:
    _call, stored_row, _ = arguments("e10_request", PaymentRequest)
    built = psp_requests.lookup(stored_row, psp_id, stored_row.transaction_id, "auth_1")
    assert (built.reference, built.psp_id) == (stored_row.transaction_id, psp_id)
    assert (built.currency, built.role) == ("EUR", Role.Debit)
    assert (built.parent_psp_id, built.created_at) == ("auth_1", NOW)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ({"companyName": "Nordlicht GmbH", "firstName": "Mia"}, "Nordlicht GmbH"),
        ({"firstName": "Mia", "lastName": "Kern"}, "Mia Kern"),
        ({"lastName": "Kern"}, "Kern"),
        ({}, None),
    ],
)
def test_a_payer_is_a_company_or_a_person(data: dict[str, str], name: str | None) -> None:
    assert psp_requests.payer(PayerData.model_validate(data)).name == name


def test_a_missing_payer_is_empty() -> None:
    assert psp_requests.payer(None) == Payer()


@pytest.mark.parametrize(
    ("data", "company"),
    [
        ({"companyName": " Nordlicht & Söhne GmbH "}, "Nordlicht & Söhne GmbH"),
        ({"companyName": "  ", "firstName": "Mia"}, None),
        ({"firstName": "Mia"}, None),
    ],
)
def test_a_company_keeps_its_name_and_a_blank_one_is_none(
    data: dict[str, str], company: str | None
) -> None:
    assert psp_requests.payer(PayerData.model_validate(data)).company_name == company


@pytest.mark.parametrize(
    ("data", "address"),
    [
        (
            {"street": "Lindenweg", "houseNumber": "7", "postalCode": "20095", "city": "Hamburg"},
            Address(line1="Lindenweg 7", postal_code="20095", city="Hamburg"),
        ),
        (
            {"addressLine1": "c/o Kern", "addressLine2": "Hof 2", "street": "Lindenweg"},
            Address(line1="c/o Kern", line2="Hof 2"),
        ),
        ({"street": "Lindenweg", "houseNumber": None}, Address(line1="Lindenweg")),
        ({"street": " ", "city": "", "state": " ZH "}, Address(state="ZH")),
        ({}, Address()),
    ],
)
def test_an_address_has_no_blank_members(data: dict[str, str | None], address: Address) -> None:
    built = psp_requests.payer(PayerData.model_validate({"address": {**data, "country": "CH"}}))
    assert (built.address, built.country) == (address, "CH")


@pytest.mark.parametrize("blank", ["", " ", "\t\n", "\u00a0", None])
def test_blank_members_of_a_payer_are_missing(blank: str | None) -> None:
    names = ("companyName", "firstName", "lastName", "emailAddress", "language")
    parts = ("addressLine1", "addressLine2", "street", "houseNumber", "postalCode", "city")
    address = dict.fromkeys((*parts, "state", "country"), blank)
    data = dict.fromkeys(names, blank) | {"address": address}
    assert psp_requests.payer(PayerData.model_validate(data)) == Payer()


def test_a_payer_is_trimmed_and_has_codes_in_their_usual_case() -> None:
    data = {
        "companyName": "  ",
        "firstName": " Mia ",
        "lastName": " Kern",
        "emailAddress": " mia@example.org ",
        "language": " DE ",
        "address": {"country": " ch ", "street": " ", "houseNumber": " 4a "},
    }
    assert psp_requests.payer(PayerData.model_validate(data)) == Payer(
        name="Mia Kern",
        email="mia@example.org",
        language="de",
        country="CH",
        address=Address(line1="4a"),
    )


def test_an_address_is_not_shown_in_reprs() -> None:
    data = {"address": {"street": "Lindenweg", "city": "Hamburg"}}
    assert "Hamburg" not in repr(psp_requests.payer(PayerData.model_validate(data)))


def test_payment_data_is_not_shown_in_reprs() -> None:
    built = psp_requests.authorize(*arguments("e04_request", PreauthRequest), CARD)
    assert "DE89370400440532013000" not in repr(built)
    assert "pm_1" not in repr(built)
