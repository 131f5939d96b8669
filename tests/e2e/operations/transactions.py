"""Transactions of a case: how each kind is requested, and what it books at the PSP."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.e2e.operations.cases import Kind
from tests.e2e.operations.world import RESOURCES, World

PAID = "30.00"
REFUNDED = "10.00"
DUE_IN = timedelta(days=5)

PSP_OPERATIONS = {
    Kind.PREAUTH: "authorize",
    Kind.CHARGE: "charge",
    Kind.DEBIT: "charge",
    Kind.CAPTURE: "capture",
    Kind.REFUND: "refund",
}
"""The sandbox PSP's operation of each kind; the same word in its ledger."""

WORKFLOW_KINDS = {
    Kind.PREAUTH: "preauth",
    Kind.CHARGE: "payment",
    Kind.DEBIT: "payment",
    Kind.CAPTURE: "payment",
    Kind.REFUND: "refund",
}


@dataclass
class Transaction:
    """A transaction of a case; `parent` is the preauth of a capture, the payment of a refund."""

    kind: Kind
    body: dict[str, Any]
    parent: "Transaction | None" = None
    children: list["Transaction"] = field(default_factory=list)

    @property
    def id(self) -> str:
        """Return the transaction's id."""
        return str(self.body["transactionId"])

    @property
    def resource(self) -> str:
        """Return the API's resource."""
        return RESOURCES[WORKFLOW_KINDS[self.kind]]

    @property
    def workflow_id(self) -> str:
        """Return the id of its workflow, with which its keys begin."""
        return f"demo/{WORKFLOW_KINDS[self.kind]}/{self.id}"

    @property
    def psp_operation(self) -> str:
        """Return the sandbox PSP's name of the operation."""
        return PSP_OPERATIONS[self.kind]


def build(
    world: World, kind: Kind, parent: Transaction | None = None, amount: str | None = None
) -> Transaction:
    """Build a transaction that has not been requested yet."""
    body = _body(world, kind, parent, amount)
    body["webhookTarget"] = f"{world.receiver.url}/{body['transactionId']}"
    transaction = Transaction(kind, body, parent)
    if parent is not None:
        parent.children.append(transaction)
    return transaction


def _body(
    world: World, kind: Kind, parent: Transaction | None, amount: str | None
) -> dict[str, Any]:
    bodies = world.bodies
    match kind:
        case Kind.PREAUTH:
            return bodies.preauth(
                world.preauth_agreement,
                isInitial=False,
                requestedAmount=amount or PAID,
                paymentMeansReference={"role": "CreditCard"},
            )
        case Kind.CHARGE:
            return bodies.payment(world.card_agreement, amount or PAID)
        case Kind.DEBIT:
            due = f"{datetime.now(UTC) + DUE_IN:%Y-%m-%d}"
            return bodies.debit(world.debit_agreement, amount or PAID, plannedExecutionDate=due)
        case Kind.CAPTURE if parent is not None:
            preauth = {"preauthTransactionId": parent.id}
            return bodies.payment(world.preauth_agreement, amount or PAID, **preauth)
        case Kind.REFUND if parent is not None:
            return bodies.refund(parent.id, amount or REFUNDED)
        case _:
            raise ValueError(f"A {kind} needs a parent.")
