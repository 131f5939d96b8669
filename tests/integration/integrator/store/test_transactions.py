"""Opening, recording and finding transactions and their agreements."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from integrator.crypto.keys import KeyRing
from integrator.store import (
    FINAL_STATUSES,
    ConstraintViolated,
    Merchant,
    NewAgreement,
    NotFound,
    Store,
)
from tests.integration.integrator.store.builders import (
    IBAN,
    new_transaction,
    record_update,
    stored_request,
)


async def _initial_preauth(store: Store, merchant: Merchant, id: str = "t1") -> None:
    agreement = NewAgreement("a1", "Debit")
    await store.transactions.add(new_transaction(merchant, id, kind="preauth", agreement=agreement))


async def test_ten_concurrent_openings_insert_once(store: Store, merchant: Merchant) -> None:
    new = new_transaction(merchant)
    opened = await asyncio.gather(*(store.transactions.add(new) for _ in range(10)))
    assert sorted(created for _, created in opened) == [False] * 9 + [True]
    assert all(row == opened[0][0] for row, _ in opened)


async def test_an_opened_transaction_reads_back_exactly(store: Store, merchant: Merchant) -> None:
    new = new_transaction(merchant, requested_amount=Decimal("0.10"), related_id="p1")
    row, created = await store.transactions.add(new)
    assert created
    assert row == await store.transactions.get("demo", "t1")
    assert (row.version, row.status, row.private, row.evidence) == (0, "Initiated", None, None)
    assert str(row.requested_amount) == "0.10"
    assert row.created_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - row.created_at) < timedelta(minutes=1)
    assert await stored_request(store, "demo", "t1") == new.request
    assert await store.transactions.get("demo", "t2") is None
    with pytest.raises(NotFound):
        await stored_request(store, "demo", "t2")


@pytest.mark.parametrize("amount", ["0", "0.1", "1E+3", "12345678901234567890.123456789", "-1.00"])
async def test_amounts_are_exact(store: Store, merchant: Merchant, amount: str) -> None:
    await store.transactions.add(new_transaction(merchant, requested_amount=Decimal(amount)))
    row = await store.transactions.get("demo", "t1")
    assert row is not None
    assert format(row.requested_amount, "f") == format(Decimal(amount), "f")


@pytest.mark.parametrize("amount", [0.1, 1, "1.00", Decimal("NaN")])
async def test_only_finite_decimals_are_amounts(
    store: Store, merchant: Merchant, amount: Any
) -> None:
    with pytest.raises(Exception, match="not a finite Decimal"):
        await store.transactions.add(new_transaction(merchant, requested_amount=amount))


async def test_another_request_with_the_same_id_gets_the_first(
    store: Store, merchant: Merchant
) -> None:
    first, _ = await store.transactions.add(new_transaction(merchant))
    other = new_transaction(merchant, kind="refund", fingerprint="other", request={})
    assert await store.transactions.add(other) == (first, False)
    assert await stored_request(store, "demo", "t1") == {"initialBearer": {"IBAN": IBAN}}


async def test_ids_belong_to_their_merchant(store: Store, merchant: Merchant) -> None:
    other = await store.merchants.add("other", "sandbox")
    _, first = await store.transactions.add(new_transaction(merchant))
    _, second = await store.transactions.add(new_transaction(other))
    assert (first, second) == (True, True)


async def test_an_unknown_merchant_cannot_open_a_transaction(
    store: Store, merchant: Merchant
) -> None:
    new = new_transaction(merchant, merchant_id="unknown")
    with pytest.raises(ConstraintViolated):
        await store.transactions.add(new)


async def test_an_initial_preauth_opens_its_agreement_once(
    store: Store, merchant: Merchant
) -> None:
    await _initial_preauth(store, merchant)
    agreement = await store.agreements.get("demo", "a1")
    assert agreement is not None
    assert (agreement.usable, agreement.instrument, agreement.transaction_id) == (False, None, "t1")
    await _initial_preauth(store, merchant, "t2")
    assert await store.agreements.get("demo", "a1") == agreement
    assert await store.agreements.get("demo", "a2") is None


async def test_another_state_of_a_version_never_overwrites(
    store: Store, merchant: Merchant
) -> None:
    await store.transactions.add(new_transaction(merchant))
    assert (
        await store.transactions.record(
            record_update(merchant, version=3, psp_transaction_id="pay_1")
        )
        is True
    )
    assert (
        await store.transactions.record(record_update(merchant, version=2, status="Initiated"))
        is False
    )
    other = record_update(merchant, version=3, status="Succeeded", snapshot="{}", evidence="{}")
    assert await store.transactions.record(other) is False
    repeated = record_update(merchant, version=3, psp_transaction_id="pay_1")
    assert await store.transactions.record(repeated) is True
    row = await store.transactions.get("demo", "t1")
    assert row is not None
    assert (row.version, row.status) == (3, "Pending")
    assert (row.psp_transaction_id, row.psp_session_id) == ("pay_1", None)
    assert row.snapshot == '{"status": "Pending"}'


async def test_concurrent_records_end_with_the_newest(store: Store, merchant: Merchant) -> None:
    await store.transactions.add(new_transaction(merchant))
    versions = [5, 2, 8, 1, 7, 3, 6, 4]
    await asyncio.gather(
        *(
            store.transactions.record(record_update(merchant, version=n, snapshot=f'"{n}"'))
            for n in versions
        )
    )
    row = await store.transactions.get("demo", "t1")
    assert row is not None
    assert (row.version, row.snapshot) == (8, '"8"')


@pytest.mark.parametrize("status", FINAL_STATUSES)
async def test_a_final_status_needs_evidence(store: Store, merchant: Merchant, status: str) -> None:
    before, _ = await store.transactions.add(new_transaction(merchant))
    with pytest.raises(ConstraintViolated):
        await store.transactions.record(record_update(merchant, status=status))
    assert await store.transactions.get("demo", "t1") == before
    assert (
        await store.transactions.record(
            record_update(merchant, status=status, evidence="sync_answer")
        )
        is True
    )


async def test_recording_an_unknown_transaction_is_an_error(
    store: Store, merchant: Merchant
) -> None:
    with pytest.raises(NotFound):
        await store.transactions.record(record_update(merchant))
    with pytest.raises(NotFound):
        await store.transactions.save_private("demo", "t1", redirect={})


async def test_activation_makes_the_agreement_usable(store: Store, merchant: Merchant) -> None:
    await _initial_preauth(store, merchant)
    await store.transactions.save_private(
        "demo", "t1", instrument={"IBAN": IBAN, "MandateId": "m1"}
    )
    final = record_update(merchant, status="Succeeded", evidence="sync", activate_agreement=True)
    assert await store.transactions.record(final) is True
    agreement = await store.agreements.get("demo", "a1")
    assert agreement is not None
    assert agreement.usable
    assert agreement.instrument == {"IBAN": IBAN, "MandateId": "m1"}


async def test_an_upgrade_without_instrument_keeps_the_agreements_instrument(
    store: Store, merchant: Merchant
) -> None:
    await _initial_preauth(store, merchant)
    await store.transactions.save_private("demo", "t1", instrument={"IBAN": IBAN})
    final = record_update(merchant, status="Succeeded", evidence="sync", activate_agreement=True)
    await store.transactions.record(final)
    await store.transactions.add(new_transaction(merchant, "t2", kind="preauth"))
    await store.transactions.record(
        record_update(merchant, "t2", status="Succeeded", evidence="sync", activate_agreement=True)
    )
    agreement = await store.agreements.get("demo", "a1")
    assert agreement is not None
    assert (agreement.instrument, agreement.transaction_id) == ({"IBAN": IBAN}, "t2")


async def test_an_outdated_record_activates_nothing(store: Store, merchant: Merchant) -> None:
    await _initial_preauth(store, merchant)
    await store.transactions.record(record_update(merchant, version=2))
    assert (
        await store.transactions.record(record_update(merchant, version=1, activate_agreement=True))
        is False
    )
    agreement = await store.agreements.get("demo", "a1")
    assert agreement is not None
    assert not agreement.usable


async def test_a_failed_activation_records_nothing(store: Store, merchant: Merchant) -> None:
    before, _ = await store.transactions.add(new_transaction(merchant, agreement_id="missing"))
    with pytest.raises(NotFound, match="missing"):
        await store.transactions.record(record_update(merchant, activate_agreement=True))
    assert await store.transactions.get("demo", "t1") == before


async def test_private_parts_are_merged(store: Store, merchant: Merchant) -> None:
    await store.transactions.add(new_transaction(merchant))
    await store.transactions.save_private("demo", "t1", redirect={"url": "https://psp.example/1"})
    await store.transactions.save_private("demo", "t1", instrument={"IBAN": IBAN})
    await store.transactions.save_private("demo", "t1", redirect={"url": "https://psp.example/2"})
    row = await store.transactions.get("demo", "t1")
    assert row is not None
    assert row.private == {
        "instrument": {"IBAN": IBAN},
        "redirect": {"url": "https://psp.example/2"},
    }


async def test_concurrent_private_parts_are_both_kept(store: Store, merchant: Merchant) -> None:
    ids = [f"t{n}" for n in range(8)]
    await asyncio.gather(*(store.transactions.add(new_transaction(merchant, id)) for id in ids))
    for id in ids:
        await asyncio.gather(
            store.transactions.save_private("demo", id, redirect={"url": "https://psp.example"}),
            store.transactions.save_private("demo", id, instrument={"IBAN": IBAN}),
        )
    rows = await store.transaction_search.list_newest()
    assert [sorted(row.private or {}) for row in rows] == [["instrument", "redirect"]] * len(ids)


async def test_a_transaction_is_found_by_reference_then_by_psp_id(
    store: Store, merchant: Merchant
) -> None:
    for id, psp_id in [("t1", "pay_1"), ("t2", "pay_2"), ("t3", "pay_2")]:
        await store.transactions.add(new_transaction(merchant, id))
        await store.transactions.record(record_update(merchant, id, psp_transaction_id=psp_id))
    session = record_update(merchant, "t1", version=2, psp_session_id="ses_1")
    await store.transactions.record(session)

    async def find(reference: str | None, *psp_ids: str, psp: str = "sandbox") -> str | None:
        row = await store.transactions.find("demo", psp=psp, reference=reference, psp_ids=psp_ids)
        return row.transaction_id if row is not None else None

    assert await find("t1", "pay_2") == "t1"
    assert await find("unknown", "pay_1") == "t1"
    assert await find(None, "x", "ses_1") == "t1"
    assert await find(None, "pay_2") == "t3"
    assert await find(None) is None
    assert await find(None, "unknown") is None
    assert await find("t1", "pay_1", psp="other") is None
    assert (
        await store.transactions.find("other", psp="sandbox", reference="t1", psp_ids=["pay_1"])
    ) is None


async def test_transactions_are_listed_newest_first(store: Store, merchant: Merchant) -> None:
    other = await store.merchants.add("other", "sandbox")
    await store.transactions.add(new_transaction(merchant, "t1"))
    await store.transactions.add(new_transaction(merchant, "t2", kind="refund", related_id="t1"))
    await store.transactions.add(new_transaction(other, "t3"))
    await store.transactions.record(record_update(merchant, "t1"))

    async def ids(**conditions: Any) -> list[str]:
        return [
            row.transaction_id for row in await store.transaction_search.list_newest(**conditions)
        ]

    assert await ids() == ["t3", "t2", "t1"]
    assert await ids(limit=1) == ["t3"]
    assert await ids(merchant_id="demo") == ["t2", "t1"]
    assert await ids(kind="payment") == ["t3", "t1"]
    assert await ids(statuses={"Pending", "Failed"}) == ["t1"]
    assert await ids(statuses=[]) == []
    assert await ids(merchant_id="demo", related_id="t1") == ["t2"]


async def test_two_processes_write_concurrently(
    url: str, store: Store, merchant: Merchant, cipher: KeyRing
) -> None:
    """A second store has its own connections and write lock, as another process has."""
    async with Store(url, cipher) as second:
        await asyncio.gather(
            *(
                writer.transactions.add(new_transaction(merchant, f"t{n}"))
                for n in range(30)
                for writer in (store, second)
            )
        )
    assert len(await store.transaction_search.list_newest()) == 30


@pytest.mark.parametrize(
    ("answered", "status", "since_answer", "due"),
    [
        (True, "Succeeded", timedelta(seconds=1), 1),
        (True, "Succeeded", timedelta(seconds=-1), None),
        (True, "Pending", None, None),
        (False, "Succeeded", timedelta(seconds=1), None),
    ],
    ids=["decided after the response", "decided before it", "undecided", "not answered"],
)
async def test_an_outcome_after_the_response_is_to_be_announced(
    store: Store,
    merchant: Merchant,
    answered: bool,
    status: str,
    since_answer: timedelta | None,
    due: int | None,
) -> None:
    """The workflow may have been rewound to when its caller waited."""
    await store.transactions.add(new_transaction(merchant))
    if answered:
        await store.transactions.mark_responded(("demo", "t1"))
    decided_at = datetime.now(UTC) + since_answer if since_answer is not None else None
    evidence = "{}" if decided_at is not None else None
    update = record_update(merchant, status=status, evidence=evidence, decided_at=decided_at)
    await store.transactions.record(update)
    row = await store.transactions.get("demo", "t1")
    assert row is not None
    assert row.announce_version == due


async def test_a_later_record_announces_no_outcome_again(store: Store, merchant: Merchant) -> None:
    await store.transactions.add(new_transaction(merchant))
    await store.transactions.mark_responded(("demo", "t1"))
    decided: dict[str, Any] = {
        "status": "Succeeded",
        "evidence": "{}",
        "decided_at": datetime.now(UTC),
    }
    await store.transactions.record(record_update(merchant, **decided, announce_version=1))
    await store.deliveries.remove_due_announcement("demo", "t1", 1)
    await store.transactions.record(record_update(merchant, **decided, version=2))
    row = await store.transactions.get("demo", "t1")
    assert row is not None
    assert (row.version, row.announce_version) == (2, None)
