"""Run planned customer journeys: sign-up, payments, refunds, cancellation and upgrades."""

import asyncio
from collections import Counter
from collections.abc import Set
from dataclasses import replace
from datetime import UTC, datetime

from devtools.campaign import requests
from devtools.campaign.billwerk import BillwerkSimulator
from devtools.campaign.checkout_client import CheckoutClient
from devtools.campaign.scenario import (
    CANCELLED,
    PRECONDITION_FAILED,
    SUCCEEDED,
    WAITING,
    PlannedPayment,
    PlannedPreauth,
    PlannedRefund,
)
from devtools.campaign.transaction import Transaction

_DECISION_SECONDS = 25.0
"""Time limit for a decision; steps that depend on a later one are skipped and counted."""


class JourneyRunner:
    """Runs journeys; `started` counts requested transactions, `skipped` those left out.

    Transactions of `erased_agreements`, other than refunds, may be refused.
    """

    def __init__(self, billwerk: BillwerkSimulator, checkout: CheckoutClient) -> None:
        self.started = 0
        self.skipped = 0
        self.counts: Counter[str] = Counter()
        self.erased_agreements: Set[str] = frozenset()
        self._billwerk = billwerk
        self._checkout = checkout

    def progress(self) -> int:
        """Return the number of planned transactions started or skipped so far."""
        return self.started + self.skipped

    async def run(self, planned: PlannedPreauth) -> None:
        """Run the journey of one customer."""
        preauth = await self._preauth(planned)
        following = planned.transaction_count - 1
        if not following and planned.cancel == "no":
            return
        if not await self._has_succeeded(preauth):
            self.skipped += following
            return
        payments = list(planned.payments)
        if planned.cancel == "alone":
            await self._cancel(preauth, alone=True)
        elif planned.cancel == "race":
            racing = payments.pop(0)
            await asyncio.gather(self._cancel(preauth, alone=False), self._pay(racing))
        undecided = False
        for payment in payments:
            if undecided and payment.preauth:
                # The preauth may still be reserved by the capture before.
                payment = replace(payment, expected=payment.expected | {PRECONDITION_FAILED})
            decided = await self._pay(payment)
            undecided = undecided or not decided
        for upgrade in planned.upgrades:
            await self.run(upgrade)

    async def _has_succeeded(self, transaction: Transaction) -> bool:
        decided = await self._billwerk.wait_until_decided(transaction, _DECISION_SECONDS)
        return (
            decided and transaction.latest is not None and transaction.latest.outcome == SUCCEEDED
        )

    async def _preauth(self, planned: PlannedPreauth) -> Transaction:
        body = requests.preauth(planned, self._billwerk.receiver.url)
        transaction = Transaction(
            planned.id, "preauth", _label(planned), planned.amount, body, planned.expected
        )
        await self._send(transaction, planned)
        if planned.checkout_action != "none":
            await self._check_out(transaction, planned)
        return transaction

    async def _check_out(self, transaction: Transaction, planned: PlannedPreauth) -> None:
        url = await self._billwerk.wait_for_redirect(transaction, _DECISION_SECONDS)
        if url is None or not await self._checkout.complete(url, planned):
            transaction.record_exchange("customer", "could not reach the checkout page")
            transaction.expected |= {WAITING}
            return
        transaction.record_exchange("customer", planned.checkout_action)
        if planned.finalize and planned.checkout_action != "abandon":
            await self._billwerk.finalize(transaction)

    async def _cancel(self, preauth: Transaction, *, alone: bool) -> None:
        result = await self._billwerk.cancel(preauth)
        if alone or result == "Succeeded":
            preauth.expected = frozenset({CANCELLED})
        elif result in ("Pending", "Initiated"):
            preauth.expected = frozenset({CANCELLED, SUCCEEDED})

    async def _pay(self, planned: PlannedPayment) -> bool:
        """Send a payment and its refunds; return whether the payment was decided in time."""
        day = f"{datetime.now(UTC):%Y-%m-%d}"
        body = requests.payment(planned, self._billwerk.receiver.url, day)
        label = "capture" if planned.preauth else "debit" if planned.role == "Debit" else "charge"
        transaction = Transaction(
            planned.id, "payment", label, planned.amount, body, planned.expected, planned.preauth
        )
        await self._send(transaction, planned)
        decided = await self._billwerk.wait_until_decided(transaction, _DECISION_SECONDS)
        if transaction.latest is None or transaction.latest.outcome != SUCCEEDED:
            self.skipped += len(planned.refunds)
        elif planned.concurrent_refunds:
            await asyncio.gather(*(self._refund(refund) for refund in planned.refunds))
        else:
            for refund in planned.refunds:
                await self._refund(refund)
        return decided

    async def _refund(self, planned: PlannedRefund) -> None:
        body = requests.refund(planned, self._billwerk.receiver.url)
        transaction = Transaction(
            planned.id, "refund", "refund", planned.amount, body, planned.expected, planned.payment
        )
        await self._send(transaction, planned)
        await self._billwerk.wait_until_decided(transaction, _DECISION_SECONDS)

    async def _send(
        self, transaction: Transaction, planned: PlannedPreauth | PlannedPayment | PlannedRefund
    ) -> None:
        if transaction.body.get("agreementId") in self.erased_agreements:
            transaction.expected |= {PRECONDITION_FAILED}
        self.started += 1
        self.counts[transaction.label] += 1
        await self._billwerk.send(transaction, planned.pattern)


def _label(planned: PlannedPreauth) -> str:
    if not planned.initial:
        return "upgrade"
    if planned.role == "Debit":
        return "debit sign-up"
    return "card sign-up" if planned.amount else "zero-amount sign-up"
