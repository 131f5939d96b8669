"""Plays the planned lives: a sign-up, its payments and refunds, cancels and upgrades."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

from devtools.campaign import requests
from devtools.campaign.billwerk import Billwerk
from devtools.campaign.checkout_client import Customer
from devtools.campaign.scenario import (
    CANCELLED,
    FORBIDDEN,
    SUCCEEDED,
    WAITING,
    Payment,
    Preauth,
    Refund,
)
from devtools.campaign.transaction import Transaction

_DECISION_SECONDS = 25.0
"""What is not decided by then is left alone: what would follow is skipped and counted."""


class Lives:
    """`begun` counts the transactions asked for, `skipped` those that could not follow."""

    def __init__(self, billwerk: Billwerk, customer: Customer) -> None:
        self.begun = 0
        self.skipped = 0
        self.made: Counter[str] = Counter()
        self._billwerk = billwerk
        self._customer = customer

    def progress(self) -> int:
        """How many of the planned transactions are behind us."""
        return self.begun + self.skipped

    async def live(self, wanted: Preauth) -> None:
        """One customer's whole life."""
        held = await self._preauth(wanted)
        follows = wanted.transactions - 1
        if not follows and wanted.cancel == "no":
            return
        if not await self._go_on(held):
            self.skipped += follows
            return
        payments = list(wanted.payments)
        if wanted.cancel == "alone":
            await self._cancel(held, alone=True)
        elif wanted.cancel == "race":
            racing = payments.pop(0)
            await asyncio.gather(self._cancel(held, alone=False), self._pay(racing))
        undecided = False
        for payment in payments:
            if undecided and payment.preauth:
                # The reservation may still be held for the capture before.
                payment = replace(payment, expected=payment.expected | {FORBIDDEN})
            decided = await self._pay(payment)
            undecided = undecided or not decided
        for upgrade in wanted.upgrades:
            await self.live(upgrade)

    async def _go_on(self, of: Transaction) -> bool:
        decided = await self._billwerk.decided(of, _DECISION_SECONDS)
        return decided and of.known is not None and of.known.outcome == SUCCEEDED

    async def _preauth(self, wanted: Preauth) -> Transaction:
        body = requests.preauth(wanted, self._billwerk.receiver.url)
        made = Transaction(
            wanted.id, "preauth", _label(wanted), wanted.amount, body, wanted.expected
        )
        await self._ask(made, wanted)
        if wanted.visit != "none":
            await self._visit(made, wanted)
        return made

    async def _visit(self, made: Transaction, wanted: Preauth) -> None:
        url = await self._billwerk.redirected(made, _DECISION_SECONDS)
        if url is None or not await self._customer.visit(url, wanted):
            made.note("customer", "never got to the page")
            made.expected |= {WAITING}
            return
        made.note("customer", wanted.visit)
        if wanted.finalize and wanted.visit != "abandon":
            await self._billwerk.finalize(made)

    async def _cancel(self, held: Transaction, *, alone: bool) -> None:
        answer = await self._billwerk.cancel(held)
        if alone or answer == "Succeeded":
            held.expected = frozenset({CANCELLED})
        elif answer in ("Pending", "Initiated"):
            held.expected = frozenset({CANCELLED, SUCCEEDED})

    async def _pay(self, wanted: Payment) -> bool:
        """Whether it was decided in time."""
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        body = requests.payment(wanted, self._billwerk.receiver.url, day)
        label = "capture" if wanted.preauth else "debit" if wanted.role == "Debit" else "charge"
        made = Transaction(
            wanted.id, "payment", label, wanted.amount, body, wanted.expected, wanted.preauth
        )
        await self._ask(made, wanted)
        decided = await self._billwerk.decided(made, _DECISION_SECONDS)
        if made.known is None or made.known.outcome != SUCCEEDED:
            self.skipped += len(wanted.refunds)
        elif wanted.together:
            await asyncio.gather(*(self._refund(refund) for refund in wanted.refunds))
        else:
            for refund in wanted.refunds:
                await self._refund(refund)
        return decided

    async def _refund(self, wanted: Refund) -> None:
        body = requests.refund(wanted, self._billwerk.receiver.url)
        made = Transaction(
            wanted.id, "refund", "refund", wanted.amount, body, wanted.expected, wanted.payment
        )
        await self._ask(made, wanted)
        await self._billwerk.decided(made, _DECISION_SECONDS)

    async def _ask(self, made: Transaction, wanted: Preauth | Payment | Refund) -> None:
        self.begun += 1
        self.made[made.label] += 1
        await self._billwerk.request(made, wanted.manner)


def _label(wanted: Preauth) -> str:
    if not wanted.initial:
        return "upgrade"
    if wanted.role == "Debit":
        return "debit sign-up"
    return "card sign-up" if wanted.amount else "zero-amount sign-up"
