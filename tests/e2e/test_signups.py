"""Sign-ups at the checkout page and by IBAN, as their customers end them."""

import pytest

from tests.e2e.platform import CARD, HANG_SECONDS, World, announcement, assert_same_books, outcome
from tests.e2e.sandbox import decoded
from tests.e2e.scenarios import SIGN_UPS, Background
from tests.support.billwerk import RETURN_URLS, new_id, pay_at_checkout

pytestmark = pytest.mark.e2e

WAYS_BACK = {
    "ok": RETURN_URLS["successReturnUrl"] + "&session=",
    "error": RETURN_URLS["errorReturnUrl"] + "?session=",
    "abort": RETURN_URLS["abortReturnUrl"] + "?session=",
    "3ds": "/checkout/",
    "": "",
}


@pytest.mark.parametrize("name", SIGN_UPS)
def test_a_sign_up_ends_by_notification_alone(background: Background, name: str) -> None:
    expected = SIGN_UPS[name]
    seen, led_to = background.sign_ups[name].result(HANG_SECONDS)
    assert (seen.first, seen.last) == ("Initiated", expected.last)
    assert led_to.startswith(WAYS_BACK[expected.leads_to])
    assert seen.webhooks == [announcement("preauth", seen.id)] * expected.webhooks
    assert seen.booked == ["authorize"] * expected.booked
    assert_same_books(seen, "preauth")


def test_a_sign_up_that_was_left_open_still_leads_to_the_page(background: Background) -> None:
    seen, _ = background.sign_ups["abandoned"].result(HANG_SECONDS)
    assert seen.body["redirectUrl"] == seen.answer.json()["redirectUrl"]


def test_finalize_tells_how_the_redirect_ended_and_one_webhook_follows(world: World) -> None:
    body = world.billwerk.preauth(new_id())
    opened = world.billwerk.post("Preauth", body)
    pay_at_checkout(opened.json()["redirectUrl"], CARD)
    finalized = world.billwerk.finalize(body["transactionId"])
    assert outcome(finalized) == "Succeeded"
    seen = world.seen("Preauth", body, finalized)
    assert seen.later.content == finalized.content
    assert world.billwerk.finalize(seen.id).content == finalized.content
    assert seen.body["bearer"]["Last4"] == "4242"
    assert seen.webhooks == [announcement("preauth", seen.id)]
    assert_same_books(seen, "preauth")


def test_finalize_before_the_customer_has_paid_changes_nothing(world: World) -> None:
    body = world.billwerk.preauth(new_id())
    opened = world.billwerk.post("Preauth", body)
    assert outcome(world.billwerk.finalize(body["transactionId"])) == "Initiated"
    pay_at_checkout(opened.json()["redirectUrl"], CARD)
    assert outcome(world.billwerk.finalize(body["transactionId"])) == "Succeeded"


def test_a_declined_sign_up_is_an_error_at_finalize_and_leaves_no_agreement(world: World) -> None:
    body = world.billwerk.preauth(new_id())
    opened = world.billwerk.post("Preauth", body)
    pay_at_checkout(opened.json()["redirectUrl"], "4000000000000002")
    finalized = world.billwerk.finalize(body["transactionId"])
    assert (finalized.status_code, outcome(finalized)) == (422, "Rejected")
    payment = world.billwerk.payment(body["agreementId"], "10.00")
    assert outcome(world.billwerk.post("Payment", payment)) == "InvalidPreconditions"
    assert world.psp.ledger(payment["transactionId"]) == []


def test_a_sign_up_for_nothing_stores_a_card_to_charge_later(world: World) -> None:
    body = world.authorized("0")
    answer = decoded(world.billwerk.get("Preauth", body["transactionId"]))
    assert (answer["status"], answer["authorizedAmount"]) == ("Succeeded", 0)
    assert answer["bearer"]["MaskedCardPan"] == "424242XXXXXX4242"
    assert world.psp.ledger(body["transactionId"]) == []
    charged = world.billwerk.post("Payment", world.billwerk.payment(body["agreementId"], "5.00"))
    assert outcome(charged) == "Succeeded"


def test_an_upgrade_reserves_without_the_customer(world: World) -> None:
    body = world.billwerk.preauth(world.agreements[CARD], isInitial=False, requestedAmount="30.00")
    seen = world.play("Preauth", body)
    assert (seen.first, seen.last) == ("Succeeded", "Succeeded")
    assert seen.body["bearer"]["Last4"] == "4242"
    assert "expiresAt" in seen.body
    assert seen.webhooks == []
    assert_same_books(seen, "preauth")
    captured = world.billwerk.post("Payment", world.capture(body, "30.00"))
    assert outcome(captured) == "Succeeded"


def test_a_migrated_customer_can_be_charged_without_a_checkout(world: World) -> None:
    token = world.psp.store_card(CARD)
    body = world.billwerk.preauth(new_id(), migrationToken=token)
    seen = world.play("Preauth", body)
    assert (seen.first, seen.last) == ("Succeeded", "Succeeded")
    assert (seen.body["authorizedAmount"], seen.ledger, seen.webhooks) == (0, [], [])
    assert "redirectUrl" not in seen.body
    charged = world.billwerk.post("Payment", world.billwerk.payment(body["agreementId"], "5.00"))
    assert outcome(charged) == "Succeeded"


def test_a_migrated_card_of_another_currency_is_refused(world: World) -> None:
    token = world.psp.store_card(CARD, currency="DKK")
    answer = world.billwerk.post("Preauth", world.billwerk.preauth(new_id(), migrationToken=token))
    assert (answer.status_code, outcome(answer)) == (422, "InvalidCurrency")


def test_a_migration_token_the_psp_does_not_know_is_refused(world: World) -> None:
    body = world.billwerk.preauth(new_id(), migrationToken="pm_unknown")
    answer = world.billwerk.post("Preauth", body)
    assert (answer.status_code, outcome(answer)) == (422, "InvalidData")


@pytest.mark.parametrize("iban", ["DE00370400440532013000", "DE8937040044053201300", "nonsense"])
def test_an_invalid_iban_is_refused_at_once_and_nothing_is_kept(world: World, iban: str) -> None:
    body = world.billwerk.debit_preauth(new_id(), iban)
    answer = world.billwerk.post("Preauth", body)
    assert answer.status_code == 422
    assert outcome(answer) in ("InvalidIBAN", "BearerInvalid")
    assert world.billwerk.get("Preauth", body["transactionId"]).status_code == 404
    assert world.billwerk.received(body["transactionId"]) == []
    assert world.psp.ledger(body["transactionId"]) == []
