"""Amount endings: the two decimals of an amount decide what happens to it."""

import asyncio
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import DropConnection, PspError
from devtools.sandbox_psp.models import Failure
from devtools.sandbox_psp.money import ending


class Ending(IntEnum):
    """The endings that mean something, by the two decimals."""

    INSUFFICIENT_FUNDS = 1
    CARD_EXPIRED = 2
    TWO_ERRORS = 3
    DROP_AFTER_BOOKING = 4
    PENDING_SUCCEEDS = 5
    PENDING_FAILS = 6
    CHARGED_BACK = 7
    SLOW = 8
    RATE_LIMITED = 9
    DROP_BEFORE_BOOKING = 10
    NOISY_WEBHOOK = 11


@dataclass(frozen=True)
class Plan:
    """What becomes of a movement: its status in the answer, and what follows.

    For `pending`, `failure` is the late failure and None means it settles; for `declined` it is
    the reason. `noisy`: the success is announced three times, and an older event after it.
    """

    status: Literal["succeeded", "pending", "declined"] = "succeeded"
    failure: Failure | None = None
    charged_back: bool = False
    noisy: bool = False


INSUFFICIENT_FUNDS = Failure(
    code="insufficient_funds", message="The account does not cover the amount."
)
CARD_EXPIRED = Failure(code="card_expired", message="The card has expired.")
DEBIT_FAILED = Failure(code="debit_failed", message="The bank refused the debit.")
PROCESSING_FAILED = Failure(code="processing_failed", message="The payment could not be processed.")

_PLANS = {
    Ending.INSUFFICIENT_FUNDS: Plan("declined", INSUFFICIENT_FUNDS),
    Ending.CARD_EXPIRED: Plan("declined", CARD_EXPIRED),
    Ending.PENDING_SUCCEEDS: Plan("pending"),
    Ending.PENDING_FAILS: Plan("pending", PROCESSING_FAILED),
    Ending.CHARGED_BACK: Plan(charged_back=True),
    Ending.NOISY_WEBHOOK: Plan(noisy=True),
}
_DEBIT_PLANS = {
    Ending.INSUFFICIENT_FUNDS: Plan("declined", INSUFFICIENT_FUNDS),
    Ending.CARD_EXPIRED: Plan("declined", DEBIT_FAILED),
    Ending.PENDING_SUCCEEDS: Plan("pending"),
    Ending.PENDING_FAILS: Plan("pending", DEBIT_FAILED),
    Ending.CHARGED_BACK: Plan("pending", charged_back=True),
    Ending.NOISY_WEBHOOK: Plan("pending", noisy=True),
}


def read(amount: int, currency: str) -> Ending | None:
    """The ending that steers this amount (minor units), or None."""
    value = ending(amount, currency)
    return None if value is None or value not in set(Ending) else Ending(value)


def plan(amount: int, currency: str, *, debit: Plan | None = None) -> Plan:
    """The fate of an amount; `debit` is what the bank account would do with an unsteered one."""
    steered = read(amount, currency)
    if debit is None:
        return _PLANS.get(steered, Plan()) if steered else Plan()
    return _DEBIT_PLANS.get(steered, debit) if steered else debit


async def before_booking(ctx: Context, steered: Ending | None, account: str, key: str) -> None:
    """Everything that happens to a steered call before it books.

    Raises PspError (500, 429) or DropConnection for the calls that do not get through yet.
    """
    match steered:
        case Ending.TWO_ERRORS if _attempt(ctx, account, key) <= 2:
            raise PspError(500, "api_error", "internal_error", "Something went wrong at the PSP.")
        case Ending.RATE_LIMITED if _attempt(ctx, account, key) <= 1:
            message = "Too many requests; try again shortly."
            raise PspError(429, "rate_limit", "too_many_requests", message, retry_after=2)
        case Ending.DROP_BEFORE_BOOKING if _attempt(ctx, account, key) <= 2:
            raise DropConnection
        case Ending.SLOW:
            await asyncio.sleep(ctx.settings.slow_seconds)
        case _:
            pass


def _attempt(ctx: Context, account: str, key: str) -> int:
    """The how-manieth attempt with this key this is; counted durably."""
    row = ctx.db.execute(
        "INSERT INTO attempts (account, key, count) VALUES (?, ?, 1)"
        " ON CONFLICT (account, key) DO UPDATE SET count = count + 1 RETURNING count",
        account,
        key,
    ).fetchall()
    return int(row[0]["count"])
