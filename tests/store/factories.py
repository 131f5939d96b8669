"""Two people with an agreement each, and everything the store may keep of them."""

from dataclasses import dataclass
from typing import Any

from integrator.store import Merchant, NewAgreement, NewDecision, NewTransaction, Store
from tests.store.builders import change, new_notification, new_transaction

TARGET = "https://transform.example/hooks/psp?key=1"


@dataclass(frozen=True)
class Person:
    """`agreement` is also the prefix of the ids of the person's transactions and events."""

    agreement: str
    name: str
    iban: str

    @property
    def secrets(self) -> set[bytes]:
        return {self.name.encode(), self.iban.encode()}


MIA = Person("mia", "Mia Kern-Albrecht", "DE89370400440532013000")
TOM = Person("tom", "Tom Ullrich-Vogt", "DE75512108001245126199")


def transaction_of(merchant: Merchant, person: Person, name: str, **given: Any) -> NewTransaction:
    """`mia-1`, `mia-2`, ..., a payment unless told otherwise."""
    defaults = {
        "agreement_id": person.agreement,
        "request": {
            "webhookTarget": TARGET,
            "payerData": {"lastName": person.name},
            "initialBearer": {"IBAN": person.iban},
        },
    }
    return new_transaction(merchant, f"{person.agreement}-{name}", **(defaults | given))


async def live(store: Store, merchant: Merchant, person: Person) -> None:
    """A sign-up, a payment with its notification, a refund, messages that came too early, and what
    somebody decided.
    """
    agreement = NewAgreement(person.agreement, "Debit")
    signed_up = transaction_of(merchant, person, "1", kind="preauth", agreement=agreement)
    await store.open_transaction(signed_up)
    await store.save_private(
        merchant.id,
        signed_up.transaction_id,
        instrument={"bearer": {"IBAN": person.iban, "Holder": person.name}},
        redirect={"url": f"https://psp.example/{person.name}"},
    )
    await store.record(
        change(
            merchant,
            signed_up.transaction_id,
            status="Succeeded",
            evidence="answer",
            activate_agreement=True,
        )
    )
    paid = transaction_of(merchant, person, "2")
    await store.open_transaction(paid)
    await store.record(
        change(
            merchant,
            paid.transaction_id,
            status="Succeeded",
            evidence="answer",
            psp_transaction_id=f"pay_{person.agreement}",
        )
    )
    refund = transaction_of(
        merchant, person, "3", kind="refund", agreement_id=None, related_id=paid.transaction_id
    )
    await store.open_transaction(refund)
    await notify(store, merchant, person, "known", paid.transaction_id, person.agreement)
    await notify(store, merchant, person, "early", refund.transaction_id)
    await notify(store, merchant, person, "parked")
    await store.open_decision(
        NewDecision(
            merchant_id=merchant.id,
            kind="acknowledge",
            decided_by="operator",
            reason=f"{person.name} has called",
            transaction_id=paid.transaction_id,
        )
    )


async def notify(
    store: Store,
    merchant: Merchant,
    person: Person,
    event: str,
    transaction_id: str | None = None,
    agreement_id: str | None = None,
) -> int:
    """A message of the PSP about the person's payment; its row's id."""
    id, _ = await store.store_notification(
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
