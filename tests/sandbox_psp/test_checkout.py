"""The hosted checkout, used like a customer's browser would."""

import re
import sqlite3
from decimal import Decimal
from typing import Any

import httpx
import pytest

from tests.sandbox_psp.driver import OK_CARD, Sandbox, Shop

FORM = {"holder": "Erika Mustermann", "expiry": "12/40", "cvc": "123", "action": "pay"}


def pay(shop: Shop, session: dict[str, Any], number: str = OK_CARD, **more: str) -> httpx.Response:
    return shop.http.post(session["url"], data={**FORM, "card_number": number, **more})


def now(shop: Shop, session: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = shop.get(f"/checkout_sessions/{session['id']}")
    return found


def test_paying(shop: Shop) -> None:
    session = shop.session()
    assert (session["status"], session["authorization"]) == ("open", None)
    answer = pay(shop, session)
    assert answer.status_code == 303
    back = f"https://shop.example/ok?order=a%20b&session={session['id']}"
    assert answer.headers["Location"] == back
    done = now(shop, session)
    assert done["status"] == "completed"
    assert done["authorization"]["status"] == "authorized"
    assert done["authorization"]["payment_method"] == done["payment_method"]
    assert done["payment_method"]["card"]["masked"] == "424242XXXXXX4242"
    assert shop.get("/checkout_sessions", reference=session["reference"])["data"] == [done]
    assert shop.ledger(session["reference"]) == [("authorize", Decimal("49.90"))]
    shop.wait_told(session["id"], "checkout_session.completed")
    shop.wait_told(done["authorization"]["id"], "authorization.authorized")


def test_paying_again_books_nothing(shop: Shop) -> None:
    session = shop.session()
    places = {pay(shop, session).headers["Location"] for _ in range(3)}
    assert len(places) == 1
    assert len(shop.ledger(session["reference"])) == 1
    assert "All done" in shop.http.get(session["url"]).text


def test_setup_stores_a_card_without_money(shop: Shop) -> None:
    session = shop.session(mode="setup", amount=0)
    assert pay(shop, session).status_code == 303
    done = now(shop, session)
    assert (done["status"], done["authorization"]) == ("completed", None)
    assert shop.ledger(session["reference"]) == []
    assert shop.charge(4990, done["payment_method"]["id"]).status_code == 201


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000069", "card_expired"),
        ("5555555555554444", "card_not_supported"),
    ],
)
def test_declines(shop: Shop, number: str, code: str) -> None:
    session = shop.session()
    answer = pay(shop, session, number)
    assert answer.headers["Location"] == f"https://shop.example/error?session={session['id']}"
    done = now(shop, session)
    assert (done["status"], done["failure"]["code"]) == ("failed", code)
    assert shop.ledger(session["reference"]) == []
    assert pay(shop, session).headers["Location"] == answer.headers["Location"]
    shop.wait_told(session["id"], "checkout_session.failed")


@pytest.mark.parametrize(
    ("action", "status", "booked"), [("confirm", "completed", 1), ("fail", "failed", 0)]
)
def test_three_d_secure(shop: Shop, action: str, status: str, booked: int) -> None:
    session = shop.session()
    answer = pay(shop, session, "4000 0025 0000 3155")
    assert answer.headers["Location"] == f"/checkout/{session['id']}/3ds"
    question = shop.http.get(answer.headers["Location"])
    assert 'value="confirm"' in question.text
    assert 'value="fail"' in question.text
    assert now(shop, session)["status"] == "open"
    for _ in range(2):
        end = shop.http.post(answer.headers["Location"], data={"action": action})
        place = "ok" if status == "completed" else "error"
        assert end.headers["Location"].startswith(f"https://shop.example/{place}")
    done = now(shop, session)
    assert done["status"] == status
    assert (done["failure"] or {}).get("code") == (None if booked else "authentication_failed")
    assert len(shop.ledger(session["reference"])) == booked


def test_challenge_page_without_a_challenge_leads_to_the_form(shop: Shop) -> None:
    session = shop.session()
    assert shop.http.get(f"{session['url']}/3ds").status_code == 303
    answer = shop.http.post(f"{session['url']}/3ds", data={"action": "confirm"})
    assert answer.headers["Location"] == f"/checkout/{session['id']}"
    assert now(shop, session)["status"] == "open"


def test_cancel(shop: Shop) -> None:
    session = shop.session()
    answer = shop.http.post(session["url"], data={"action": "cancel"})
    assert answer.headers["Location"] == f"https://shop.example/cancel?session={session['id']}"
    assert now(shop, session)["status"] == "cancelled"
    shop.wait_told(session["id"], "checkout_session.cancelled")


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
def test_mistyped_fields(shop: Shop, field: str, value: str, message: str) -> None:
    session = shop.session()
    typed = {**FORM, "card_number": OK_CARD, field: value}
    answer = shop.http.post(session["url"], data=typed)
    assert answer.status_code == 422
    error = re.search(rf'<p class="error" id="{field}-error" role="alert">([^<]*)</p>', answer.text)
    assert error is not None
    assert message in error[1]
    assert re.search(rf'id="{field}"[^>]*aria-describedby="{field}-error', answer.text)
    assert answer.text.count('role="alert"') == 1
    assert now(shop, session)["status"] == "open"


def test_long_year_and_typed_values_come_back_escaped(shop: Shop) -> None:
    session = shop.session(description="<b>Tea</b>", language="de-AT")
    page = pay(shop, session, "1", holder='"><script>').text
    assert "<script>" not in page
    assert "&lt;b&gt;Tea" in page
    assert 'lang="de"' in page
    assert "49,90\N{NO-BREAK SPACE}€ bezahlen" in page
    assert pay(shop, session, expiry="01/2040").status_code == 303


def test_page_is_private_and_labelled(shop: Shop) -> None:
    answer = shop.http.get(shop.session()["url"])
    assert answer.headers["Cache-Control"] == "no-store"
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "form-action" not in policy
    for name, autocomplete in (
        ("card_number", "cc-number"),
        ("holder", "cc-name"),
        ("expiry", "cc-exp"),
        ("cvc", "cc-csc"),
    ):
        assert f'<label for="{name}">' in answer.text
        assert f'name="{name}" autocomplete="{autocomplete}"' in answer.text
    assert "no real money" in answer.text
    css = shop.http.get("/static/checkout.css")
    assert css.headers["Content-Type"].startswith("text/css")


def test_expired_and_unknown_sessions(shop: Shop) -> None:
    session = shop.session()
    shop.http.post("/_control/expirations", json={"id": session["id"]}).raise_for_status()
    page = shop.http.get(session["url"])
    assert page.status_code == 410
    assert f"https://shop.example/error?session={session['id']}" in page.text
    assert pay(shop, session).headers["Location"].startswith("https://shop.example/error")
    assert shop.ledger(session["reference"]) == []
    shop.wait_told(session["id"], "checkout_session.expired")
    assert shop.http.get("/checkout/cs_unknown").status_code == 404
    assert shop.http.post("/checkout/cs_unknown", data=FORM).status_code == 404


@pytest.mark.parametrize(("mode", "amount"), [("setup", 100), ("authorize", 0)])
def test_amount_must_fit_the_mode(shop: Shop, mode: str, amount: int) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="400"):
        shop.session(mode=mode, amount=amount)


def test_card_numbers_are_kept_nowhere(shop: Shop, sandbox: Sandbox) -> None:
    number = "6011000990139424"
    pay(shop, shop.session(), number)
    shop.card(number)
    pay(shop, shop.session(), number, cvc="")
    copy = sqlite3.connect(sandbox.data / "sandbox_psp.db")
    kept = "\n".join(copy.iterdump())
    copy.close()
    assert number not in kept
    assert number not in sandbox.log.read_text()
    assert "601100XXXXXX9424" in kept
