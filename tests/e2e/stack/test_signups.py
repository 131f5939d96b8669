"""Test sign-ups at the checkout page and by IBAN."""

import pytest

from tests.e2e.stack.environment import (
    CARD,
    TIMEOUT_SECONDS,
    Environment,
    announcement,
    assert_ledgers_match,
    outcome,
)
from tests.e2e.stack.sandbox import decoded
from tests.e2e.stack.scenarios import SIGN_UPS, Background
from tests.support.billwerk import RETURN_URLS, new_id, submit_checkout

pytestmark = pytest.mark.e2e

WAYS_BACK = {
    "ok": RETURN_URLS["successReturnUrl"] + "&session=",
    "error": RETURN_URLS["errorReturnUrl"] + "?session=",
    "abort": RETURN_URLS["abortReturnUrl"] + "?session=",
    "3ds": "/checkout/",
    "": "",
}


@pytest.mark.parametrize("name", SIGN_UPS)
def test_a_sign_up_is_decided_by_notification_alone(background: Background, name: str) -> None:
    expected = SIGN_UPS[name]
    result, return_url = background.sign_ups[name].result(TIMEOUT_SECONDS)
    assert (result.first, result.last) == ("Initiated", expected.last)
    assert return_url.startswith(WAYS_BACK[expected.leads_to])
    assert result.webhooks == [announcement("preauth", result.id)] * expected.webhooks
    assert result.booked == ["authorize"] * expected.booked
    assert_ledgers_match(result, "preauth")


def test_an_abandoned_sign_up_still_returns_its_redirect(background: Background) -> None:
    result, _ = background.sign_ups["abandoned"].result(TIMEOUT_SECONDS)
    assert result.body["redirectUrl"] == result.answer.json()["redirectUrl"]


def test_finalize_returns_the_redirects_result_and_one_webhook_follows(
    environment: Environment,
) -> None:
    body = environment.billwerk.preauth(new_id())
    opened = environment.billwerk.post("Preauth", body)
    submit_checkout(opened.json()["redirectUrl"], CARD)
    finalized = environment.billwerk.finalize(body["transactionId"])
    assert outcome(finalized) == "Succeeded"
    result = environment.seen("Preauth", body, finalized)
    assert result.later.content == finalized.content
    assert environment.billwerk.finalize(result.id).content == finalized.content
    assert result.body["bearer"]["Last4"] == "4242"
    assert result.webhooks == [announcement("preauth", result.id)]
    assert_ledgers_match(result, "preauth")


def test_finalize_before_the_customer_has_paid_changes_nothing(environment: Environment) -> None:
    body = environment.billwerk.preauth(new_id())
    opened = environment.billwerk.post("Preauth", body)
    assert outcome(environment.billwerk.finalize(body["transactionId"])) == "Initiated"
    submit_checkout(opened.json()["redirectUrl"], CARD)
    assert outcome(environment.billwerk.finalize(body["transactionId"])) == "Succeeded"


def test_a_declined_sign_up_is_an_error_at_finalize_and_leaves_no_agreement(
    environment: Environment,
) -> None:
    body = environment.billwerk.preauth(new_id())
    opened = environment.billwerk.post("Preauth", body)
    submit_checkout(opened.json()["redirectUrl"], "4000000000000002")
    finalized = environment.billwerk.finalize(body["transactionId"])
    assert (finalized.status_code, outcome(finalized)) == (422, "Rejected")
    payment = environment.billwerk.payment(body["agreementId"], "10.00")
    assert outcome(environment.billwerk.post("Payment", payment)) == "InvalidPreconditions"
    assert environment.psp.ledger(payment["transactionId"]) == []


def test_a_sign_up_of_zero_stores_a_card_to_charge_later(environment: Environment) -> None:
    body = environment.authorized("0")
    answer = decoded(environment.billwerk.get("Preauth", body["transactionId"]))
    assert (answer["status"], answer["authorizedAmount"]) == ("Succeeded", 0)
    assert answer["bearer"]["MaskedCardPan"] == "424242XXXXXX4242"
    assert environment.psp.ledger(body["transactionId"]) == []
    charged = environment.billwerk.post(
        "Payment", environment.billwerk.payment(body["agreementId"], "5.00")
    )
    assert outcome(charged) == "Succeeded"


def test_an_upgrade_reserves_without_the_customer(environment: Environment) -> None:
    body = environment.billwerk.preauth(
        environment.agreements[CARD], isInitial=False, requestedAmount="30.00"
    )
    result = environment.play("Preauth", body)
    assert (result.first, result.last) == ("Succeeded", "Succeeded")
    assert result.body["bearer"]["Last4"] == "4242"
    assert "expiresAt" in result.body
    assert result.webhooks == []
    assert_ledgers_match(result, "preauth")
    captured = environment.billwerk.post("Payment", environment.capture(body, "30.00"))
    assert outcome(captured) == "Succeeded"


def test_a_migrated_customer_can_be_charged_without_a_checkout(environment: Environment) -> None:
    token = environment.psp.store_card(CARD)
    body = environment.billwerk.preauth(new_id(), migrationToken=token)
    result = environment.play("Preauth", body)
    assert (result.first, result.last) == ("Succeeded", "Succeeded")
    assert (result.body["authorizedAmount"], result.ledger, result.webhooks) == (0, [], [])
    assert "redirectUrl" not in result.body
    charged = environment.billwerk.post(
        "Payment", environment.billwerk.payment(body["agreementId"], "5.00")
    )
    assert outcome(charged) == "Succeeded"


def test_a_migrated_card_of_another_currency_is_refused(environment: Environment) -> None:
    token = environment.psp.store_card(CARD, currency="DKK")
    answer = environment.billwerk.post(
        "Preauth", environment.billwerk.preauth(new_id(), migrationToken=token)
    )
    assert (answer.status_code, outcome(answer)) == (422, "InvalidCurrency")


def test_an_unknown_migration_token_is_refused(environment: Environment) -> None:
    body = environment.billwerk.preauth(new_id(), migrationToken="pm_unknown")
    answer = environment.billwerk.post("Preauth", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidData")


@pytest.mark.parametrize("iban", ["DE00370400440532013000", "DE8937040044053201300", "nonsense"])
def test_an_invalid_iban_is_refused_and_nothing_is_stored(
    environment: Environment, iban: str
) -> None:
    body = environment.billwerk.debit_preauth(new_id(), iban)
    answer = environment.billwerk.post("Preauth", body)
    assert answer.status_code == 422
    assert outcome(answer) in ("InvalidIBAN", "BearerInvalid")
    assert environment.billwerk.get("Preauth", body["transactionId"]).status_code == 404
    assert environment.billwerk.webhooks_of(body["transactionId"]) == []
    assert environment.psp.ledger(body["transactionId"]) == []
