"""Requests after a case: what was decided can go on, and no money can be moved twice."""

from decimal import Decimal

import httpx

from tests.e2e.operations.cases import Kind
from tests.e2e.operations.scenario import LATER_CHARGEBACK, Scenario
from tests.e2e.operations.transactions import Transaction, build
from tests.e2e.operations.verdict import PAYMENTS, Column, Violation
from tests.e2e.operations.world import World, view
from tests.e2e.stack.sandbox import total

CENT = Decimal("0.01")


async def continue_case(world: World, scenario: Scenario) -> list[Violation]:
    """Charge back, refund and capture; return the violations in the API's answers."""
    target, violations = scenario.target, []
    succeeded = view(await world.get(target.resource, target.id))["status"] == "Succeeded"
    payment = target if target.kind in PAYMENTS and succeeded else None
    if target.kind is Kind.REFUND:
        payment = target.parent
    preauth = target.parent if target.kind is Kind.CAPTURE else None
    if target.kind is Kind.PREAUTH and succeeded:
        preauth = target
    if payment is not None:
        violations += await _refund_again(world, payment)
    if preauth is not None:
        violations += await _capture_again(world, preauth)
    if payment is not None:
        await world.charge_back(payment.id, LATER_CHARGEBACK)
    return violations


async def _refund_again(world: World, payment: Transaction) -> list[Violation]:
    """Request a cent more than the PSP holds, which must be refused, then a small refund."""
    ledger = await world.ledger(payment.id)
    refunded = Decimal(0)
    for child in payment.children:
        refunded += total(await world.ledger(child.id), "refund")
    left = total(ledger, payment.psp_operation) - total(ledger, "chargeback") - refunded
    too_much = build(world, Kind.REFUND, payment, str(left + CENT))
    refused = await world.post(too_much.resource, too_much.body)
    payment.children.remove(too_much)
    small = build(world, Kind.REFUND, payment, "1.00")
    granted = await world.post(small.resource, small.body)
    return [
        *_expect(payment, refused, "Failed", "a refund of too much"),
        *_expect(payment, granted, "Succeeded", "a further refund"),
    ]


async def _capture_again(world: World, preauth: Transaction) -> list[Violation]:
    """Request a capture, which is refused if and only if the PSP has captured already."""
    captured = False
    for child in preauth.children:
        captured = captured or bool(total(await world.ledger(child.id), "capture"))
    again = build(world, Kind.CAPTURE, preauth)
    response = await world.post(again.resource, again.body)
    if captured:
        preauth.children.remove(again)
    return _expect(preauth, response, "Failed" if captured else "Succeeded", "a further capture")


def _expect(
    transaction: Transaction, response: httpx.Response, status: str, what: str
) -> list[Violation]:
    seen = view(response)
    # A slow answer is not wrong: the transaction is checked when it has ended.
    if seen["status"] == status or (seen["status"], status) == ("Pending", "Succeeded"):
        return []
    text = f"{what} is {dict(seen)}, not {status}"
    return [Violation(Column.WRONG, transaction.workflow_id, text)]
