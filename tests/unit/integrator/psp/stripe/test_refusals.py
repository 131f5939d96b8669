"""Meaning of Stripe's refusals: by code, by parameter and by message."""

import re
from typing import Any

import pytest

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.stripe import mapping
from integrator.psp.stripe.client import build_refusal
from integrator.psp.stripe.money import UNITS
from integrator.psp.stripe.refusals import MESSAGES, PARAMETERS, meaning_of_message
from integrator.psp.stripe.wire import ErrorBody, ErrorDetail, PaymentIntent, SetupIntent
from integrator.psp.types import Declined
from tests.integration.integrator.psp.stripe import objects
from tests.support.paths import ROOT

REQUEST, CARD = "invalid_request_error", "card_error"


def code_of(status: int, type: str = REQUEST, **values: Any) -> Code:  # noqa: A002
    return build_refusal(status, ErrorDetail.model_validate({"type": type, **values})).declined.code


REPORTED = [
    (
        "The provided PaymentMethod was previously used with a PaymentIntent without Customer "
        "attachment, shared with a connected account without Customer attachment, or was detached "
        "from a Customer. It may not be used again.",
        Code.BearerInvalid,
    ),
    (
        "The reusable source you provided is consumed because it was previously charged without "
        "being attached to a customer or was detached from a customer.",
        Code.BearerInvalid,
    ),
    ("To charge it again you must attach it to a Customer first.", Code.BearerInvalid),
    (
        "The customer does not have a payment method with the ID pm_1. The payment method must be "
        "attached to the customer.",
        Code.BearerInvalid,
    ),
    (
        "This customer has no attached payment source or default payment method.",
        Code.BearerInvalid,
    ),
    (
        "The type of the provided PaymentMethod (pm_1) is link. This does not match the expected "
        "type card.",
        Code.BearerInvalid,
    ),
    ("No such PaymentMethod: 'pm_1'", Code.BearerInvalid),
    ("No such customer: 'cus_1'", Code.BearerInvalid),
    (
        "This PaymentIntent requires a mandate, but no existing mandate was found.",
        Code.BearerInvalid,
    ),
    ("The mandate is inactive.", Code.BearerInvalid),
    ("This payment method is not attached to a customer.", Code.BearerInvalid),
    ("The account holder's name contains characters that are not allowed.", Code.BearerInvalid),
    (
        "The name provided in billing_details must have between 3 and 100 characters.",
        Code.BearerInvalid,
    ),
    ("Invalid account holder name.", Code.BearerInvalid),
    ("The IBAN you entered is invalid.", Code.InvalidIBAN),
    ("Refund amount (£93.90) is greater than charge amount (£54.45)", Code.InvalidAmount),
    (
        "Refund amount ($25.00) is greater than unrefunded amount on charge ($21.45)",
        Code.InvalidAmount,
    ),
    ("Charge ch_1 has already been refunded.", Code.InvalidAmount),
    ("Charge ch_1 has been charged back; cannot issue a refund.", Code.InvalidPreconditions),
    (
        "This PaymentIntent could not be captured because it has a status of canceled.",
        Code.InvalidPreconditions,
    ),
    ("Amount must be at least 50 cents", Code.InvalidAmount),
    (
        "Amount must convert to at least 50 cents. ¥5 converts to approximately $0.03.",
        Code.InvalidAmount,
    ),
    ("Invalid currency: xyz.", Code.InvalidCurrency),
    ("Your account cannot currently make live charges.", Code.InvalidConfiguration),
    (
        "All types provided are invalid. Please ensure the provided types are activated in your "
        "dashboard.",
        Code.InvalidConfiguration,
    ),
    ("Insufficient funds in Stripe account.", Code.InvalidPreconditions),
    ("Your card has expired.", Code.BearerExpired),
    ("Your card's expiration year is invalid.", Code.BearerExpired),
    (
        "You have exceeded the maximum number of declines on this card in the last 24 hours.",
        Code.LimitExceeded,
    ),
    ("Your card has insufficient funds.", Code.InsufficientBalance),
    ("Your card's security code is incorrect.", Code.BearerInvalid),
    ("Your card was declined.", Code.Rejected),
]


@pytest.mark.parametrize(("message", "code"), REPORTED)
@pytest.mark.parametrize("status", [400, 402])
def test_a_refusal_without_a_code(status: int, message: str, code: Code) -> None:
    assert code_of(status, message=message) is code
    assert code_of(status, message=message, code="brand_new_code") is code


def test_every_row_of_messages_has_a_case_and_a_source() -> None:
    for row in MESSAGES:
        assert any(re.search(row.words, message.lower()) for message, _ in REPORTED), row


def test_the_document_has_every_row() -> None:
    document = (ROOT / "docs" / "psp-stripe.md").read_text()
    rows = [
        *((row.meaning.name, row.source) for row in MESSAGES),
        *((row.meaning.name, row.source) for row in PARAMETERS),
        *((row.currencies, row.source) for row in UNITS),
    ]
    missing = [
        row
        for row in rows
        if not any(all(text in line for text in row) for line in document.splitlines())
    ]
    assert missing == []


@pytest.mark.parametrize(
    ("param", "code"),
    [
        ("amount", Code.InvalidAmount),
        ("line_items[0][price_data][unit_amount]", Code.InvalidAmount),
        ("amount_to_capture", Code.InvalidAmount),
        ("currency", Code.InvalidCurrency),
        ("payment_method_data[sepa_debit][iban]", Code.InvalidIBAN),
        ("sepa_debit[iban]", Code.InvalidIBAN),
        ("payment_method_data[billing_details][name]", Code.BearerInvalid),
        ("billing_details[name]", Code.BearerInvalid),
        ("payment_method_data[billing_details][address][country]", Code.InvalidCountry),
        ("payment_method", Code.BearerInvalid),
        ("customer", Code.BearerInvalid),
        ("line_items[0][price_data][product_data][name]", Code.InvalidData),
        ("metadata[amount_of_lemons]", Code.InvalidData),
        ("", Code.InvalidData),
    ],
)
def test_a_refusal_of_a_parameter(param: str, code: Code) -> None:
    for psp_code in (None, "parameter_invalid_empty", "brand_new_code"):
        assert code_of(400, param=param, code=psp_code, message="No.") is code


@pytest.mark.parametrize(
    ("status", "error_type", "code"),
    [(402, CARD, Code.Rejected), (402, REQUEST, Code.Rejected), (400, REQUEST, Code.InvalidData)],
)
def test_a_refusal_that_says_nothing(status: int, error_type: str, code: Code) -> None:
    assert code_of(status, error_type) is code
    assert code_of(status, error_type, code="brand_new_code", message="") is code


@pytest.mark.parametrize(
    ("psp_code", "code"),
    [
        ("invalid_owner_name", Code.BearerInvalid),
        ("card_decline_rate_limit_exceeded", Code.LimitExceeded),
        ("sepa_unsupported_account", Code.BearerInvalid),
        ("setup_intent_mandate_invalid", Code.BearerInvalid),
        ("expired_payment_method", Code.BearerExpired),
        ("payment_method_provider_timeout", Code.Rejected),
        ("refund_disputed_payment", Code.InvalidPreconditions),
        ("payment_method_currency_mismatch", Code.InvalidCurrency),
        ("capability_not_active", Code.InvalidConfiguration),
    ],
)
def test_newer_codes(psp_code: str, code: Code) -> None:
    assert code_of(400, code=psp_code) is code


def test_odd_members_of_an_error_do_not_hide_it() -> None:
    error = {"type": CARD, "code": "Not A Code", "decline_code": 5, "param": {}, "message": []}
    body = ErrorBody.model_validate({"error": {**error, "payment_intent": "pi_1"}})
    assert build_refusal(402, body.error).declined.code is Code.Rejected


def test_an_attempt_that_failed_without_a_code_is_rejected() -> None:
    error = {"type": REQUEST, "message": "It did not work."}
    intent = objects.intent("requires_payment_method", last_payment_error=error)
    outcome = mapping.payment_outcome(PaymentIntent.model_validate(intent))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.Rejected
    error["code"] = "invalid_owner_name"
    setup = {"id": "seti_1", "status": "requires_payment_method", "last_setup_error": error}
    outcome = mapping.setup_outcome(SetupIntent.model_validate(setup))
    assert isinstance(outcome, Declined)
    assert outcome.code is Code.BearerInvalid


def test_other_messages_have_no_meaning() -> None:
    for message in (None, "", "Something went wrong.", "Received unknown parameter: x"):
        assert meaning_of_message(message) is None
