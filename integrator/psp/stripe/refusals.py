"""Meaning of refusals for which Stripe sends no code, or one without a meaning of its own.

Such a refusal names a parameter, or only has a message. Messages may be reworded at any time, so
that one that is not recognised has the general meaning of its status: Rejected for a 402, the data
of the request for a 400.
"""

import re
from typing import NamedTuple

from integrator.contract.enums import PaymentErrorCode as Code

_API = "https://docs.stripe.com/api/"
_GITHUB = "https://github.com/"


class MessageRow(NamedTuple):
    """Words of a message, in any case, with their meaning and where they were reported."""

    words: str
    meaning: Code
    source: str


class ParameterRow(NamedTuple):
    """Last members of a parameter's name, with the meaning of its refusal and the source."""

    members: tuple[str, ...]
    meaning: Code
    source: str


# The first row that fits counts.
MESSAGES = (
    MessageRow(
        r"\bdetached\b|previously (used|charged) with|may not be used again",
        Code.BearerInvalid,
        f"{_GITHUB}kurozumi/stripe-eccube-plugin/issues/21",
    ),
    MessageRow(
        r"is consumed because|must attach it to a customer first",
        Code.BearerInvalid,
        f"{_GITHUB}mage2pro/stripe/issues/82",
    ),
    MessageRow(
        r"does not have a payment method with the id|must be attached to"
        r"|not attached to a customer",
        Code.BearerInvalid,
        f"{_GITHUB}getlago/lago-api/pull/3826",
    ),
    MessageRow(
        r"no attached payment source|no active card",
        Code.BearerInvalid,
        f"{_GITHUB}clojurewerkz/elephant/issues/14",
    ),
    MessageRow(
        r"does not match the expected type",
        Code.BearerInvalid,
        f"{_GITHUB}woocommerce/woocommerce-gateway-stripe/pull/3311",
    ),
    MessageRow(
        r"no such (payment_?\s?method|customer|source|mandate)",
        Code.BearerInvalid,
        "https://docs.stripe.com/error-codes#resource-missing",
    ),
    MessageRow(
        r"requires a mandate"
        r"|mandate\b.*\b(inactive|not active|revoked|cancell?ed|invalid|not found)",
        Code.BearerInvalid,
        f"{_GITHUB}polarsource/polar/issues/8296",
    ),
    MessageRow(
        r"name provided in billing_details|(invalid|refused) .*\bname\b|\bname\b.*\bcharacters\b"
        r"|\b(owner|holder)('s)? name",
        Code.BearerInvalid,
        f"{_GITHUB}stripe/openapi/issues/144",
    ),
    MessageRow(
        r"\biban\b.*(invalid|not valid|incorrect)|(invalid|incorrect)\b.*\biban\b",
        Code.InvalidIBAN,
        "https://docs.stripe.com/error-codes#invalid-bank-account-iban",
    ),
    MessageRow(
        r"refund amount .* is greater than|greater than unrefunded amount",
        Code.InvalidAmount,
        f"{_GITHUB}woocommerce/woocommerce-gateway-stripe/issues/1315",
    ),
    MessageRow(
        r"has already been refunded",
        Code.InvalidAmount,
        f"{_GITHUB}Sylius/StripePlugin/pull/120",
    ),
    MessageRow(
        r"has been charged back|has been disputed|is disputed",
        Code.InvalidPreconditions,
        f"{_GITHUB}spree-contrib/spree_gateway/issues/253",
    ),
    MessageRow(
        r"could not be (captured|cancell?ed|confirmed) because",
        Code.InvalidPreconditions,
        "https://docs.stripe.com/error-codes#payment-intent-unexpected-state",
    ),
    MessageRow(
        r"amount must (be|convert to) (at least|no more)|invalid (positive )?integer",
        Code.InvalidAmount,
        f"{_GITHUB}opencollective/opencollective-api/pull/10662",
    ),
    MessageRow(
        r"invalid currency|currency provided",
        Code.InvalidCurrency,
        "https://docs.stripe.com/currencies#presentment-currencies",
    ),
    MessageRow(
        r"cannot currently make live charges",
        Code.InvalidConfiguration,
        f"{_GITHUB}opencollective/opencollective/issues/5997",
    ),
    MessageRow(
        r"types? (is|are) activated in your dashboard",
        Code.InvalidConfiguration,
        f"{_GITHUB}opencollective/opencollective/issues/8564",
    ),
    MessageRow(
        r"insufficient funds in (your )?stripe|insufficient available funds",
        Code.InvalidPreconditions,
        "https://docs.stripe.com/error-codes#balance-insufficient",
    ),
    MessageRow(
        r"card (has|is) expired|expiration (month|year|date)",
        Code.BearerExpired,
        "https://docs.stripe.com/error-codes#expired-card",
    ),
    MessageRow(
        r"exceed(s|ed)? .*\b(limit|maximum number)",
        Code.LimitExceeded,
        "https://docs.stripe.com/error-codes#card-decline-rate-limit-exceeded",
    ),
    MessageRow(
        r"card has insufficient funds",
        Code.InsufficientBalance,
        "https://docs.stripe.com/declines/codes#insufficient_funds",
    ),
    MessageRow(
        r"card number|security code|card does not support",
        Code.BearerInvalid,
        "https://docs.stripe.com/error-codes#incorrect-number",
    ),
    MessageRow(
        r"was declined|not authori[sz]ed by|authentication",
        Code.Rejected,
        "https://docs.stripe.com/error-codes#card-declined",
    ),
)
PARAMETERS = (
    ParameterRow(("amount",), Code.InvalidAmount, f"{_API}payment_intents/create"),
    ParameterRow(("unit_amount",), Code.InvalidAmount, f"{_API}checkout/sessions/create"),
    ParameterRow(("amount_to_capture",), Code.InvalidAmount, f"{_API}payment_intents/capture"),
    ParameterRow(("currency",), Code.InvalidCurrency, f"{_API}payment_intents/create"),
    ParameterRow(("iban",), Code.InvalidIBAN, f"{_API}payment_methods/create"),
    ParameterRow(
        ("billing_details", "name"),
        Code.BearerInvalid,
        f"{_GITHUB}stripe/openapi/issues/144",
    ),
    ParameterRow(("address", "country"), Code.InvalidCountry, f"{_API}payment_methods/create"),
    ParameterRow(("payment_method",), Code.BearerInvalid, f"{_API}payment_intents/create"),
    ParameterRow(("mandate",), Code.BearerInvalid, f"{_API}payment_intents/confirm"),
    ParameterRow(("source",), Code.BearerInvalid, f"{_API}charges/create"),
    ParameterRow(("customer",), Code.BearerInvalid, f"{_API}payment_intents/create"),
)

_MEMBER = re.compile(r"[^\[\]]+")


def meaning_of_message(message: str | None) -> Code | None:
    """Return the meaning of a message; None if it is not recognised."""
    text = (message or "").lower()
    return next((row.meaning for row in MESSAGES if re.search(row.words, text)), None)


def meaning_of_parameter(name: str | None) -> Code | None:
    """Return the meaning of the refusal of a parameter `a[b][c]`; None for any other."""
    members = tuple(_MEMBER.findall(name or ""))
    fitting = (row.meaning for row in PARAMETERS if members[-len(row.members) :] == row.members)
    return next(fitting, None)
