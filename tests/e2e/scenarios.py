"""What takes its time and disturbs nobody: played side by side from the start, checked later."""

from collections.abc import Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace

import httpx

from tests.e2e.platform import CARD, IBAN, IBAN_CHARGED_BACK, IBAN_FAILS, Seen, World
from tests.support.billwerk import Attempt, Billwerk, Reply, new_id, pay_at_checkout


@dataclass(frozen=True)
class Row:
    """A line of the sandbox's tables: what the caller hears first and last, and what is booked.

    `booked` is the operation's own movement.
    """

    first: str
    last: str
    webhooks: int = 0
    booked: bool = True
    charged_back: bool = False


DONE = Row("Succeeded", "Succeeded")

ENDINGS: Mapping[str, Row] = {
    "01": Row("InsufficientBalance", "InsufficientBalance", booked=False),
    "02": Row("BearerExpired", "BearerExpired", booked=False),
    "03": DONE,
    "04": DONE,
    "05": Row("Pending", "Succeeded", webhooks=1),
    "06": Row("Pending", "Rejected", webhooks=1, booked=False),
    "07": Row("Succeeded", "Succeeded", webhooks=1, charged_back=True),
    "08": Row("Pending", "Succeeded", webhooks=1),
    "09": DONE,
    "10": DONE,
    "11": DONE,
}
SLOW = "08"
"""The PSP takes 15 s, longer than a caller waits for an answer."""

OPERATIONS = ("charge", "capture", "refund")


def row(operation: str, ending: str) -> Row:
    """What an amount's ending does to the operation; a refund is not charged back."""
    return DONE if (operation, ending) == ("refund", "07") else ENDINGS[ending]


@dataclass(frozen=True)
class SignUp:
    """What happens at the checkout page and how the sign-up ends."""

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


def movement(world: World, operation: str, ending: str) -> Seen:
    """A charge, capture or refund of an amount with that ending."""
    match operation:
        case "charge":
            resource, owner = "Payment", None
            body = world.billwerk.payment(world.agreements[CARD], f"20.{ending}")
        case "capture":
            resource, owner = "Payment", world.authorized("30.00")
            body = world.capture(owner, f"20.{ending}")
        case _:
            resource, owner = "Refund", world.paid("30.00")
            body = world.billwerk.refund(owner["transactionId"], f"20.{ending}")
    return world.play(resource, body, row(operation, ending).webhooks, owner)


def debit(world: World, iban: str) -> Seen:
    """A recurring direct debit."""
    body = world.billwerk.debit(world.agreements[iban], "49.90")
    return world.play("Payment", body, DEBITS[iban].webhooks)


def sign_up(world: World, visit: SignUp) -> tuple[Seen, str]:
    """A sign-up that nobody finalizes; returns it with where the customer was led to."""
    body = world.billwerk.preauth(new_id())
    answer = world.billwerk.post("Preauth", body)
    page = str(answer.json()["redirectUrl"])
    led_to = ""
    for action in visit.actions:
        led_to = pay_at_checkout(page, visit.card, action).headers["location"]
        page = str(httpx.URL(page).join(led_to))
    return world.seen("Preauth", body, answer, visit.webhooks), led_to


def captured(world: World) -> Seen:
    """An ordinary capture."""
    preauth = world.authorized("119.00")
    return world.play("Payment", world.capture(preauth, "119.00"), 0, preauth)


Delivered = tuple[Seen, list[Attempt]]


def delivery(world: World, refusal: Reply, iban: str | None = None) -> Delivered:
    """A payment that is announced to a target which refuses once; by card without an `iban`."""
    refusals = [refusal]
    with Billwerk(world.stack.run["api"], world.stack.token) as receiver:
        receiver.answer = lambda _: refusals.pop() if refusals else 200
        if iban is None:
            body = receiver.payment(world.agreements[CARD], "20.05")
        else:
            body = receiver.debit(world.agreements[iban], "49.90")
        seen = replace(world, billwerk=receiver).play("Payment", body, webhooks=1)
        return seen, list(receiver.attempts)


RETRY_AFTER_SECONDS = 7
"""Longer than the pause that would be made without being asked."""

REFUSALS: Mapping[str, Reply] = {
    "500": 500,
    "503 with Retry-After": (503, {"Retry-After": str(RETRY_AFTER_SECONDS)}),
}


@dataclass(frozen=True)
class Background:
    """What is being played, by its name in the tables above."""

    movements: Mapping[tuple[str, str], Future[Seen]]
    deliveries: Mapping[str, Future[Delivered]]
    changed_meanwhile: Future[Delivered]
    debits: Mapping[str, Future[Seen]]
    sign_ups: Mapping[str, Future[tuple[Seen, str]]]
    captured: Future[Seen]


def begin(world: World, pool: Executor) -> Background:
    """Start everything; what takes longest comes first."""
    endings = sorted(ENDINGS, key=lambda ending: ending != SLOW)
    pairs = [(operation, ending) for ending in endings for operation in OPERATIONS]
    return Background(
        deliveries={n: pool.submit(delivery, world, refusal) for n, refusal in REFUSALS.items()},
        changed_meanwhile=pool.submit(delivery, world, 500, IBAN_CHARGED_BACK),
        movements={pair: pool.submit(movement, world, *pair) for pair in pairs},
        captured=pool.submit(captured, world),
        debits={iban: pool.submit(debit, world, iban) for iban in DEBITS},
        sign_ups={n: pool.submit(sign_up, world, visit) for n, visit in SIGN_UPS.items()},
    )
