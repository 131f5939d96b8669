"""The hosted checkout, used as by a customer's browser."""

import re
import sqlite3
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import VALID_CARD, MerchantClient, Sandbox

FORM = {"holder": "Erika Mustermann", "expiry": "12/40", "cvc": "123", "action": "pay"}


def submit_payment(
    merchant: MerchantClient, session: dict[str, Any], number: str = VALID_CARD, **more: str
) -> httpx.Response:
    return merchant.http.post(session["url"], data={**FORM, "card_number": number, **more})


def get_session(merchant: MerchantClient, session: dict[str, Any]) -> dict[str, Any]:
    current: dict[str, Any] = merchant.get(f"/checkout_sessions/{session['id']}")
    return current


def test_payment_completes_the_session(merchant: MerchantClient) -> None:
    session = merchant.session()
    assert (session["status"], session["authorization"]) == ("open", None)
    response = submit_payment(merchant, session)
    assert response.status_code == 303
    location = f"https://shop.example/ok?order=a%20b&session={session['id']}"
    assert response.headers["Location"] == location
    current = get_session(merchant, session)
    assert current["status"] == "completed"
    assert current["authorization"]["status"] == "authorized"
    assert current["authorization"]["payment_method"] == current["payment_method"]
    assert current["payment_method"]["card"]["masked"] == "424242XXXXXX4242"
    assert merchant.get("/checkout_sessions", reference=session["reference"])["data"] == [current]
    assert merchant.ledger(session["reference"]) == [("authorize", Decimal("49.90"))]
    merchant.wait_for_events(session["id"], "checkout_session.completed")
    merchant.wait_for_events(current["authorization"]["id"], "authorization.authorized")


def test_paying_again_books_nothing(merchant: MerchantClient) -> None:
    session = merchant.session()
    locations = {submit_payment(merchant, session).headers["Location"] for _ in range(3)}
    assert len(locations) == 1
    assert len(merchant.ledger(session["reference"])) == 1
    assert "All done" in merchant.http.get(session["url"]).text


def test_setup_stores_a_card_without_money(merchant: MerchantClient) -> None:
    session = merchant.session(mode="setup", amount=0)
    assert submit_payment(merchant, session).status_code == 303
    current = get_session(merchant, session)
    assert (current["status"], current["authorization"]) == ("completed", None)
    assert merchant.ledger(session["reference"]) == []
    assert merchant.charge(4990, current["payment_method"]["id"]).status_code == 201


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000069", "card_expired"),
        ("5555555555554444", "card_not_supported"),
    ],
)
def test_a_declined_card_fails_the_session(
    merchant: MerchantClient, number: str, code: str
) -> None:
    session = merchant.session()
    response = submit_payment(merchant, session, number)
    assert response.headers["Location"] == f"https://shop.example/error?session={session['id']}"
    current = get_session(merchant, session)
    assert (current["status"], current["failure"]["code"]) == ("failed", code)
    assert merchant.ledger(session["reference"]) == []
    assert submit_payment(merchant, session).headers["Location"] == response.headers["Location"]
    merchant.wait_for_events(session["id"], "checkout_session.failed")


@pytest.mark.parametrize(
    ("action", "status", "booked"), [("confirm", "completed", 1), ("fail", "failed", 0)]
)
def test_three_d_secure(merchant: MerchantClient, action: str, status: str, booked: int) -> None:
    session = merchant.session()
    response = submit_payment(merchant, session, "4000 0025 0000 3155")
    assert response.headers["Location"] == f"/checkout/{session['id']}/3ds"
    challenge = merchant.http.get(response.headers["Location"])
    assert 'value="confirm"' in challenge.text
    assert 'value="fail"' in challenge.text
    assert get_session(merchant, session)["status"] == "open"
    for _ in range(2):
        end = merchant.http.post(response.headers["Location"], data={"action": action})
        place = "ok" if status == "completed" else "error"
        assert end.headers["Location"].startswith(f"https://shop.example/{place}")
    current = get_session(merchant, session)
    assert current["status"] == status
    assert (current["failure"] or {}).get("code") == (None if booked else "authentication_failed")
    assert len(merchant.ledger(session["reference"])) == booked


def test_challenge_page_without_a_challenge_redirects_to_the_form(merchant: MerchantClient) -> None:
    session = merchant.session()
    assert merchant.http.get(f"{session['url']}/3ds").status_code == 303
    response = merchant.http.post(f"{session['url']}/3ds", data={"action": "confirm"})
    assert response.headers["Location"] == f"/checkout/{session['id']}"
    assert get_session(merchant, session)["status"] == "open"


def test_cancel_returns_to_the_cancel_url(merchant: MerchantClient) -> None:
    session = merchant.session()
    response = merchant.http.post(session["url"], data={"action": "cancel"})
    assert response.headers["Location"] == f"https://shop.example/cancel?session={session['id']}"
    assert get_session(merchant, session)["status"] == "cancelled"
    merchant.wait_for_events(session["id"], "checkout_session.cancelled")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("card_number", "4242424242424241", "not valid"),
        ("card_number", "", "not valid"),
        ("holder", " ", "name on the card"),
        ("expiry", "12/20", "has expired"),
        ("expiry", "13/40", "as MM/YY"),
        ("cvc", "", "enter the security code"),
        ("cvc", "12a", "3 or 4 digits."),
    ],
)
def test_invalid_fields_show_their_error(
    merchant: MerchantClient, field: str, value: str, message: str
) -> None:
    session = merchant.session()
    typed = {**FORM, "card_number": VALID_CARD, field: value}
    response = merchant.http.post(session["url"], data=typed)
    assert response.status_code == 422
    error = re.search(
        rf'<p class="error" id="{field}-error" role="alert">([^<]*)</p>', response.text
    )
    assert error is not None
    assert message in error[1]
    assert re.search(rf'id="{field}"[^>]*aria-describedby="{field}-error', response.text)
    assert response.text.count('role="alert"') == 1
    assert get_session(merchant, session)["status"] == "open"


def test_long_year_is_accepted_and_values_are_escaped(merchant: MerchantClient) -> None:
    session = merchant.session(description="<b>Tea</b>", language="de-AT")
    page = submit_payment(merchant, session, "1", holder='"><script>').text
    assert "<script>" not in page
    assert "&lt;b&gt;Tea" in page
    assert 'lang="de"' in page
    assert "49,90\N{NO-BREAK SPACE}€ bezahlen" in page
    assert submit_payment(merchant, session, expiry="01/2040").status_code == 303


def test_page_is_private_and_labelled(merchant: MerchantClient) -> None:
    response = merchant.http.get(merchant.session()["url"])
    assert response.headers["Cache-Control"] == "no-store"
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action" not in policy
    for name, autocomplete in (
        ("card_number", "cc-number"),
        ("holder", "cc-name"),
        ("expiry", "cc-exp"),
        ("cvc", "cc-csc"),
    ):
        assert f'<label for="{name}">' in response.text
        assert f'name="{name}" autocomplete="{autocomplete}"' in response.text
    assert "no real money" in response.text
    css = merchant.http.get("/static/checkout.css")
    assert css.headers["Content-Type"].startswith("text/css")


def test_expired_and_unknown_sessions(merchant: MerchantClient) -> None:
    session = merchant.session()
    merchant.http.post("/_control/expirations", json={"id": session["id"]}).raise_for_status()
    page = merchant.http.get(session["url"])
    assert page.status_code == 410
    assert f"https://shop.example/error?session={session['id']}" in page.text
    assert (
        submit_payment(merchant, session)
        .headers["Location"]
        .startswith("https://shop.example/error")
    )
    assert merchant.ledger(session["reference"]) == []
    merchant.wait_for_events(session["id"], "checkout_session.expired")
    assert merchant.http.get("/checkout/cs_unknown").status_code == 404
    assert merchant.http.post("/checkout/cs_unknown", data=FORM).status_code == 404


@pytest.mark.parametrize(("mode", "amount"), [("setup", 100), ("authorize", 0)])
def test_amount_must_fit_the_mode(merchant: MerchantClient, mode: str, amount: int) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        merchant.session(mode=mode, amount=amount)


def test_card_numbers_are_never_stored(merchant: MerchantClient, sandbox: Sandbox) -> None:
    number = "6011000990139424"
    submit_payment(merchant, merchant.session(), number)
    merchant.card(number)
    submit_payment(merchant, merchant.session(), number, cvc="")
    database = sqlite3.connect(sandbox.data / "sandbox_psp.db")
    dump = "\n".join(database.iterdump())
    database.close()
    assert number not in dump
    assert number not in sandbox.log.read_text()
    assert "601100XXXXXX9424" in dump
