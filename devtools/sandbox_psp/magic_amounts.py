"""Magic amounts: the two decimals of an amount decide its outcome."""

import asyncio
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import DropConnection, PspError
from devtools.sandbox_psp.models import Failure
from devtools.sandbox_psp.money import last_two_decimals


class MagicEnding(IntEnum):
    """The endings with an effect, by the two decimals."""

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
class Outcome:
    """Outcome of a movement: the status in the response, and later changes.

    For `pending`, `failure` is the later failure and None means it settles; for `declined` it is
    the reason. `noisy`: the success is sent three times, with an older event in between.
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

_CARD_OUTCOMES = {
    MagicEnding.INSUFFICIENT_FUNDS: Outcome("declined", INSUFFICIENT_FUNDS),
    MagicEnding.CARD_EXPIRED: Outcome("declined", CARD_EXPIRED),
    MagicEnding.PENDING_SUCCEEDS: Outcome("pending"),
    MagicEnding.PENDING_FAILS: Outcome("pending", PROCESSING_FAILED),
    MagicEnding.CHARGED_BACK: Outcome(charged_back=True),
    MagicEnding.NOISY_WEBHOOK: Outcome(noisy=True),
}
_DEBIT_OUTCOMES = {
    MagicEnding.INSUFFICIENT_FUNDS: Outcome("declined", INSUFFICIENT_FUNDS),
    MagicEnding.CARD_EXPIRED: Outcome("declined", DEBIT_FAILED),
    MagicEnding.PENDING_SUCCEEDS: Outcome("pending"),
    MagicEnding.PENDING_FAILS: Outcome("pending", DEBIT_FAILED),
    MagicEnding.CHARGED_BACK: Outcome("pending", charged_back=True),
    MagicEnding.NOISY_WEBHOOK: Outcome("pending", noisy=True),
}


def find_ending(amount: int, currency: str) -> MagicEnding | None:
    """Return the magic ending of this amount (minor units), or None."""
    decimals = last_two_decimals(amount, currency)
    return None if decimals is None or decimals not in set(MagicEnding) else MagicEnding(decimals)


def outcome_for(amount: int, currency: str, *, debit: Outcome | None = None) -> Outcome:
    """Return the outcome of an amount; `debit` is the bank account's for ordinary amounts."""
    ending = find_ending(amount, currency)
    if debit is None:
        return _CARD_OUTCOMES.get(ending, Outcome()) if ending else Outcome()
    return _DEBIT_OUTCOMES.get(ending, debit) if ending else debit


async def apply_before_booking(
    ctx: Context, ending: MagicEnding | None, account: str, key: str
) -> None:
    """Apply the effects of a magic ending that come before the booking.

    Raises PspError (500, 429) or DropConnection for attempts that must fail.
    """
    match ending:
        case MagicEnding.TWO_ERRORS if _count_attempt(ctx, account, key) <= 2:
            raise PspError(500, "api_error", "internal_error", "Something went wrong at the PSP.")
        case MagicEnding.RATE_LIMITED if _count_attempt(ctx, account, key) <= 1:
            message = "Too many requests; try again shortly."
            raise PspError(429, "rate_limit", "too_many_requests", message, retry_after=2)
        case MagicEnding.DROP_BEFORE_BOOKING if _count_attempt(ctx, account, key) <= 2:
            raise DropConnection
        case MagicEnding.SLOW:
            await asyncio.sleep(ctx.settings.slow_seconds)
        case _:
            pass


def _count_attempt(ctx: Context, account: str, key: str) -> int:
    """Count the attempts with this key durably and return the number of this one."""
    row = ctx.db.execute(
        "INSERT INTO attempts (account, key, count) VALUES (?, ?, 1)"
        " ON CONFLICT (account, key) DO UPDATE SET count = count + 1 RETURNING count",
        account,
        key,
    ).fetchall()
    return int(row[0]["count"])
