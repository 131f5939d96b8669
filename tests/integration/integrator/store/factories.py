"""Two customers with an agreement each, and all data the store may hold of them."""

from dataclasses import dataclass
from typing import Any

from integrator.store import Merchant, NewAgreement, NewDecision, NewTransaction, Store
from tests.integration.integrator.store.builders import (
    new_notification,
    new_transaction,
    record_update,
)

TARGET = "https://transform.example/hooks/psp?key=1"


@dataclass(frozen=True)
class Person:
    """Customer; `agreement` is also the prefix of the ids of their transactions and events."""

    agreement: str
    name: str
    iban: str

    @property
    def secrets(self) -> set[bytes]:
        return {self.name.encode(), self.iban.encode()}


MIA = Person("mia", "Mia Kern-Albrecht", "DE89370400440532013000")
TOM = Person("tom", "Tom Ullrich-Vogt", "DE75512108001245126199")


def transaction_for(
    merchant: Merchant, person: Person, name: str, **overrides: Any
) -> NewTransaction:
    """Build transaction `mia-1`, `mia-2`, ..., a payment by default."""
    defaults = {
        "agreement_id": person.agreement,
        "request": {
            "webhookTarget": TARGET,
            "payerData": {"lastName": person.name},
            "initialBearer": {"IBAN": person.iban},
        },
    }
    return new_transaction(merchant, f"{person.agreement}-{name}", **(defaults | overrides))


async def create_agreement_data(store: Store, merchant: Merchant, person: Person) -> None:
    """Store a preauth, a payment, a refund, notifications (some too early) and a decision."""
    agreement = NewAgreement(person.agreement, "Debit")
    preauth = transaction_for(merchant, person, "1", kind="preauth", agreement=agreement)
    await store.transactions.add(preauth)
    await store.transactions.save_private(
        merchant.id,
        preauth.transaction_id,
        instrument={"bearer": {"IBAN": person.iban, "Holder": person.name}},
        redirect={"url": f"https://psp.example/{person.name}"},
    )
    await store.transactions.record(
        record_update(
            merchant,
            preauth.transaction_id,
            status="Succeeded",
            evidence="answer",
            activate_agreement=True,
        )
    )
    payment = transaction_for(merchant, person, "2")
    await store.transactions.add(payment)
    await store.transactions.record(
        record_update(
            merchant,
            payment.transaction_id,
            status="Succeeded",
            evidence="answer",
            psp_transaction_id=f"pay_{person.agreement}",
        )
    )
    refund = transaction_for(
        merchant, person, "3", kind="refund", agreement_id=None, related_id=payment.transaction_id
    )
    await store.transactions.add(refund)
    await store_notification_for(
        store, merchant, person, "known", payment.transaction_id, person.agreement
    )
    await store_notification_for(store, merchant, person, "early", refund.transaction_id)
    await store_notification_for(store, merchant, person, "parked")
    await store.decisions.add(
        NewDecision(
            merchant_id=merchant.id,
            kind="acknowledge",
            decided_by="operator",
            reason=f"{person.name} has called",
            transaction_id=payment.transaction_id,
        )
    )


async def store_notification_for(
    store: Store,
    merchant: Merchant,
    person: Person,
    event: str,
    transaction_id: str | None = None,
    agreement_id: str | None = None,
) -> int:
    """Store a notification about the customer's payment; returns its id."""
    id, _ = await store.notifications.add(
        new_notification(
            merchant,
            f"{person.agreement}-{event}",
            raw=f'{{"holder": "{person.name}"}}'.encode(),
            headers={"X-Customer": person.name},
            psp_ids=(f"pay_{person.agreement}",),
            transaction_id=transaction_id,
            agreement_id=agreement_id,
        )
    )
    return id
