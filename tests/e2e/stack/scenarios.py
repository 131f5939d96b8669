"""Slow scenarios, run concurrently from the start and checked later."""

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import httpx

from tests.e2e.stack.environment import (
    CARD,
    IBAN,
    IBAN_CHARGED_BACK,
    IBAN_FAILS,
    Environment,
    TransactionResult,
)
from tests.support.billwerk import Attempt, Billwerk, WebhookResponse, new_id, submit_checkout


@dataclass(frozen=True)
class Row:
    """A row of the sandbox's tables: first and last status, and what is booked.

    `booked` is the operation's own movement.
    """

    first: str
    last: str
    webhooks: int = 0
    booked: bool = True
    charged_back: bool = False


SUCCEEDED = Row("Succeeded", "Succeeded")

ENDINGS: Mapping[str, Row] = {
    "01": Row("InsufficientBalance", "InsufficientBalance", booked=False),
    "02": Row("BearerExpired", "BearerExpired", booked=False),
    "03": SUCCEEDED,
    "04": SUCCEEDED,
    "05": Row("Pending", "Succeeded", webhooks=1),
    "06": Row("Pending", "Rejected", webhooks=1, booked=False),
    "07": Row("Succeeded", "Succeeded", webhooks=1, charged_back=True),
    "08": Row("Pending", "Succeeded", webhooks=1),
    "09": SUCCEEDED,
    "10": SUCCEEDED,
    "11": SUCCEEDED,
}
SLOW = "08"
"""The PSP takes 15 s, longer than a caller waits for an answer."""

OPERATIONS = ("charge", "capture", "refund")


def row(operation: str, ending: str) -> Row:
    """Return the effect of an amount's ending; a refund is not charged back."""
    return SUCCEEDED if (operation, ending) == ("refund", "07") else ENDINGS[ending]


@dataclass(frozen=True)
class SignUp:
    """Actions at the checkout page and the sign-up's result."""

    card: str
    actions: tuple[str, ...]
    last: str
    leads_to: str
    webhooks: int = 1
    booked: bool = False


SIGN_UPS: Mapping[str, SignUp] = {
    "paid": SignUp(CARD, ("pay",), "Succeeded", "ok", booked=True),
    "declined": SignUp("4000000000000002", ("pay",), "Rejected", "error"),
    "insufficient funds": SignUp("4000000000009995", ("pay",), "InsufficientBalance", "error"),
    "expired card": SignUp("4000000000000069", ("pay",), "BearerExpired", "error"),
    "confirmed by 3-D Secure": SignUp(
        "4000002500003155", ("pay", "confirm"), "Succeeded", "ok", booked=True
    ),
    "failed by 3-D Secure": SignUp("4000002500003155", ("pay", "fail"), "Rejected", "error"),
    "cancelled": SignUp(CARD, ("cancel",), "Cancelled", "abort"),
    "abandoned": SignUp(CARD, (), "Initiated", "", webhooks=0),
    "abandoned at 3-D Secure": SignUp("4000002500003155", ("pay",), "Initiated", "3ds", 0),
}

DEBITS: Mapping[str, Row] = {
    IBAN: Row("Pending", "Succeeded", webhooks=1),
    IBAN_FAILS: Row("Pending", "InsufficientBalance", webhooks=1, booked=False),
    IBAN_CHARGED_BACK: Row("Pending", "Succeeded", webhooks=2, charged_back=True),
}


def movement(environment: Environment, operation: str, ending: str) -> TransactionResult:
    """Run a charge, capture or refund of an amount with that ending."""
    match operation:
        case "charge":
            resource, parent = "Payment", None
            body = environment.billwerk.payment(environment.agreements[CARD], f"20.{ending}")
        case "capture":
            resource, parent = "Payment", environment.authorized("30.00")
            body = environment.capture(parent, f"20.{ending}")
        case _:
            resource, parent = "Refund", environment.paid("30.00")
            body = environment.billwerk.refund(parent["transactionId"], f"20.{ending}")
    return environment.play(resource, body, row(operation, ending).webhooks, parent)


def debit(environment: Environment, iban: str) -> TransactionResult:
    """Run a recurring direct debit."""
    body = environment.billwerk.debit(environment.agreements[iban], "49.90")
    return environment.play("Payment", body, DEBITS[iban].webhooks)


def sign_up(environment: Environment, visit: SignUp) -> tuple[TransactionResult, str]:
    """Run a sign-up without finalize; return it and the customer's return URL."""
    body = environment.billwerk.preauth(new_id())
    answer = environment.billwerk.post("Preauth", body)
    page = str(answer.json()["redirectUrl"])
    return_url = ""
    for action in visit.actions:
        return_url = submit_checkout(page, visit.card, action).headers["location"]
        page = str(httpx.URL(page).join(return_url))
    return environment.seen("Preauth", body, answer, visit.webhooks), return_url


def captured(environment: Environment) -> TransactionResult:
    """Run an ordinary capture."""
    preauth = environment.authorized("119.00")
    return environment.play("Payment", environment.capture(preauth, "119.00"), 0, preauth)


Delivered = tuple[TransactionResult, list[Attempt]]


def delivery(
    environment: Environment, refusal: WebhookResponse, iban: str | None = None
) -> Delivered:
    """Run a payment whose webhook target refuses once; by card without an `iban`."""
    refusals = [refusal]
    with Billwerk(environment.stack.run["api"], environment.stack.token) as receiver:
        receiver.respond = lambda _: refusals.pop() if refusals else 200
        if iban is None:
            body = receiver.payment(environment.agreements[CARD], "20.05")
        else:
            body = receiver.debit(environment.agreements[iban], "49.90")
        result = replace(environment, billwerk=receiver).play("Payment", body, webhooks=1)
        return result, list(receiver.attempts)


RETRY_AFTER_SECONDS = 7
"""Longer than the default pause."""

REFUSALS: Mapping[str, WebhookResponse] = {
    "500": 500,
    "503 with Retry-After": (503, {"Retry-After": str(RETRY_AFTER_SECONDS)}),
}


@dataclass(frozen=True)
class Background:
    """The running scenarios by their name in the tables above."""

    movements: Mapping[tuple[str, str], Future[TransactionResult]]
    deliveries: Mapping[str, Future[Delivered]]
    changed_meanwhile: Future[Delivered]
    debits: Mapping[str, Future[TransactionResult]]
    sign_ups: Mapping[str, Future[tuple[TransactionResult, str]]]
    captured: Future[TransactionResult]


def begin(environment: Environment, pool: Executor) -> Background:
    """Start all scenarios; the longest first."""
    endings = sorted(ENDINGS, key=lambda ending: ending != SLOW)
    pairs = [(operation, ending) for ending in endings for operation in OPERATIONS]
    return Background(
        deliveries={
            n: pool.submit(delivery, environment, refusal) for n, refusal in REFUSALS.items()
        },
        changed_meanwhile=pool.submit(delivery, environment, 500, IBAN_CHARGED_BACK),
        movements={pair: pool.submit(movement, environment, *pair) for pair in pairs},
        captured=pool.submit(captured, environment),
        debits={iban: pool.submit(debit, environment, iban) for iban in DEBITS},
        sign_ups={n: pool.submit(sign_up, environment, visit) for n, visit in SIGN_UPS.items()},
    )
