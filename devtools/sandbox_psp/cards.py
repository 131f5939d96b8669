"""Cards: test numbers, validation of the card form, and the details that may be stored."""

import re
from dataclasses import dataclass, field
from datetime import date

from stdnum import luhn

from devtools.sandbox_psp.models import CardDetails, Failure

THREE_D_SECURE = "4000002500003155"
AUTHENTICATION_FAILED = Failure(
    code="authentication_failed", message="The cardholder could not be authenticated."
)
_NOT_SUPPORTED = Failure(code="card_not_supported", message="This card is not supported.")
_TEST_CARD_DECLINES: dict[str, Failure | None] = {
    "4242424242424242": None,
    THREE_D_SECURE: None,
    "4000000000000002": Failure(code="card_declined", message="The card was declined."),
    "4000000000009995": Failure(
        code="insufficient_funds", message="The card has insufficient funds."
    ),
    "4000000000000069": Failure(code="card_expired", message="The card has expired."),
}
TEST_CARDS = tuple(_TEST_CARD_DECLINES)
_BRANDS = (
    ("visa", r"4"),
    ("mastercard", r"5[1-5]|2[2-7]"),
    ("amex", r"3[47]"),
)


@dataclass(frozen=True)
class Card:
    """A card as entered. The number is never stored; `details()` returns what may be kept."""

    number: str = field(repr=False)
    holder: str
    month: int
    year: int

    def details(self) -> CardDetails:
        """Return the card without its number."""
        return CardDetails(
            brand=brand(self.number),
            country="DE",
            exp_month=f"{self.month:02}",
            exp_year=str(self.year),
            holder=self.holder,
            last4=self.number[-4:],
            masked=f"{self.number[:6]}{'X' * (len(self.number) - 10)}{self.number[-4:]}",
        )

    def decline(self) -> Failure | None:
        """Return the issuer's reason for declining a payment, None if it pays."""
        return _TEST_CARD_DECLINES.get(self.number, _NOT_SUPPORTED)


def brand(number: str) -> str:
    """Return the card scheme, `card` for an unknown one."""
    return next((name for name, start in _BRANDS if re.match(start, number)), "card")


def parse_number(text: str) -> str | None:
    """Return the digits of a well-formed card number (12 to 19, Luhn), None for anything else."""
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(r"[0-9]{12,19}", digits) or not luhn.is_valid(digits):
        return None
    return digits


def parse_expiry(text: str) -> tuple[int, int] | None:
    """Return (month, year) of `MM/YY` or `MM/YYYY`, None for anything else."""
    match = re.fullmatch(r"\s*(0?[1-9]|1[0-2])\s*/\s*([0-9]{2}|20[0-9]{2})\s*", text)
    if match is None:
        return None
    year = int(match[2])
    return int(match[1]), year if year > 99 else 2000 + year


def parse_form(form: dict[str, str], today: date) -> tuple[Card | None, dict[str, str]]:
    """Return the entered card, or None and for each invalid field the key of its error message."""
    number = parse_number(form.get("card_number", ""))
    expiry = parse_expiry(form.get("expiry", ""))
    holder = " ".join(form.get("holder", "").split())
    errors = {
        "card_number": None if number else "card_number_invalid",
        "holder": None if holder else "holder_missing",
        "expiry": _expiry_error(expiry, today),
        "cvc": _cvc_error(form.get("cvc", "")),
    }
    invalid_fields = {name: key for name, key in errors.items() if key is not None}
    if invalid_fields or number is None or expiry is None:
        return None, invalid_fields
    return Card(number, holder, *expiry), {}


def _expiry_error(expiry: tuple[int, int] | None, today: date) -> str | None:
    if expiry is None:
        return "expiry_invalid"
    month, year = expiry
    return "expiry_past" if (year, month) < (today.year, today.month) else None


def _cvc_error(cvc: str) -> str | None:
    if not cvc.strip():
        return "cvc_missing"
    return None if re.fullmatch(r"[0-9]{3,4}", cvc.strip()) else "cvc_invalid"
